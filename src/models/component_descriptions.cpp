#include "diffapple/models/component_descriptions.h"

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "diffapple/core/numbers.h"
#include "diffapple/core/stop.h"
#include "diffapple/io/files.h"
#include "diffapple/io/sha256.h"
#include "diffapple/models/autoencoder_kl.h"
#include "diffapple/models/clip_image_processor.h"
#include "diffapple/models/clip_text.h"
#include "diffapple/models/component_loading.h"
#include "diffapple/models/safety_checker.h"
#include "diffapple/models/unet_2d.h"
#include "diffapple/models/unet_2d_condition.h"
#include "diffapple/nn/quantisation.h"

namespace diffapple {

namespace {

std::string config_sha256(const nlohmann::json& config) {
    return sha256(without_notes(config).dump());
}

/// Tables of vectors are not quantised: their rows are looked up, not computed with.
bool is_table(const std::string& tensor) {
    return tensor.ends_with("token_embedding.weight") || tensor.ends_with("position_embedding.weight");
}

uint64_t elements(const StoredTensor& tensor) {
    uint64_t count = 1;
    for (const int64_t size : tensor.shape) count *= static_cast<uint64_t>(size);
    return count;
}

ComponentSize read_size(const Component& component, const Placement& placement) {
    ComponentSize size;
    for (const auto& [name, tensor] : open_component(component, placement)) {
        const uint64_t count = elements(tensor);
        (nn::is_worth_quantising(tensor.shape) && !is_table(name) ? size.quantisable : size.other) += count;
        size.largest = std::max(size.largest, count);
    }
    return size;
}

/// Weights that change between their digest and the end of their loading would be others than the recipe says.
void watch_weights(ComponentDescription& description, const Component& component) {
    const auto digested = std::make_shared<std::optional<WeightsWatch>>();
    description.identify = [component, digested, identify = description.identify](bool prefer_half) {
        digested->emplace(component.weights(prefer_half));
        return identify(prefer_half);
    };
    description.load = [component, digested, load = description.load](const Placement& placement) {
        const WeightsWatch loaded(component.weights(placement.dtype == c10::kHalf));
        auto model = load(placement);
        loaded.require_unchanged();
        if (*digested) (*digested)->require_unchanged();
        return model;
    };
}

/// A component with a config and weights; its check and its loading are still to be set.
ComponentDescription describe_weights(const Component& component) {
    return {.name = component.name,
            .identify =
                [component](bool prefer_half) {
                    const std::string config = config_sha256(component.config);
                    return ComponentIdentity{.weights = weights_sha256(component.weights(prefer_half)),
                                             .config = config,
                                             .config_schema_1 = config};
                },
            .size = [component](const Placement& placement) { return read_size(component, placement); }};
}

/// A network whose config class has from_json. It is used many times, so that its layers pack their weights.
template <typename Model, typename Config>
ComponentDescription describe_network(const Component& component) {
    ComponentDescription description = describe_weights(component);
    description.check = [component](const Placement& placement) {
        return check_model<Model>(component, Config::from_json(JsonFields(component.config, component.where())),
                                  placement);
    };
    description.tensors = [component](bool prefer_half) {
        const auto config = Config::from_json(JsonFields(component.config, component.where()));
        return fitting_tensors(*build_model<Model>(component, config), component.open(prefer_half), component.name);
    };
    description.load = [component](const Placement& placement) {
        auto model = load_model<Model, Config>(component, placement);
        nn::pack_weights(*model, nn::passes_that_repay_packing);
        return model;
    };
    watch_weights(description, component);
    return description;
}

}  // namespace

ComponentDescription describe_unet_2d(const Checkpoint& checkpoint) {
    return describe_network<UNet2DModel, UNet2DConfig>(checkpoint.component("unet"));
}

ComponentDescription describe_unet_2d_condition(const Checkpoint& checkpoint) {
    return describe_network<UNet2DConditionModel, UNet2DConditionConfig>(checkpoint.component("unet"));
}

ComponentDescription describe_autoencoder_kl(const Checkpoint& checkpoint) {
    return describe_network<AutoencoderKL, AutoencoderKLConfig>(checkpoint.component("vae"));
}

ComponentDescription describe_clip_text(const Checkpoint& checkpoint, const std::string& name) {
    const Component component = checkpoint.component(name);
    ComponentDescription description = describe_weights(component);
    description.stays_from = Keep::all;
    description.check = [component](const Placement& placement) { return check_clip_text(component, placement); };
    description.load = [component](const Placement& placement) { return load_clip_text(component, placement); };
    description.tensors = [component](bool prefer_half) { return clip_text_tensors(component, prefer_half); };
    watch_weights(description, component);
    return description;
}

namespace {

/// Digest of those of the files that are there.
std::string files_sha256(const TokenizerSource& source, const std::vector<std::string>& names) {
    std::string digests;
    for (const auto& name : names)
        if (const auto text = source.texts.find(name); text != source.texts.end())
            digests += name + ' ' + sha256(text->second) + '\n';
        else if (source.texts.empty() && is_file(source.folder / name))
            digests += name + ' ' + sha256_of_file(source.folder / name) + '\n';
    return sha256(digests);
}

/// Of the files that decide how a text is cut into tokens. New names come last: where their files are absent, the
/// digest stays as it is in older recipes.
ComponentIdentity identify_tokenizer(const TokenizerSource& source) {
    std::vector<std::string> names{"vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json",
                                   "special_tokens_map.json"};
    const std::string schema_1 = files_sha256(source, names);
    names.insert(names.end(), {"added_tokens.json", "tokenizer.model"});
    return {.config = files_sha256(source, names), .config_schema_1 = schema_1};
}

}  // namespace

ComponentDescription describe_tokenizer(const Checkpoint& checkpoint, const std::string& name) {
    const TokenizerSource source = checkpoint.tokenizer(name);
    // Its vocabulary is large, so that it is read once for the check and for use.
    const auto read = [source, kept = std::make_shared<std::optional<ClipTokenizer>>()] {
        if (!*kept) kept->emplace(source.open());
        return **kept;
    };
    return {.name = name,
            .stays_from = Keep::none,
            .identify = [source](bool) { return identify_tokenizer(source); },
            .check =
                [read](const Placement&) {
                    read();
                    return std::string();
                },
            .load =
                [read](const Placement&) {
                    const auto tokenizer = read();
                    return std::make_shared<Tokenize>(Tokenize{
                        .padded = [tokenizer](const std::string& text) { return tokenizer.encode_padded(text); },
                        .weighted = [tokenizer](const WeightedPart& part) { return tokenize(tokenizer, part); }});
                }};
}

namespace {

/// The safety checker can be done without, so that its errors say how.
template <typename Action>
auto with_way_out(const Action& action) {
    try {
        return action();
    } catch (const Interrupted&) {
        throw;
    } catch (const Error& error) {
        throw Error(concat(error.what(), "; or leave the safety checker out with --safety off"), error.code());
    }
}

constexpr const char* processor_where = "feature_extractor/preprocessor_config.json";

nlohmann::json read_processor(const Checkpoint& checkpoint) {
    const auto processor = checkpoint.read(processor_where);
    if (!processor)
        fail("model ", checkpoint.name, ": its feature_extractor is missing (no ", processor_where, " in ",
             checkpoint.folder.string(), "), and its safety checker needs it; download the model again");
    return *processor;
}

ClipImageProcessorConfig parse_processor(const nlohmann::json& processor) {
    return ClipImageProcessorConfig::from_json(JsonFields(processor, processor_where));
}

/// Throws Error where the pictures that a feature extractor makes are not those that the safety checker takes.
void require_match(const ClipImageProcessorConfig& processor, const Component& checker) {
    const auto vision = SafetyCheckerConfig::from_json(JsonFields(checker.config, checker.where())).vision;
    const auto made = processor.fixed_size();
    if (vision.num_channels != 3)
        fail(checker.where(), ": its pictures have ", counted(vision.num_channels, "channel"), " instead of 3");
    if (made && *made != Size{vision.image_size, vision.image_size})
        fail(processor_where, ": makes pictures of ", made->width, 'x', made->height, ", but ", checker.where(),
             " takes ", vision.image_size, 'x', vision.image_size, "; a component is of another model");
}

}  // namespace

ComponentDescription describe_safety_checker(const Checkpoint& checkpoint) {
    const Component component = with_way_out([&] { return checkpoint.component("safety_checker"); });
    ComponentDescription description = describe_weights(component);
    description.load = [component](const Placement& placement) { return load_safety_checker(component, placement); };
    description.tensors = [component](bool prefer_half) { return safety_checker_tensors(component, prefer_half); };
    watch_weights(description, component);
    description.identify = [identify = description.identify](bool prefer_half) {
        return with_way_out([&] { return identify(prefer_half); });
    };
    description.size = [size = description.size](const Placement& placement) {
        return with_way_out([&] { return size(placement); });
    };
    description.check = [component](const Placement& placement) {
        return with_way_out([&] { return check_safety_checker(component, placement); });
    };
    description.load = [load = description.load](const Placement& placement) {
        return with_way_out([&] { return load(placement); });
    };
    return description;
}

ComponentDescription describe_feature_extractor(const Checkpoint& checkpoint) {
    return {.name = "feature_extractor",
            .stays_from = Keep::none,
            .identify =
                [checkpoint](bool) {
                    return with_way_out(
                        [&] { return ComponentIdentity{.config = config_sha256(read_processor(checkpoint))}; });
                },
            .check =
                [checkpoint](const Placement&) {
                    with_way_out([&] {
                        const auto processor = parse_processor(read_processor(checkpoint));
                        require_match(processor, checkpoint.component("safety_checker"));
                    });
                    return std::string();
                },
            .load =
                [checkpoint](const Placement&) {
                    return with_way_out([&] {
                        return std::make_shared<ClipImageProcessorConfig>(parse_processor(read_processor(checkpoint)));
                    });
                }};
}

}  // namespace diffapple
