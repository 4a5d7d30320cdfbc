// The components of a checkpoint's folder as a component store takes them. Each function throws Error where the
// component's config is missing; weights and the other files are looked at when the store asks.
#pragma once

#include <functional>
#include <string>

#include "diffapple/models/checkpoint.h"
#include "diffapple/models/component_store.h"
#include "diffapple/text/clip_tokenizer.h"
#include "diffapple/text/weighted_tokens.h"

namespace diffapple {

/// What a tokenizer is to a pipeline.
struct Tokenize {
    std::function<ClipTokenizer::Padded(const std::string& text)> padded;
    std::function<WeightedTokens(const WeightedPart& part)> weighted;
};

ComponentDescription describe_unet_2d(const Checkpoint& checkpoint);            ///< "unet": UNet2DModel
ComponentDescription describe_unet_2d_condition(const Checkpoint& checkpoint);  ///< "unet": UNet2DConditionModel
ComponentDescription describe_autoencoder_kl(const Checkpoint& checkpoint);     ///< "vae": AutoencoderKL

/// "text_encoder", "text_encoder_2": ClipTextModel.
ComponentDescription describe_clip_text(const Checkpoint& checkpoint, const std::string& name);

/// "tokenizer", "tokenizer_2": Tokenize. Its check reads the files.
ComponentDescription describe_tokenizer(const Checkpoint& checkpoint, const std::string& name);

/// "safety_checker": SafetyCheckerModel. Errors name --safety off.
ComponentDescription describe_safety_checker(const Checkpoint& checkpoint);

/// "feature_extractor": ClipImageProcessorConfig, of the pictures that the safety checker sees. Its check also throws
/// when they would not fit the safety checker. Errors name --safety off.
ComponentDescription describe_feature_extractor(const Checkpoint& checkpoint);

}  // namespace diffapple
