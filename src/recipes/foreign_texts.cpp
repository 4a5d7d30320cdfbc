// The texts of other programs, each in a form of its own; most are JSON. They are a stranger's: what does not have the
// form is left to be shown as it is, and nothing is guessed.
#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>

#include "diffapple/core/error.h"
#include "diffapple/core/utf8.h"
#include "diffapple/io/json_fields.h"
#include "diffapple/io/picture_info.h"
#include "diffapple/recipes/generation_text.h"

namespace diffapple {
namespace {

using nlohmann::json;
using Found = std::optional<GenerationText>;

/// An object; empty for what is none, or is nested absurdly.
json object_in(const std::string& text) {
    constexpr size_t largest = 8 << 20;
    if (text.size() > largest) return json::object();
    try {
        return parse_json(text, "text");
    } catch (const Error&) {
        return json::object();
    }
}

std::string shown(const json& value) {
    return value.is_string() ? value.get<std::string>() : value.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string text_at(const json& object, const char* key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

/// A text that a program wrote as UTF-8 where PNG has Latin-1.
std::string repaired(const std::string& text) {
    std::string bytes;
    bool beyond_ascii = false;
    for (const char32_t c : decode_utf8(text)) {
        if (c > 0xff) return text;
        beyond_ascii = beyond_ascii || c > 0x7f;
        bytes += static_cast<char>(c);
    }
    return beyond_ascii && is_utf8(bytes) ? bytes : text;
}

/// A1111's name of a setting that programs call otherwise.
std::string common_name(const std::string& key) {
    static const std::map<std::string, std::string> names{{"steps", "Steps"},
                                                          {"sampler", "Sampler"},
                                                          {"sampler_name", "Sampler"},
                                                          {"cfg", "CFG scale"},
                                                          {"cfg_scale", "CFG scale"},
                                                          {"cfgscale", "CFG scale"},
                                                          {"scale", "CFG scale"},
                                                          {"guidance_scale", "CFG scale"},
                                                          {"txt_cfg", "CFG scale"},
                                                          {"seed", "Seed"},
                                                          {"noise_seed", "Seed"},
                                                          {"model", "Model"},
                                                          {"base_model", "Model"},
                                                          {"ckpt_name", "Model"},
                                                          {"scheduler", "Scheduler"},
                                                          {"strength", "Denoising strength"},
                                                          {"denoise", "Denoising strength"},
                                                          {"clip_skip", "Clip skip"},
                                                          {"comfyuisampler", "Sampler"},
                                                          {"comfyuischeduler", "Scheduler"},
                                                          {"size", "Size"},
                                                          {"resolution", "Size"}};
    const auto found = names.find(key);
    return found == names.end() ? key : found->second;
}

void add_setting(GenerationText& text, const std::string& key, const json& value) {
    const std::string name = common_name(key);
    if (value.is_null() || text.setting(name)) return;
    text.settings.emplace_back(name, shown(value));
}

void add_size(GenerationText& text, const json& object) {
    const auto width = object.find("width"), height = object.find("height");
    if (width == object.end() || height == object.end() || !width->is_number() || !height->is_number()) return;
    add_setting(text, "size", width->dump() + "x" + height->dump());
}

/// All values of an object but those of `left_out`.
void add_settings(GenerationText& text, const json& object, const std::set<std::string>& left_out) {
    add_size(text, object);
    for (const auto& [key, value] : object.items())
        if (!left_out.contains(key) && key != "width" && key != "height") add_setting(text, key, value);
}

GenerationText made_by(const std::string& program, const std::string& keyword) {
    return {.program = program, .keywords = {keyword}, .prompt = {}, .negative_prompt = {}, .settings = {}};
}

// --- one function a program

/// The JSON behind "SDCPP:" repeats what stands before it, and says more.
void read_sdcpp(GenerationText& text) {
    const auto tail = text.setting("SDCPP");
    const json object = tail ? object_in(*tail) : json::object();
    if (!text_at(object, "schema").starts_with("sdcpp.image.params/")) return;
    text.program = "stable-diffusion.cpp";
    text.settings.clear();
    if (const auto prompt = object.find("prompt"); prompt != object.end() && prompt->is_object()) {
        text.prompt = text_at(*prompt, "positive");
        text.negative_prompt = text_at(*prompt, "negative");
    }
    for (const char* const key : {"sampling", "models"}) {
        const auto part = object.find(key);
        if (part == object.end() || !part->is_object()) continue;
        if (const auto guidance = part->find("guidance"); guidance != part->end() && guidance->is_object())
            add_settings(text, *guidance, {});
        if (const auto method = text_at(*part, "method"); !method.empty()) add_setting(text, "sampler", method);
        add_settings(text, *part, {"guidance", "method"});
    }
    add_settings(text, object, {"prompt", "sampling", "models", "schema"});
}

Found read_a1111(const std::string& keyword, const std::string& content) {
    GenerationText text = parse_generation_text(content);
    if (text.settings.empty()) return std::nullopt;
    text.keywords = {keyword};
    if (text.setting("Version") == "stable-diffusion.cpp") text.program = "stable-diffusion.cpp";
    read_sdcpp(text);
    return text;
}

/// "(896, 1152)".
void mend_resolution(GenerationText& text) {
    for (auto& [name, value] : text.settings) {
        if (name != "Size" || !value.starts_with('(') || !value.ends_with(')')) continue;
        const size_t comma = value.find(", ");
        if (comma != std::string::npos)
            value = value.substr(1, comma - 1) + "x" + value.substr(comma + 2, value.size() - comma - 3);
    }
}

Found read_fooocus(const std::string& keyword, const std::string& content) {
    const json object = object_in(content);
    if (!object.contains("prompt") || !object.contains("base_model")) return std::nullopt;
    GenerationText text = made_by("Fooocus", keyword);
    text.prompt = text_at(object, "prompt");
    text.negative_prompt = text_at(object, "negative_prompt");
    add_settings(text, object, {"prompt", "negative_prompt"});
    mend_resolution(text);
    return text;
}

Found read_swarm(const std::string& keyword, const std::string& content) {
    const json object = object_in(content);
    const auto settings = object.find("sui_image_params");
    if (settings == object.end() || !settings->is_object()) return std::nullopt;
    GenerationText text = made_by("SwarmUI", keyword);
    text.prompt = text_at(*settings, "prompt");
    text.negative_prompt = text_at(*settings, "negativeprompt");
    add_settings(text, *settings, {"prompt", "negativeprompt"});
    return text;
}

Found read_invoke(const std::string& keyword, const std::string& content) {
    const json object = object_in(content);
    if (!object.contains("positive_prompt")) return std::nullopt;
    GenerationText text = made_by("InvokeAI", keyword);
    text.prompt = text_at(object, "positive_prompt");
    text.negative_prompt = text_at(object, "negative_prompt");
    if (const auto model = object.find("model"); model != object.end() && model->is_object())
        for (const char* const key : {"name", "model_name"})
            if (const auto name = text_at(*model, key); !name.empty()) add_setting(text, "model", name);
    // What InvokeAI calls a scheduler is what others call a sampler.
    if (const auto sampler = text_at(object, "scheduler"); !sampler.empty()) add_setting(text, "sampler", sampler);
    add_settings(text, object, {"positive_prompt", "negative_prompt", "scheduler"});
    return text;
}

/// InvokeAI 2: prompts are lists with weights, or texts in which the negative prompt stands in brackets.
Found read_old_invoke(const std::string& keyword, const std::string& content) {
    const json object = object_in(content);
    const auto image = object.find("image");
    if (image == object.end() || !image->is_object() || !image->contains("prompt")) return std::nullopt;
    GenerationText text = made_by("InvokeAI", keyword);
    const json& prompt = image->at("prompt");
    const bool list = prompt.is_array() && !prompt.empty() && prompt.front().is_object();
    text.prompt = list ? text_at(prompt.front(), "prompt") : shown(prompt);
    add_settings(text, *image, {"prompt"});
    if (const auto model = text_at(object, "model_weights"); !model.empty()) add_setting(text, "model", model);
    return text;
}

Found read_novel(const std::string& keyword, const std::string& content) {
    const json object = object_in(content);
    if (!object.contains("prompt") || !object.contains("uc") || !object.contains("scale")) return std::nullopt;
    GenerationText text = made_by("NovelAI", keyword);
    text.prompt = text_at(object, "prompt");
    text.negative_prompt = text_at(object, "uc");
    add_settings(text, object, {"prompt", "uc"});
    return text;
}

Found read_draw_things(const std::string& keyword, const std::string& content) {
    const json object = object_in(content);
    if (!object.contains("c") || !object.contains("uc")) return std::nullopt;
    GenerationText text = made_by("Draw Things", keyword);
    text.prompt = text_at(object, "c");
    text.negative_prompt = text_at(object, "uc");
    add_settings(text, object, {"c", "uc", "v2"});
    return text;
}

/// What stands in an element or an attribute of XMP.
std::string xmp_value(const std::string& xmp, const std::string& name) {
    const auto between = [&](const std::string& opening, const std::string& closing) -> std::string {
        const size_t begin = xmp.find(opening);
        if (begin == std::string::npos) return "";
        const size_t from = begin + opening.size(), end = xmp.find(closing, from);
        return end == std::string::npos ? "" : xmp.substr(from, end - from);
    };
    std::string value = between(name + "=\"", "\"");
    if (value.empty()) value = between("<" + name + ">", "</" + name + ">");
    if (const size_t item = value.find("<rdf:li"); item != std::string::npos) {
        const size_t begin = value.find('>', item), end = value.find("</rdf:li>", item);
        if (begin == std::string::npos || end == std::string::npos || end < begin) return "";
        value = value.substr(begin + 1, end - begin - 1);
    }
    return unescape_markup(value);
}

Found read_xmp(const std::string& keyword, const std::string& xmp) {
    if (Found found = read_draw_things(keyword, xmp_value(xmp, "exif:UserComment"))) return found;
    return read_a1111(keyword, xmp_value(xmp, "sdcpp:parameters"));
}

/// JSON as Python writes it where a number is none: ComfyUI marks some nodes with "is_changed": [NaN].
std::string without_nan(const std::string& json) {
    std::string plain;
    bool in_text = false;
    for (size_t i = 0; i < json.size(); ++i) {
        if (json[i] == '"') in_text = !in_text;
        if (in_text && json[i] == '\\') plain += json[i++];
        const std::string_view rest = std::string_view(json).substr(i);
        size_t length = 0;
        for (const std::string_view name : {"NaN", "-Infinity", "Infinity"})
            if (!in_text && length == 0 && rest.starts_with(name)) length = name.size();
        plain += length > 0 ? std::string_view("null") : rest.substr(0, 1);
        i += std::max<size_t>(length, 1) - 1;
    }
    return plain;
}

/// A graph of nodes. Links are [node, output].
class ComfyGraph {
public:
    explicit ComfyGraph(const json& nodes) : nodes_(nodes) {}

    bool valid() const {
        return !nodes_.empty() && std::all_of(nodes_.begin(), nodes_.end(), [](const json& node) {
            return node.is_object() && node.contains("class_type") && node.contains("inputs") &&
                   node.at("inputs").is_object();
        });
    }

    /// The only node that samples from two texts; null where there are several.
    const json* sampler() const {
        const json* only = nullptr;
        for (const json& node : nodes_) {
            const json& inputs = node.at("inputs");
            if (!inputs.contains("positive") || !inputs.contains("negative") || !inputs.contains("steps")) continue;
            if (only) return nullptr;
            only = &inputs;
        }
        return only;
    }

    /// The text that an input leads to, through nodes with one such input each; absent where that is not clear.
    std::optional<std::string> text_behind(const json& input, const std::set<std::string>& names, int depth = 0) const {
        constexpr int deepest = 16;
        if (input.is_string()) return input.get<std::string>();
        const json* const node = depth < deepest ? node_behind(input) : nullptr;
        if (!node) return std::nullopt;
        const json& inputs = node->at("inputs");
        if (text_at(*node, "class_type") == "ConditioningZeroOut") return "";  // the text behind it counts for nothing
        // Nodes that change both conditionings (ControlNet) pass them on in this order.
        const bool second = input.size() > 1 && input.at(1) == 1;
        if (const auto both = inputs.find(second ? "negative" : "positive"); both != inputs.end())
            return text_behind(*both, names, depth + 1);
        std::optional<std::string> found;
        for (const std::string& name : names) {
            const auto next = inputs.find(name);
            if (next == inputs.end()) continue;
            const auto text = text_behind(*next, names, depth + 1);
            if (!text || (found && *found != *text)) return std::nullopt;  // SDXL's node has a text for each encoder
            found = text;
        }
        return found;
    }

    const json* node_behind(const json& link) const {
        if (!link.is_array() || link.empty() || !link.front().is_string()) return nullptr;
        const auto node = nodes_.find(link.front().get<std::string>());
        return node == nodes_.end() ? nullptr : &*node;
    }

private:
    const json& nodes_;
};

Found read_comfy(const std::string& keyword, const std::string& content) {
    const json nodes = object_in(without_nan(content));
    const ComfyGraph graph(nodes);
    if (!graph.valid()) return std::nullopt;
    const json* const sampler = graph.sampler();
    if (!sampler) return std::nullopt;
    static const std::set<std::string> of_texts{"text", "conditioning", "text_g", "text_l", "string", "value"};
    const auto prompt = graph.text_behind(sampler->at("positive"), of_texts);
    const auto negative = graph.text_behind(sampler->at("negative"), of_texts);
    if (!prompt || !negative) return std::nullopt;  // the graph itself says more
    GenerationText text = made_by("ComfyUI", keyword);
    text.prompt = *prompt;
    text.negative_prompt = *negative;
    for (const auto& [key, value] : sampler->items())
        if (!value.is_array()) add_setting(text, key, value);
    if (const auto model = sampler->find("model"); model != sampler->end())
        if (const auto name = graph.text_behind(*model, {"ckpt_name", "unet_name", "model"}))
            add_setting(text, "model", *name);
    if (const auto latents = sampler->find("latent_image"); latents != sampler->end())
        if (const json* const node = graph.node_behind(*latents)) add_size(text, node->at("inputs"));
    return text;
}

using Reader = Found (*)(const std::string& keyword, const std::string& content);

/// By keyword, in the order in which they are tried.
const std::vector<std::pair<std::string, std::vector<Reader>>>& readers() {
    static const std::vector<Reader> parameters{read_fooocus, read_swarm, read_draw_things, read_novel, read_a1111};
    static const std::vector<std::pair<std::string, std::vector<Reader>>> all{
        {"parameters", parameters},
        {"invokeai_metadata", {read_invoke}},
        {"sd-metadata", {read_old_invoke}},
        {"XML:com.adobe.xmp", {read_xmp}},
        {"UserComment", parameters},
        {"Comment", parameters},
        {"prompt", {read_comfy}},
        {"Model", {read_comfy}},  // in WebP files: "prompt:{...}"
        {"Make", {read_comfy}},
        {"ImageDescription", {read_comfy, read_a1111}}};
    return all;
}

std::string without_mark(const std::string& text) {
    for (const std::string_view mark : {"prompt:", "Prompt:"})
        if (text.starts_with(mark)) return text.substr(mark.size());
    return text;
}

/// NovelAI names its model in a text of its own: "NovelAI Diffusion V4.5 4BDE2A90".
void add_model_beside(GenerationText& text, const std::vector<TextChunk>& chunks) {
    if (text.program != "NovelAI") return;
    for (const TextChunk& chunk : chunks)
        if (chunk.keyword == "Source") add_setting(text, "model", chunk.text);
}

Found find_text(const std::vector<TextChunk>& chunks) {
    for (const auto& [keyword, possible] : readers())
        for (const TextChunk& chunk : chunks) {
            if (chunk.keyword != keyword) continue;
            for (const Reader read : possible) {
                const bool comfy = read == &read_comfy;
                if (Found found = read(keyword, repaired(comfy ? without_mark(chunk.text) : chunk.text))) return found;
            }
        }
    return std::nullopt;
}

}  // namespace

std::optional<GenerationText> find_generation_text(const std::vector<TextChunk>& chunks) {
    Found found = find_text(chunks);
    if (found) add_model_beside(*found, chunks);
    return found;
}

}  // namespace diffapple
