#include "original_keys.h"

#include <ATen/ATen.h>

#include <array>

#include "diffapple/core/error.h"
#include "diffapple/core/text.h"

namespace diffapple {
namespace {

/// The rules of a module whose names are `inner` inside it.
void add_inside(KeyRules& rules, const std::string& original, const std::string& current, const KeyRules& inner) {
    for (const KeyRule& rule : inner) rules.push_back({original + rule.original, current + rule.current, rule.take});
}

const KeyRules unet_outside{{"time_embed.0.", "time_embedding.linear_1."},
                            {"time_embed.2.", "time_embedding.linear_2."},
                            {"label_emb.0.0.", "add_embedding.linear_1."},
                            {"label_emb.0.2.", "add_embedding.linear_2."},
                            {"input_blocks.0.0.", "conv_in."},
                            {"middle_block.1.", "mid_block.attentions.0."},
                            {"out.0.", "conv_norm_out."},
                            {"out.2.", "conv_out."}};
const KeyRules unet_resnet{{"in_layers.0.", "norm1."},          {"in_layers.2.", "conv1."},
                           {"emb_layers.1.", "time_emb_proj."}, {"out_layers.0.", "norm2."},
                           {"out_layers.3.", "conv2."},         {"skip_connection.", "conv_shortcut."}};

const KeyRules vae_resnet{{"", ""}, {"nin_shortcut.", "conv_shortcut."}};
const KeyRules vae_attention{{"norm.", "group_norm."},
                             {"q.", "to_q."},
                             {"k.", "to_k."},
                             {"v.", "to_v."},
                             {"proj_out.", "to_out.0."},
                             {"q.weight", "to_q.weight", Take::convolution},
                             {"k.weight", "to_k.weight", Take::convolution},
                             {"v.weight", "to_v.weight", Take::convolution},
                             {"proj_out.weight", "to_out.0.weight", Take::convolution}};

const KeyRules open_clip_outside{{"positional_embedding", "embeddings.position_embedding.weight"},
                                 {"token_embedding.", "embeddings.token_embedding."},
                                 {"ln_final.", "final_layer_norm."},
                                 {"attn_mask", "", Take::nothing},
                                 {"logit_scale", "", Take::nothing}};
const KeyRules open_clip_projection{{"text_projection", "text_projection.weight", Take::transposed},
                                    {"text_projection.weight", "text_projection.weight"}};
const KeyRules open_clip_layer{{"ln_1.", "layer_norm1."},
                               {"ln_2.", "layer_norm2."},
                               {"attn.in_proj_weight", "self_attn.q_proj.weight", Take::first_third},
                               {"attn.in_proj_weight", "self_attn.k_proj.weight", Take::second_third},
                               {"attn.in_proj_weight", "self_attn.v_proj.weight", Take::last_third},
                               {"attn.in_proj_bias", "self_attn.q_proj.bias", Take::first_third},
                               {"attn.in_proj_bias", "self_attn.k_proj.bias", Take::second_third},
                               {"attn.in_proj_bias", "self_attn.v_proj.bias", Take::last_third},
                               {"attn.out_proj.", "self_attn.out_proj."},
                               {"mlp.c_fc.", "mlp.fc1."},
                               {"mlp.c_proj.", "mlp.fc2."}};

const KeyRules clip_fused_attention{
    {"in_proj.weight", "q_proj.weight", Take::first_third}, {"in_proj.weight", "k_proj.weight", Take::second_third},
    {"in_proj.weight", "v_proj.weight", Take::last_third},  {"in_proj.bias", "q_proj.bias", Take::first_third},
    {"in_proj.bias", "k_proj.bias", Take::second_third},    {"in_proj.bias", "v_proj.bias", Take::last_third}};

void add_unet_layer(KeyRules& rules, const std::string& original, const std::string& block, int64_t layer) {
    add_inside(rules, original + ".0.", concat(block, ".resnets.", layer, "."), unet_resnet);
    rules.push_back({original + ".1.", concat(block, ".attentions.", layer, ".")});
}

}  // namespace

KeyRules unet_keys(const UNet2DConditionConfig& config) {
    KeyRules rules = unet_outside;
    add_inside(rules, "middle_block.0.", "mid_block.resnets.0.", unet_resnet);
    add_inside(rules, "middle_block.2.", "mid_block.resnets.1.", unet_resnet);
    const size_t levels = config.block_out_channels.size();
    int64_t input = 1, output = 0;
    for (size_t level = 0; level < levels; ++level) {
        const std::string down = concat("down_blocks.", level), up = concat("up_blocks.", level);
        for (int64_t layer = 0; layer < config.layers_per_block[level]; ++layer)
            add_unet_layer(rules, concat("input_blocks.", input++), down, layer);
        for (int64_t layer = 0; layer <= config.layers_per_block[levels - 1 - level]; ++layer)
            add_unet_layer(rules, concat("output_blocks.", output++), up, layer);
        if (level + 1 == levels) break;
        rules.push_back({concat("input_blocks.", input++, ".0.op."), down + ".downsamplers.0.conv."});
        const bool attends = config.up_block_types[level].find("CrossAttn") != std::string::npos;
        rules.push_back(
            {concat("output_blocks.", output - 1, attends ? ".2" : ".1", ".conv."), up + ".upsamplers.0.conv."});
    }
    return rules;
}

KeyRules vae_keys(const AutoencoderKLConfig& config) {
    const size_t levels = config.block_out_channels.size();
    KeyRules rules{{"loss.", "", Take::nothing}, {"model_ema.", "", Take::nothing}};
    for (const std::string half : {"encoder.", "decoder."}) {
        rules.push_back({half + "norm_out.", half + "conv_norm_out."});
        add_inside(rules, half + "mid.block_1.", half + "mid_block.resnets.0.", vae_resnet);
        add_inside(rules, half + "mid.block_2.", half + "mid_block.resnets.1.", vae_resnet);
        add_inside(rules, half + "mid.attn_1.", half + "mid_block.attentions.0.", vae_attention);
    }
    for (size_t level = 0; level < levels; ++level) {
        const std::string down = concat("encoder.down.", level), up = concat("decoder.up.", level);
        const std::string down_block = concat("encoder.down_blocks.", level);
        const std::string up_block = concat("decoder.up_blocks.", levels - 1 - level);  // counted from the other end
        for (int64_t layer = 0; layer <= config.layers_per_block; ++layer) {
            add_inside(rules, concat(down, ".block.", layer, "."), concat(down_block, ".resnets.", layer, "."),
                       vae_resnet);
            add_inside(rules, concat(up, ".block.", layer, "."), concat(up_block, ".resnets.", layer, "."), vae_resnet);
        }
        rules.push_back({down + ".downsample.conv.", down_block + ".downsamplers.0.conv."});
        rules.push_back({up + ".upsample.conv.", up_block + ".upsamplers.0.conv."});
    }
    return rules;
}

KeyRules open_clip_keys(int64_t layers, bool all) {
    KeyRules rules = open_clip_outside;
    if (all)
        rules.insert(rules.end(), open_clip_projection.begin(), open_clip_projection.end());
    else
        rules.insert(rules.end(), {{"text_projection", "", Take::nothing}, {"transformer.", "", Take::nothing}});
    for (int64_t layer = 0; layer < layers; ++layer)
        add_inside(rules, concat("transformer.resblocks.", layer, "."), concat("encoder.layers.", layer, "."),
                   open_clip_layer);
    return rules;
}

KeyRules clip_keys(int64_t layers) {
    KeyRules rules{{"text_model.text_projection", "text_projection.weight", Take::transposed}};
    for (int64_t layer = 0; layer < layers; ++layer) {
        const std::string attention = concat("text_model.encoder.layers.", layer, ".self_attn.");
        add_inside(rules, attention, attention, clip_fused_attention);
    }
    return rules;
}

KeyRules flat_unet_keys(const UNet2DConditionConfig& config) {
    const KeyRules dotted = unet_keys(config);
    KeyRules rules;
    for (const auto& parameter : UNet2DConditionModel(config).named_parameters()) {
        const StoredTensors original = with_original_names({{parameter.key(), {}}}, "", dotted);
        std::string flat = original.begin()->first;
        std::erase(flat, '.');
        rules.push_back({flat, parameter.key()});
    }
    return rules;
}

namespace {

/// A third of a tensor's rows.
StoredTensor third_of(const StoredTensor& whole, int64_t number, const std::string& name) {
    if (whole.shape.empty() || whole.shape[0] % 3 != 0)
        fail(whole.file.string(), ": tensor ", quote(name), " should hold three of the same size, but its shape is ",
             at::IntArrayRef(whole.shape));
    StoredTensor part = whole;
    const int64_t rows = whole.shape[0] / 3;
    part.shape[0] = rows;
    part.bytes = whole.bytes / 3;
    if (part.packing) part.packing->bytes /= 3;
    part.read_into = {};
    part.read = [read = whole.read, number, rows] { return read().narrow(0, number * rows, rows); };
    return part;
}

StoredTensor transposed(const StoredTensor& whole, const std::string& name) {
    if (whole.shape.size() != 2)
        fail(whole.file.string(), ": tensor ", quote(name), " should be a matrix, but its shape is ",
             at::IntArrayRef(whole.shape));
    StoredTensor turned = whole;
    std::swap(turned.shape[0], turned.shape[1]);
    turned.read_into = {};
    turned.read = [read = whole.read] { return read().t().contiguous(); };
    return turned;
}

StoredTensor taken(const StoredTensor& whole, Take take, const std::string& name) {
    switch (take) {
        case Take::transposed:
            return transposed(whole, name);
        case Take::first_third:
            return third_of(whole, 0, name);
        case Take::second_third:
            return third_of(whole, 1, name);
        case Take::last_third:
            return third_of(whole, 2, name);
        default:
            return whole;
    }
}

/// The rules that a name falls under: those with the longest beginning that fits. `beginning`: KeyRule's original or
/// current.
std::vector<const KeyRule*> rules_of(const std::string& name, const KeyRules& rules, std::string KeyRule::*beginning) {
    std::vector<const KeyRule*> found;
    for (const KeyRule& rule : rules) {
        const std::string& start = rule.*beginning;
        if (start.empty() || !name.starts_with(start)) continue;
        if (!found.empty() && start.size() < (found.front()->*beginning).size()) continue;
        if (!found.empty() && start.size() > (found.front()->*beginning).size()) found.clear();
        found.push_back(&rule);
    }
    return found;
}

void add_once(StoredTensors& tensors, const std::string& name, const StoredTensor& tensor) {
    if (!tensors.emplace(name, tensor).second)
        fail(tensor.file.string(), ": holds ", quote(name), " twice, under two names");
}

}  // namespace

StoredTensors with_current_names(const StoredTensors& stored, const std::string& prefix, const KeyRules& rules) {
    StoredTensors renamed;
    for (auto found = stored.lower_bound(prefix); found != stored.end() && found->first.starts_with(prefix); ++found) {
        const auto& [name, tensor] = *found;
        const std::string rest = name.substr(prefix.size());
        const auto of_name = rules_of(rest, rules, &KeyRule::original);
        if (of_name.empty()) add_once(renamed, rest, tensor);
        for (const KeyRule* const rule : of_name)
            if (rule->take != Take::nothing)
                add_once(renamed, rule->current + rest.substr(rule->original.size()), taken(tensor, rule->take, name));
    }
    return renamed;
}

namespace {

StoredTensor as_convolution(const StoredTensor& matrix) {
    if (matrix.shape.size() != 2) return matrix;
    StoredTensor convolution = matrix;
    convolution.shape.insert(convolution.shape.end(), {1, 1});
    convolution.read_into = {};
    convolution.read = [read = matrix.read, shape = convolution.shape] { return read().reshape(shape); };
    return convolution;
}

/// Three tensors as the rows of one.
StoredTensor joined(const std::array<const StoredTensor*, 3>& parts) {
    StoredTensor whole = *parts[0];
    whole.shape[0] = 3 * parts[0]->shape[0];
    whole.bytes = 3 * parts[0]->bytes;
    whole.packing = {};
    whole.read_into = {};
    const std::array tensors{*parts[0], *parts[1], *parts[2]};
    whole.read = [tensors] { return at::cat({tensors[0].read(), tensors[1].read(), tensors[2].read()}); };
    whole.release = [tensors] {
        for (const auto& tensor : tensors) tensor.release();
    };
    return whole;
}

}  // namespace

StoredTensors with_original_names(const StoredTensors& current, const std::string& prefix, const KeyRules& rules) {
    StoredTensors renamed;
    std::map<std::string, std::array<const StoredTensor*, 3>> thirds;
    for (const auto& [name, tensor] : current) {
        const auto of_name = rules_of(name, rules, &KeyRule::current);
        const KeyRule same{.original = "", .current = "", .take = Take::whole};
        const KeyRule& rule = of_name.empty() ? same : *of_name.front();
        const std::string original = prefix + rule.original + name.substr(rule.current.size());
        if (rule.take >= Take::first_third && rule.take <= Take::last_third)
            thirds[original].at(static_cast<size_t>(rule.take) - static_cast<size_t>(Take::first_third)) = &tensor;
        else if (rule.take == Take::convolution)
            add_once(renamed, original, as_convolution(tensor));
        else
            add_once(renamed, original, taken(tensor, rule.take, name));
    }
    for (const auto& [original, parts] : thirds) add_once(renamed, original, joined(parts));
    return renamed;
}

}  // namespace diffapple
