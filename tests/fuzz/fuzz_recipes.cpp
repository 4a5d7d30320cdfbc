// What reads recipes, other programs' texts, and the lists and prompts of the command line.
#include <nlohmann/json.hpp>

#include "diffapple/io/json_fields.h"
#include "diffapple/recipes/generation_text.h"
#include "diffapple/recipes/jobs.h"
#include "diffapple/recipes/lists.h"
#include "diffapple/recipes/picture_facts.h"
#include "diffapple/recipes/recipe.h"
#include "diffapple/recipes/recipe_command.h"
#include "diffapple/recipes/settings.h"
#include "fuzz/fuzz.h"

namespace diffapple::fuzz {
namespace {

using nlohmann::json;

// --- recipes

/// The determining part of a recipe, as an attacker writes it.
std::vector<std::string> recipe_seeds() {
    const std::string head =
        R"({"schema":2,"device":"cpu","dtype":{"unet":"fp32"},"model":{"name":"a/b","weights":)"
        R"({"unet":"00"},"configs":{"unet":"11"}},"scheduler":{"name":"ddim","config":{"eta":1}},)";
    return {
        head + R"("settings":{"index":0,"seed":1,"steps":2,"width":64,"height":64,"batch_size":2}})",
        head + R"("settings":{"index":0,"prompt":"a cat","batch":["a cat","b"],"negative_prompt":"n","seed":1,)"
               R"("steps":2,"guidance":7.5,"width":64,"height":64,"strength":0.5,"image":"ab","mask":"cd",)"
               R"("mask_blur":4.0,"padding_mask_crop":8,"eta":0.5,"guidance_rescale":0.7,"clip_skip":1,"rng":"cuda",)"
               R"("weights":"int8","vae_tiling":"on","keep_unmasked":true,"safety":"off"}})",
        head +
            R"("settings":{"index":1,"prompt":"a","prompt_2":"b","negative_prompt_2":"c","seed":18446744073709551615,)"
            R"("steps":1,"guidance":0.0,"width":64,"height":64,"original_size":[64,64],"target_size":[8,8],)"
            R"("crop_top_left":[0,8],"latents":"ef"}})"};
}

void read_recipe_text(const std::string& text) {
    accepts([&] { Recipe::from_text(text, "x"); });
    Recipe forged{.determining = parse_json(text, "x", {.depth = 32, .strict = true})};
    forged.known = forged.determining;
    const Recipe recipe = Recipe::from_text(forged.to_text(), "x");
    accepts([&] { describe_difference(recipe, Recipe::from_text(recipe.to_text(), "x")); });
    accepts([&] { setting_texts(recipe); });
    accepts([&] { command_of(recipe); });
    const JsonFields determining(recipe.determining, "x");
    for (const StudyExperiment& experiment : study_experiments()) {
        accepts([&] {
            const BatchSettings batch = restore_settings(determining, experiment);
            write_settings(batch);
            accepts([&] { a1111_parameters(recipe); });
        });
    }
}

// --- other programs

/// A keyword, a line end, a text.
void read_foreign_text(const std::string& bytes) {
    const size_t end = std::min(bytes.find('\n'), bytes.size());
    const std::string text = bytes.substr(std::min(end + 1, bytes.size()));
    find_generation_text({{bytes.substr(0, end), text}});
}

std::vector<std::string> foreign_seeds() {
    const std::string a1111 =
        "a cat\nNegative prompt: b\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 8x8, Hashes: {\"a\": "
        "\"b\"}";
    return {"parameters\n" + a1111,
            "UserComment\n" + a1111 + "\nTemplate: c",
            "parameters\n{\"sui_image_params\":{\"prompt\":\"a\",\"negativeprompt\":\"b\",\"seed\":1,\"steps\":2,"
            "\"cfgscale\":7.5}}",
            "parameters\n{\"prompt\":\"a\",\"negative_prompt\":\"b\",\"seed\":1,\"steps\":2,\"base_model\":\"m\","
            "\"resolution\":\"(8, 9)\"}",
            R"(prompt
{"1":{"class_type":"KSampler","inputs":{"seed":1,"steps":2,"cfg":7.0,"sampler_name":"euler","scheduler":"normal",)"
            R"("denoise":1,"model":["2",0],"positive":["3",0],"negative":["4",0],"latent_image":["5",0]}},)"
            R"("2":{"class_type":"CheckpointLoaderSimple","inputs":{"ckpt_name":"m"}},)"
            R"("3":{"class_type":"CLIPTextEncode","inputs":{"text":"a","clip":["2",1]}},)"
            R"("4":{"class_type":"CLIPTextEncode","inputs":{"text":["3",0]}},)"
            R"("5":{"class_type":"EmptyLatentImage","inputs":{"width":8,"height":9}}})",
            R"(invokeai_metadata
{"positive_prompt":"a","negative_prompt":"b","model":{"name":"m"},"seed":1,"steps":2,"width":8,"height":8})",
            R"(sd-metadata
{"model_weights":"m","image":{"prompt":[{"prompt":"a","weight":1}],"seed":1,"steps":2,"width":8,"height":8}})",
            R"(Comment
{"prompt":"a","uc":"b","scale":7,"steps":2,"seed":1,"sampler":"k_euler","width":8,"height":8})",
            R"(XML:com.adobe.xmp
<x:xmpmeta><rdf:Description><exif:UserComment><rdf:Alt><rdf:li xml:lang="x-default">{"c":"a","uc":"b","seed":1,"v2":{}})"
            R"(</rdf:li></rdf:Alt></exif:UserComment></rdf:Description></x:xmpmeta>)",
            "XML:com.adobe.xmp\n<a sdcpp:parameters=\"a&#10;Steps: 1, Seed: 2, Size: 3x4\"/>"};
}

