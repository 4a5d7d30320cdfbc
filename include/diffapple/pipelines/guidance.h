// Classifier-free guidance (Ho & Salimans 2021).
#pragma once

#include <ATen/core/Tensor.h>

namespace diffapple {

/// eps = eps_negative + scale (eps_positive - eps_negative), as Imagen's eq. 2 (Saharia et al. 2022).
struct Guidance {
    double scale = 1.0;
    double rescale = 0.0;   ///< phi of Lin et al. 2023, section 3.4; 0: none
    bool embedded = false;  ///< the model learnt what a scale does, and gets its number

    /// Up to 1, and where it is embedded, there is one conditional pass, and no negative prompt.
    bool active() const { return scale > 1.0 && !embedded; }
    /// `both` [2 N, C, H, W], fp32: predictions for the negative prompts, then for the positive. Returns [N, C, H, W].
    at::Tensor apply(const at::Tensor& both) const;
};

}  // namespace diffapple
