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
    EXPECT_EQ(found({{"prompt", circle}}).prompt, "");
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
