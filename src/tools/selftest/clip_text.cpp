// ClipTextModel in several shapes on the device, against itself in double precision on the CPU.
#include "diffapple/models/clip_text.h"

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "parts.h"

namespace diffapple::selftest {
namespace {

constexpr int64_t vocabulary = 200;

/// The smallest text encoder in the shape of SD v1.5's; `changes` replaces keys of its config.
ClipTextConfig small_clip_config(const nlohmann::json& changes) {
    nlohmann::json config{{"vocab_size", vocabulary}, {"hidden_size", 64},        {"intermediate_size", 128},
                          {"num_hidden_layers", 3},   {"num_attention_heads", 4}, {"projection_dim", 48},
                          {"eos_token_id", 2}};
    config.update(changes);
    return ClipTextConfig::from_json(JsonFields(config, "selftest"));
}

/// Two texts of different words.
at::Tensor token_ids() {
    constexpr int64_t length = 77, stride = 37;
    return at::arange(2 * length).mul_(stride).remainder_(vocabulary).view({2, length});
}

Check encoder_check(const std::string& name, const nlohmann::json& changes, ClipTextRequest request) {
    request.pooled = true;
    const auto run = [=](const Placement& placement) {
        constexpr int64_t roundings = 40;
        const auto twins = make_twins<ClipTextModel>(small_clip_config(changes), placement);
        const auto tested = twins.tested->forward(token_ids(), request);
        const auto exact = twins.exact->forward(token_ids(), request);
        return compare(at::cat({tested.hidden.flatten(), tested.pooled.flatten()}),
                       at::cat({exact.hidden.flatten(), exact.pooled.flatten()}), placement, roundings);
    };
    return {"text encoder, " + name, run};
}

/// Attention that leaks a later token into an earlier one changes the picture without looking wrong.
Comparison check_causality(const Placement& placement) {
    constexpr int64_t changed_from = 40;
    ClipTextModel model(small_clip_config(nlohmann::json::object()));
    load_random_state(model, /*seed=*/1, placement);
    at::Tensor ids = token_ids();
    const auto before = model.forward(ids, {}).hidden.narrow(1, 0, changed_from).contiguous();
    ids.slice(1, changed_from).fill_(7);
    return compare_exactly(model.forward(ids, {}).hidden.narrow(1, 0, changed_from).contiguous(), before);
}

}  // namespace

std::vector<Check> clip_text_checks() {
    const nlohmann::json projected{{"hidden_act", "gelu"}, {"architectures", {"CLIPTextModelWithProjection"}}};
    return {encoder_check("as SD v1.5", nlohmann::json::object(), {}),
            encoder_check("as SDXL's second", projected, {.layers_skipped = 1, .final_norm = false}),
            {"text encoder, causal", check_causality}};
}

}  // namespace diffapple::selftest
