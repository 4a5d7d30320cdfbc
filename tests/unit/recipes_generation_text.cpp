// Texts of other programs about how a picture was made.
#include <gtest/gtest.h>

#include "diffapple/recipes/generation_text.h"

namespace diffapple {
namespace {

using Settings = std::vector<std::pair<std::string, std::string>>;

TEST(GenerationText, OfA1111) {
    const auto text = parse_generation_text(
        "a cat,\nfat\nNegative prompt: dog,\nlow quality\nSteps: 20, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 1, "
        "Size: 512x768, Lora hashes: \"a: 1, b: \\\"2\\\"\", Version: v1.6.0");
    EXPECT_EQ(text.prompt, "a cat,\nfat");
    EXPECT_EQ(text.negative_prompt, "dog,\nlow quality");
    const Settings expected{{"Steps", "20"},     {"Sampler", "DPM++ 2M Karras"},    {"CFG scale", "7"},   {"Seed", "1"},
                            {"Size", "512x768"}, {"Lora hashes", "a: 1, b: \"2\""}, {"Version", "v1.6.0"}};
    EXPECT_EQ(text.settings, expected);
    EXPECT_EQ(text.setting("Seed"), "1");
    EXPECT_EQ(text.setting("seed"), std::nullopt);
}

TEST(GenerationText, OfStableDiffusionCpp) {
    const auto text = parse_generation_text(
        "a lovely cat\nSteps: 20, CFG scale: 7.000000, Guidance: 3.500000, Eta: 0.000000, Seed: 42, Size: 512x512, "
        "Model: sd-v1-4.ckpt, RNG: cuda, Sampler: euler_a, Version: stable-diffusion.cpp");
    EXPECT_EQ(text.prompt, "a lovely cat");
    EXPECT_EQ(text.settings.size(), 10U);
    EXPECT_EQ(text.setting("Version"), "stable-diffusion.cpp");
}

TEST(GenerationText, AShortLastLineBelongsToThePrompt) {
    const auto text = parse_generation_text("a cat\nSteps: 20, Seed: 1");
    EXPECT_EQ(text.prompt, "a cat\nSteps: 20, Seed: 1");
    EXPECT_TRUE(text.settings.empty());
    EXPECT_EQ(parse_generation_text("").prompt, "");
    EXPECT_EQ(parse_generation_text("Steps: 1, Seed: 2, Size: 3x4").settings.size(), 3U);
}

TEST(GenerationText, OddLines) {
    EXPECT_EQ(find_generation_settings("A: 1, -x: 2, ab:3"), (Settings{{"ab", "3"}}));
    EXPECT_EQ(find_generation_settings("ab: \"1, 2"), (Settings{{"ab", "\"1, 2"}}));
    EXPECT_EQ(find_generation_settings("ab: \"1\"2, cd:"), (Settings{{"ab", "\"1\"2"}, {"cd", ""}}));
    EXPECT_EQ(find_generation_settings("ab: \"\", cd: \"\\"), (Settings{{"ab", "\"\""}, {"cd", "\"\\"}}));
}

TEST(GenerationText, NothingIsInventedInsideAValue) {
    EXPECT_EQ(find_generation_settings(R"(ab: "x, Seed: 3" y, cd: 1)"),
              (Settings{{"ab", R"("x, Seed: 3" y)"}, {"cd", "1"}}));
    EXPECT_EQ(find_generation_settings("Skip layers: [7, 8, 9], Eta: 0"),
              (Settings{{"Skip layers", "[7, 8, 9]"}, {"Eta", "0"}}));
    const std::string civitai = R"([{"type":"checkpoint","modelName":"a, Seed: 2]"},{"type":"lora"}])";
    EXPECT_EQ(find_generation_settings("Seed: 1, Civitai resources: " + civitai + ", Steps: 2"),
              (Settings{{"Seed", "1"}, {"Civitai resources", civitai}, {"Steps", "2"}}));
    EXPECT_EQ(find_generation_settings("ab: [1, cd: 2"), (Settings{{"ab", "[1, cd: 2"}}));
}

TEST(GenerationText, TemplatesStandBehindTheSettings) {
    const auto text = parse_generation_text(
        "a red cat\nNegative prompt: dog\nSteps: 20, Seed: 1, Size: 3x4\nTemplate: a {red|blue} cat, Steps: 9, Seed: "
        "8, "
        "Size: 1x1\nNegative Template: {dog|\ncow}");
    EXPECT_EQ(text.prompt, "a red cat");
    EXPECT_EQ(text.negative_prompt, "dog");
    EXPECT_EQ(text.setting("Seed"), "1");
    EXPECT_EQ(text.setting("Template"), "a {red|blue} cat, Steps: 9, Seed: 8, Size: 1x1");
    EXPECT_EQ(text.setting("Negative Template"), "{dog|\ncow}");
    EXPECT_EQ(parse_generation_text("a\nTemplate: b").prompt, "a\nTemplate: b");
}

GenerationText found(const std::vector<TextChunk>& chunks) {
    return find_generation_text(chunks).value_or(GenerationText{});
}

TEST(ForeignTexts, StableDiffusionCppsObjectCounts) {
    const auto text = found({{"parameters",
                              "old, Seed: 9\nSteps: 1, CFG scale: 2, Seed: 3, Version: stable-diffusion.cpp, SDCPP: "
                              R"({"schema":"sdcpp.image.params/v1","seed":7,"width":512,"height":768,)"
                              R"("prompt":{"positive":"a caf\u00c3\u00a9, Steps: 4","negative":""},)"
                              R"("sampling":{"steps":8,"guidance":{"txt_cfg":1.5}},"models":{"model":"m.gguf"}})"}});
    EXPECT_EQ(text.program, "stable-diffusion.cpp");
    EXPECT_EQ(text.prompt, "a caf\u00c3\u00a9, Steps: 4");
    EXPECT_EQ(text.setting("Seed"), "7");
    EXPECT_EQ(text.setting("Steps"), "8");
    EXPECT_EQ(text.setting("CFG scale"), "1.5");
    EXPECT_EQ(text.setting("Size"), "512x768");
    EXPECT_EQ(text.setting("Model"), "m.gguf");
}

TEST(ForeignTexts, Utf8InLatin1IsRepaired) {
    EXPECT_EQ(found({{"parameters", "caf\u00c3\u00a9\nSteps: 1, Seed: 2, Size: 3x4"}}).prompt, "caf\u00e9");
    EXPECT_EQ(found({{"parameters", "caf\u00e9\nSteps: 1, Seed: 2, Size: 3x4"}}).prompt, "caf\u00e9");
}

TEST(ForeignTexts, ComfyGraphsAreFollowed) {
    const std::string graph =
        R"({"3":{"class_type":"KSampler","inputs":{"seed":5,"steps":20,"cfg":8.0,"sampler_name":"euler","scheduler":)"
        R"("normal","denoise":1.0,"model":["9",0],"positive":["6",0],"negative":["7",0],"latent_image":["5",0]}},)"
        R"("4":{"class_type":"CheckpointLoaderSimple","inputs":{"ckpt_name":"sd.safetensors"}},)"
        R"("5":{"class_type":"EmptyLatentImage","inputs":{"width":512,"height":768,"batch_size":1}},)"
        R"("6":{"class_type":"CLIPTextEncode","inputs":{"text":["8",0],"clip":["4",1]}},)"
        R"("7":{"class_type":"CLIPTextEncode","inputs":{"text":"bad","clip":["4",1]}},)"
        R"("8":{"class_type":"String","inputs":{"value":"a fox"}},)"
        R"("9":{"class_type":"LoraLoader","inputs":{"lora_name":"x","model":["4",0]}}})";
    const auto text = found({{"prompt", graph}, {"workflow", "{}"}});
    EXPECT_EQ(text.program, "ComfyUI");
    EXPECT_EQ(text.prompt, "a fox");
    EXPECT_EQ(text.negative_prompt, "bad");
    EXPECT_EQ(text.setting("Model"), "sd.safetensors");
    EXPECT_EQ(text.setting("Size"), "512x768");
    EXPECT_EQ(text.setting("CFG scale"), "8.0");
    EXPECT_EQ(text.keywords, std::vector<std::string>{"prompt"});
    EXPECT_EQ(found({{"Model", "prompt:" + graph}}).prompt, "a fox");
    // Two samplers: which one counts is not known. A circle ends.
    std::string two = graph;
    two.insert(two.size() - 1, R"(,"10":)" + graph.substr(5, graph.find("},\"4\"") - 4));
    EXPECT_FALSE(find_generation_text({{"prompt", two}}));
    std::string circle = graph;
    circle.replace(circle.find(R"({"value":"a fox"})"), 17, R"({"value":["6",0]})");
    EXPECT_FALSE(find_generation_text({{"prompt", circle}}));
    EXPECT_FALSE(find_generation_text({{"prompt", "{}"}, {"parameters", "{}"}, {"Comment", "[1]"}}));
}

TEST(ForeignTexts, OtherProgramsObjects) {
    const auto invoke =
        found({{"invokeai_metadata", R"({"positive_prompt":"a","negative_prompt":"b","seed":1,"steps":2,)"
                                     R"("width":64,"height":32,"model":{"name":"m"},"cfg_scale":7.5})"}});
    EXPECT_EQ(invoke.program + invoke.prompt + invoke.negative_prompt, "InvokeAIab");
    EXPECT_EQ(invoke.setting("Model"), "m");
    EXPECT_EQ(invoke.setting("Size"), "64x32");
    const auto old = found({{"sd-metadata", R"({"model_weights":"m","image":{"prompt":[{"prompt":"a","weight":1}],)"
                                            R"("seed":1,"sampler":"k_lms"}})"}});
    EXPECT_EQ(old.prompt + old.setting("Sampler").value_or(""), "ak_lms");
    const auto novel =
        found({{"Software", "NovelAI"},
               {"Description", "a"},
               {"Comment", R"({"prompt":"a","uc":"b","scale":11,"steps":28,"sampler":"k_euler","seed":3})"}});
    EXPECT_EQ(novel.program + novel.prompt + novel.negative_prompt, "NovelAIab");
    EXPECT_EQ(novel.setting("CFG scale"), "11");
    const auto fooocus = found({{"parameters", R"({"prompt":"a","negative_prompt":"b","base_model":"m","seed":"3",)"
                                               R"_("resolution":"(896, 1152)","guidance_scale":4})_"},
                                {"fooocus_scheme", "fooocus"}});
    EXPECT_EQ(fooocus.program + fooocus.prompt, "Fooocusa");
    EXPECT_EQ(fooocus.setting("Size"), "896x1152");
    const auto draw =
        found({{"XML:com.adobe.xmp",
                "<x><exif:UserComment><rdf:Alt><rdf:li xml:lang=\"x-default\">{&quot;c&quot;:&quot;a &amp; "
                "b&quot;,&quot;uc&quot;:&quot;&quot;,&quot;seed&quot;:4}</rdf:li></rdf:Alt>"
                "</exif:UserComment></x>"}});
    EXPECT_EQ(draw.program + draw.prompt, "Draw Thingsa & b");
    EXPECT_EQ(draw.setting("Seed"), "4");
}

// The texts below have the keys that these programs write: leejet/stable-diffusion.cpp, examples/common/common.cpp
// (build_sdcpp_image_metadata_json); ComfyUI's SaveImage; InvokeAI 5; NovelAI 4.5; Draw Things; lllyasviel/Fooocus,
// modules/meta_parser.py; SwarmUI.
TEST(ForeignTexts, StableDiffusionCppAsItWritesNow) {
    const auto text = found(
        {{"parameters",
          "a cat, Seed: 1\nNegative prompt: fog\nSteps: 8, CFG scale: 7.000000, SLG scale: 2.500000, Skip layers: [7, "
          "8, 9, "
          "], Skip layer start: 0.010000, Skip layer end: 0.200000, Guidance: 3.500000, Eta: 0.000000, Seed: 42, Size: "
          "512x768, Model: v1-5.safetensors, RNG: cuda, Sampler: dpm++2m karras, Clip skip: 2, Version: "
          "stable-diffusion.cpp, SDCPP: "
          R"({"auto_resize_ref_image":true,"clip_skip":2,"control_strength":0.9,"generator":{"commit":"b290693","name":)"
          R"("stable-diffusion.cpp","version":"master"},"height":768,"mode":"img_gen","models":{"model":)"
          R"("v1-5.safetensors","vae":"vae.safetensors"},"prompt":{"negative":"fog","positive":"a cat, Seed: 1"},"rng":)"
          R"("cuda","sampling":{"custom_sigmas":[],"eta":0.0,"guidance":{"distilled_guidance":3.5,"img_cfg":7.0,"slg":)"
          R"({"end":0.2,"layers":[7,8,9],"scale":2.5,"start":0.01},"txt_cfg":7.0},"method":"dpm++2m","scheduler":)"
          R"("karras","steps":8},"schema":"sdcpp.image.params/v1","seed":42,"strength":0.75,"width":512})"}});
    EXPECT_EQ(text.program, "stable-diffusion.cpp");
    EXPECT_EQ(text.prompt + "|" + text.negative_prompt, "a cat, Seed: 1|fog");
    for (const auto& [name, value] : Settings{{"Seed", "42"},
                                              {"Steps", "8"},
                                              {"Size", "512x768"},
                                              {"CFG scale", "7.0"},
                                              {"Sampler", "dpm++2m"},
                                              {"Scheduler", "karras"},
                                              {"Model", "v1-5.safetensors"},
                                              {"Clip skip", "2"},
                                              {"Denoising strength", "0.75"}})
        EXPECT_EQ(text.setting(name), value) << name;
}

/// A graph with that node behind the sampler's negative input, or in between for both of its inputs.
GenerationText comfy_text(const std::string& negative_link, const std::string& positive_link,
                          const std::string& nodes) {
    return found(
        {{"prompt",
          R"({"3":{"inputs":{"seed":5,"steps":20,"cfg":8.0,"sampler_name":"euler","scheduler":"normal","denoise":1.0,)"
          R"("model":["4",0],"positive":)" +
              positive_link + R"(,"negative":)" + negative_link +
              R"(,"latent_image":["5",0]},"class_type":"KSampler","_meta":{"title":"KSampler"}},)"
              R"("4":{"inputs":{"ckpt_name":"sd.safetensors"},"class_type":"CheckpointLoaderSimple"},)"
              R"("5":{"inputs":{"width":512,"height":512,"batch_size":1},"class_type":"EmptyLatentImage"},)"
              R"("6":{"inputs":{"text":"a \"NaN\" fox","clip":["4",1]},"class_type":"CLIPTextEncode","is_changed":[NaN]},)"
              R"("7":{"inputs":{"text":"bad","clip":["4",1]},"class_type":"CLIPTextEncode"})" +
              nodes + "}"}});
}

