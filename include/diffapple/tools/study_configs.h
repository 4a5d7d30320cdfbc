// The config.json files of the study's models, so that they can be built where they were never downloaded.
#pragma once

#include <string>
#include <vector>

namespace diffapple {

/// JSON texts of a Stable Diffusion checkpoint's components.
struct StudyConfigs {
    std::string unet, vae;
    std::vector<std::string> text_encoders;
};

StudyConfigs sd15_configs();         ///< stable-diffusion-v1-5/stable-diffusion-v1-5
StudyConfigs sd2_inpaint_configs();  ///< stabilityai/stable-diffusion-2-inpainting
StudyConfigs sdxl_turbo_configs();   ///< stabilityai/sdxl-turbo

/// The UNet of google/ddpm-cat-256.
std::string ddpm_cat_config();

}  // namespace diffapple