// --- the command line

void read_lists(const std::string& text) {
    accepts([&] { list_words(text); });
    accepts([&] { parse_integers("--steps", text, -5, 1000); });
    accepts([&] { parse_seeds("--seed", text); });
    accepts([&] { parse_numbers("--guidance", text, -1.0, 1000.0); });
    accepts([&] { parse_choices("--scheduler", text, {"ddim", "euler"}); });
    uint64_t next = 0;
    accepts([&] { with_drawn_seeds("--seed", text, [&] { return ++next; }); });
    for (const char* const name : {"--seed", "--size", "--crop", "--shard", "--strength", "--scheduler", "--width"}) {
        for (const Setting& row : settings())
            if (row.option == name) accepts([&] { read_run(find_study_experiment("sd15"), {{&row, {text}}}); });
    }
}

/// Lines of prompts and jobs. A job that names files would read those of this machine.
void read_prompts(const std::string& text) {
    const StudyExperiment& experiment = find_study_experiment("sd15");
    const auto lines = find_prompt_lines(text, "x");
    if (text.find("image") != std::string::npos || text.find("mask") != std::string::npos) return;
    RunSettings run = read_run(experiment, {});
    add_jobs(run, experiment, {}, lines, "x");
}

void read_wildcards(const std::string& text) {
    folder().write("a.txt", "red\n{big|small} __b__\n");
    folder().write("b.txt", "x\n");
    expand_wildcards(text, folder().path());
}

void read_changes(const std::string& text) {
    for (const StudyExperiment& experiment : study_experiments()) accepts([&] { read_change(text, experiment); });
}

}  // namespace

const std::map<std::string, Target>& targets() {
    static const std::map<std::string, Target> all = {
        {"recipe", {recipe_seeds(), read_recipe_text}},
        {"foreign_text", {foreign_seeds(), read_foreign_text}},
        {"lists",
         {{"0,2,4", "0..3", "1.5, 2,7", "random:4,-1,7", "64x128", "1/2", "18446744073709551615", "ddim,euler"},
          read_lists}},
        {"prompts",
         {{"a fat cat\n# no\n\n{\"prompt\": \"a dog\", \"negative_prompt\": \"fog\", \"seed\": [7, 8], \"guidance\": "
           "4}\n",
           "{\"prompt\":[\"a\",\"b\"],\"steps\":\"1..3\",\"out\":\"dogs\",\"eta\":0.5,\"clip_skip\":null}\n"},
          read_prompts}},
        {"wildcards", {{"a {red|{big|small} blue|} __a__ cat __b__"}, read_wildcards}},
        {"changes", {{"guidance=4", "--size=64x64", "prompt=a=b", "keep_unmasked=true"}, read_changes}}};
    return all;
}

}  // namespace diffapple::fuzz