TEST(ForeignTexts, ComfyGraphsAsTheyAre) {
    const std::string fox = "a \"NaN\" fox";
    const auto plain = comfy_text(R"(["7",0])", R"(["6",0])", "");
    EXPECT_EQ(plain.prompt, fox) << "Python's NaN is no JSON";
    EXPECT_EQ(plain.negative_prompt, "bad");
    const auto zeroed = comfy_text(R"(["8",0])", R"(["6",0])",
                                   R"(,"8":{"inputs":{"conditioning":["6",0]},"class_type":"ConditioningZeroOut"})");
    EXPECT_EQ(zeroed.prompt, fox);
    EXPECT_EQ(zeroed.negative_prompt, "") << "not the text that is zeroed";
    const std::string control = R"(,"8":{"inputs":{"positive":["6",0],"negative":["7",0],"control_net":["9",0],)"
                                R"("image":["10",0]},"class_type":"ControlNetApplyAdvanced"})";
    const auto controlled = comfy_text(R"(["8",1])", R"(["8",0])", control);
    EXPECT_EQ(controlled.prompt, fox);
    EXPECT_EQ(controlled.negative_prompt, "bad");
    const auto two_texts = comfy_text(
        R"(["7",0])", R"(["8",0])", R"(,"8":{"inputs":{"text_g":"a","text_l":"b"},"class_type":"CLIPTextEncodeSDXL"})");
    EXPECT_EQ(two_texts.program, "") << "shown as it is";
    const auto combined = comfy_text(
        R"(["7",0])", R"(["8",0])",
        R"(,"8":{"inputs":{"conditioning_1":["6",0],"conditioning_2":["7",0]},"class_type":"ConditioningCombine"})");
    EXPECT_EQ(combined.program, "");
}

