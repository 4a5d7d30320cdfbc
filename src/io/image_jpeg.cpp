// JPEG files, decoded by libjpeg-turbo with the options that Pillow leaves at their defaults (exact inverse DCT, smooth
// upsampling): the same values as Pillow's.
#include <cstdio>  // jpeglib.h needs it
//
#include <jerror.h>
#include <jpeglib.h>

#include <array>
#include <string>

#include "c_errors.h"
#include "diffapple/core/error.h"
#include "exif.h"
#include "image_formats.h"

#ifndef LIBJPEG_TURBO_VERSION
#error "This is another libjpeg, which computes other values: install libjpeg-turbo (libjpeg62-turbo-dev, jpeg-turbo)."
#endif

namespace diffapple {
namespace {

constexpr const char* jpeg_cut_off = "ends before the picture does";
constexpr const char* jpeg_many_scans = "has more than 100 scans, or too many for its size";

class JpegDecoder {
public:
    JpegDecoder(const std::filesystem::path& path, std::string_view bytes) : path_(path), bytes_(bytes) {
        info_.err = jpeg_std_error(&manager_);
        info_.client_data = this;
        manager_.error_exit = on_error;
        manager_.emit_message = on_message;
        progress_.progress_monitor = on_progress;
    }
    ~JpegDecoder() { jpeg_destroy_decompress(&info_); }
    JpegDecoder(const JpegDecoder&) = delete;
    JpegDecoder& operator=(const JpegDecoder&) = delete;

    StoredImage decode() {
        read_header();
        const int turned = orientation();  // the markers are forgotten at the end
        info_.out_color_space = components() == 1 ? JCS_GRAYSCALE : components() == 3 ? JCS_RGB : JCS_CMYK;
        attempt([this] { jpeg_start_decompress(&info_); });
        StoredImage stored{blank_image(info_.output_width, info_.output_height, components() == 1 ? 1 : 3), turned};
        components() == 4 ? read_cmyk(stored.image) : read_rows(stored.image);
        attempt([this] { jpeg_finish_decompress(&info_); });
        return stored;
    }

private:
    static JpegDecoder& decoder(j_common_ptr info) { return *static_cast<JpegDecoder*>(info->client_data); }

    static void on_error(j_common_ptr info) {
        std::array<char, JMSG_LENGTH_MAX> text{};
        info->err->format_message(info, text.data());
        decoder(info).errors_.leave(text.data());
    }

    /// Damage that libjpeg goes on after is no error to Pillow either, but for a file that ends too early.
    static void on_message(j_common_ptr info, int) {
        if (info->err->msg_code == JWRN_JPEG_EOF) decoder(info).errors_.leave(jpeg_cut_off);
    }

    /// Each scan is a pass over the whole picture, and may take some bytes only.
    static void on_progress(j_common_ptr info) {
        constexpr int64_t most_scans = 100, most_blocks = 30'000'000;
        JpegDecoder& self = decoder(info);
        const int64_t scans = self.info_.input_scan_number;
        if (scans > most_scans || (scans > 12 && scans * self.blocks() > most_blocks))
            self.errors_.leave(jpeg_many_scans);
    }

    template <typename Step>
    void attempt(Step step) {
        if (errors_.attempt(step)) return;
        const std::string_view text = errors_.message();
        if (text == jpeg_cut_off || text == jpeg_many_scans) reject(text);
        reject(concat("cannot be decoded: ", text));
    }

    [[noreturn]] void reject(std::string_view problem) const { fail(path_.string(), ": ", problem); }

    int components() const { return info_.num_components; }
    int64_t blocks() const { return (int64_t{info_.image_width} + 7) / 8 * ((int64_t{info_.image_height} + 7) / 8); }

    void read_header() {
        attempt([this] {
            jpeg_create_decompress(&info_);
            info_.progress = &progress_;
            jpeg_mem_src(&info_, reinterpret_cast<const unsigned char*>(bytes_.data()), bytes_.size());
            jpeg_save_markers(&info_, JPEG_APP0 + 1, 0xffff);
            jpeg_read_header(&info_, TRUE);
        });
        check_image_size(path_, info_.image_width, info_.image_height);
        if (info_.data_precision != 8)
            reject("is a JPEG file of more than 8 bits a value, a kind that is not read: save it as PNG");
        if (components() != 1 && components() != 3 && components() != 4)
            reject(concat("is a JPEG file of ", components(), " components; 1, 3 and 4 are read"));
        // Each block of 8x8 pixels takes at least one bit.
        if (static_cast<int64_t>(bytes_.size()) * 8 < blocks())
            reject(concat("is too short for a picture of ", info_.image_width, "x", info_.image_height, " pixels"));
        check_image_cost(path_, bytes_.size(), coefficient_bytes() + pixel_bytes());
    }

    int64_t pixel_bytes() const {
        return int64_t{info_.image_width} * info_.image_height * (components() == 1 ? 1 : 3);
    }

    /// What a picture of several scans (a progressive one) keeps until the last of them is read.
    int64_t coefficient_bytes() const {
        if (!jpeg_has_multiple_scans(const_cast<jpeg_decompress_struct*>(&info_))) return 0;
        int64_t blocks = 0;
        for (int i = 0; i < components(); ++i)
            blocks += int64_t{info_.comp_info[i].width_in_blocks} * info_.comp_info[i].height_in_blocks;
        return blocks * int64_t{sizeof(JBLOCK)};
    }

    /// Several segments with EXIF are one block, as in Pillow.
    int orientation() const {
        constexpr std::string_view exif_start{"Exif\0\0", 6}, xmp_start{"http://ns.adobe.com/xap/1.0/\0", 29};
        std::string exif, xmp;
        for (const auto* marker = info_.marker_list; marker; marker = marker->next) {
            const std::string_view data(reinterpret_cast<const char*>(marker->data), marker->data_length);
            if (data.starts_with(exif_start)) exif += data.substr(exif_start.size());
            if (data.starts_with(xmp_start)) xmp = data.substr(xmp_start.size());
        }
        return exif_orientation(exif).value_or(xmp_orientation(xmp).value_or(1));
    }

    void read_row(JSAMPROW row) {
        attempt([this, &row] { jpeg_read_scanlines(&info_, &row, 1); });
    }

    void read_rows(Image& image) {
        for (int64_t y = 0; y < image.height; ++y) read_row(&image.pixels[y * image.width * image.channels]);
    }

    /// As Pillow: the values are taken for inverted, with or without Adobe's marker, and multiplied out.
    void read_cmyk(Image& image) {
        std::vector<JSAMPLE> row(static_cast<size_t>(image.width) * 4);
        uint8_t* target = image.pixels.data();
        for (int64_t y = 0; y < image.height; ++y) {
            read_row(row.data());
            for (auto value = row.begin(); value != row.end(); value += 4) {
                const int light = value[3];
                for (int channel = 0; channel < 3; ++channel) {
                    const int product = (255 - value[channel]) * light + 128;
                    *target++ = static_cast<uint8_t>(light - (((product >> 8) + product) >> 8));
                }
            }
        }
    }

    const std::filesystem::path& path_;
    std::string_view bytes_;
    jpeg_error_mgr manager_{};
    jpeg_progress_mgr progress_{};
    jpeg_decompress_struct info_{};
    CErrors errors_;
};

}  // namespace

StoredImage decode_jpeg(const std::filesystem::path& path, std::string_view bytes) {
    return JpegDecoder(path, bytes).decode();
}

}  // namespace diffapple