TEST(ForeignTexts, ObjectsAsTheyAre) {
    const auto invoke = found(
        {{"invokeai_metadata",
          R"({"generation_mode":"sdxl_txt2img","positive_prompt":"a lighthouse","negative_prompt":"people","width":1024,)"
          R"("height":768,"seed":987654321,"rand_device":"cpu","cfg_scale":5.5,"steps":30,"scheduler":"dpmpp_2m_k",)"
          R"("model":{"key":"k1","hash":"blake3:aa","name":"Juggernaut","base":"sdxl","type":"main"},"loras":[],)"
          R"("positive_style_prompt":"cinematic","app_version":"5.4.2"})"}});
    EXPECT_EQ(invoke.prompt + "|" + invoke.negative_prompt, "a lighthouse|people");
    EXPECT_EQ(invoke.setting("Sampler"), "dpmpp_2m_k");
    EXPECT_EQ(invoke.setting("Model"), "Juggernaut");
    EXPECT_EQ(invoke.setting("Size"), "1024x768");
    const auto novel = found(
        {{"Title", "NovelAI generated image"},
         {"Description", "a fox"},
         {"Software", "NovelAI"},
         {"Source", "NovelAI Diffusion V4.5 4BDE2A90"},
         {"Comment",
          R"({"prompt":"a fox","steps":28,"height":1216,"width":832,"scale":5.0,"uncond_scale":0.0,"cfg_rescale":0.0,)"
          R"("seed":629328648,"n_samples":1,"noise_schedule":"karras","v4_prompt":{"caption":{"base_caption":"a fox",)"
          R"("char_captions":[{"char_caption":"a hen","centers":[{"x":0.5,"y":0.5}]}]},"use_coords":false},)"
          R"("v4_negative_prompt":{"caption":{"base_caption":"lowres","char_captions":[]}},"uc":"lowres",)"
          R"("sampler":"k_euler_ancestral","request_type":"PromptGenerateRequest","signed_hash":"x=="})"}});
    EXPECT_EQ(novel.prompt + "|" + novel.negative_prompt, "a fox|lowres");
    EXPECT_EQ(novel.setting("Model"), "NovelAI Diffusion V4.5 4BDE2A90");
    EXPECT_EQ(novel.setting("Size"), "832x1216");
    EXPECT_NE(novel.setting("v4_prompt").value_or("").find("a hen"), std::string::npos);
    const auto draw = found(
        {{"XML:com.adobe.xmp",
          "<x:xmpmeta xmlns:x=\"adobe:ns:meta/\"><rdf:RDF><rdf:Description><dc:description><rdf:Alt><rdf:li "
          "xml:lang=\"x-default\">a &lt;cat&gt;&#xA;-ugly&#xA;Steps: 8, Sampler: Euler A, Guidance Scale: 4.5, Seed: "
          "42, "
          "Size: 64x32, Model: m.ckpt, Strength: 1.0</rdf:li></rdf:Alt></dc:description><xmp:CreatorTool>Draw "
          "Things</xmp:CreatorTool><exif:UserComment><rdf:Alt><rdf:li xml:lang=\"x-default\">"
          R"({"c":"a &lt;cat&gt;","uc":"ugly","model":"m.ckpt","sampler":"Euler A","scale":4.5,"seed":42,"size":"64x32",)"
          R"("steps":8,"strength":1,"seed_mode":"Scale Alike","v2":{"guidanceScale":4.5}})"
          "</rdf:li></rdf:Alt></exif:UserComment></rdf:Description></rdf:RDF></x:xmpmeta>"}});
    EXPECT_EQ(draw.prompt + "|" + draw.negative_prompt, "a <cat>|ugly");
    EXPECT_EQ(draw.setting("CFG scale"), "4.5");
    EXPECT_EQ(draw.setting("Size"), "64x32");
    const auto fooocus = found(
        {{"parameters",
          R"_({"adm_guidance":"(1.5, 0.8, 0.3)","base_model":"juggernautXL","base_model_hash":"aa","full_negative_prompt":)_"
          R"_(["ugly"],"full_prompt":["cinematic still a cat"],"guidance_scale":4,"loras":[["l","0.1","bb"]],)_"
          R"_("metadata_scheme":"fooocus","negative_prompt":"ugly","performance":"Speed","prompt":"a cat",)_"
          R"_("prompt_expansion":"","refiner_model":"None","resolution":"(896, 1152)","sampler":"dpmpp_2m_sde_gpu",)_"
          R"_("scheduler":"karras","seed":"7","sharpness":2,"steps":30,"styles":"['Fooocus V2']","version":"Fooocus v2.4.1"})_"},
         {"fooocus_scheme", "fooocus"}});
    EXPECT_EQ(fooocus.prompt + "|" + fooocus.negative_prompt, "a cat|ugly");
    EXPECT_EQ(fooocus.setting("Size"), "896x1152");
    EXPECT_EQ(fooocus.setting("Sampler"), "dpmpp_2m_sde_gpu");
    EXPECT_EQ(fooocus.setting("Model"), "juggernautXL");
    const auto swarm = found(
        {{"parameters",
          R"({"sui_image_params":{"prompt":"a cat","negativeprompt":"dog","model":"OfficialStableDiffusion/sd_xl","seed":1,)"
          R"("steps":20,"cfgscale":7.0,"aspectratio":"1:1","width":1024,"height":1024,"comfyuisampler":"euler",)"
          R"("swarm_version":"0.9.3.1"},"sui_extra_data":{"date":"2024-08-07"}})"}});
    EXPECT_EQ(swarm.prompt + "|" + swarm.negative_prompt, "a cat|dog");
    EXPECT_EQ(swarm.setting("Sampler"), "euler");
    EXPECT_EQ(swarm.setting("CFG scale"), "7.0");
}

TEST(GenerationText, LongLinesTakeLinearTime) {
    const std::string words(4'000'000, 'a');
    EXPECT_TRUE(find_generation_settings(words).empty());
    EXPECT_TRUE(find_generation_settings("ab" + std::string(4'000'000, ' ')).empty());
    std::string quotes;
    for (int i = 0; i < 200'000; ++i) quotes += "ab: \"";
    EXPECT_EQ(find_generation_settings(quotes).size(), 1U);
}

}  // namespace
}  // namespace diffapple
