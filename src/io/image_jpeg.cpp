// JPEG files before decoding: the segments are walked, for size, completeness and orientation.
#include <algorithm>

#include "diffapple/core/error.h"
#include "exif.h"
#include "image_formats.h"

namespace diffapple {
namespace {

/// Walks over the segments of a JPEG file (ITU-T T.81, annex B).
class JpegSegments {
public:
    JpegSegments(const std::filesystem::path& path, std::string_view bytes) : path_(path), bytes_(bytes) {}

    struct Segment {
        uint8_t marker;
        std::string_view data;  ///< without the length
    };

    static constexpr uint8_t end_of_image = 0xd9;

    /// The next segment; what stands before its marker (entropy-coded data) is skipped.
    Segment next() {
        for (;; ++position_) {
            position_ = std::min(bytes_.find('\xff', position_), bytes_.size());
            if (bytes_.size() - position_ < 2) reject("ends before the picture does");
            const uint8_t marker = byte(position_ + 1);
            const bool restart = marker >= 0xd0 && marker <= 0xd7;
            if (marker == 0x00 || marker == 0x01 || marker == 0xff || restart) continue;
            position_ += 2;
            if (marker == end_of_image) return {marker, {}};
            return {marker, take_segment()};
        }
    }

    [[noreturn]] void reject(const std::string& problem) const { fail(path_.string(), ": ", problem); }

private:
    uint8_t byte(size_t position) const { return static_cast<uint8_t>(bytes_[position]); }

    std::string_view take_segment() {
        const size_t left = bytes_.size() - position_;
        const size_t length = left < 2 ? 0 : size_t{byte(position_)} << 8 | byte(position_ + 1);
        if (length < 2 || length > left) reject("has a segment that is cut off");
        const std::string_view data = bytes_.substr(position_ + 2, length - 2);
        position_ += length;
        return data;
    }

    const std::filesystem::path& path_;
    std::string_view bytes_;
    size_t position_ = 2;  // after the start of image
};

/// Collects what the segments say.
class JpegHeader {
public:
    JpegHeader(const std::filesystem::path& path, JpegSegments& segments) : path_(path), segments_(segments) {}

    void take(const JpegSegments::Segment& segment) {
        const auto& [marker, data] = segment;
        const bool table = marker == 0xc4 || marker == 0xc8 || marker == 0xcc;
        if (marker >= 0xc0 && marker <= 0xcf && !table) take_frame(marker, data);
        if (marker == 0xda) ++scans;
        if (marker == 0xe1 && data.starts_with(exif) && !exif_seen_) {
            exif_seen_ = true;
            orientation = exif_orientation(data.substr(exif.size()));
        }
        adobe |= marker == 0xee && data.starts_with("Adobe");
    }

    int64_t width = 0, height = 0, components = 0, scans = 0;
    int orientation = 1;
    bool adobe = false;

private:
    static constexpr std::string_view exif{"Exif\0\0", 6};

    void take_frame(uint8_t marker, std::string_view data) {
        if (marker > 0xc2) segments_.reject("is a lossless or arithmetic JPEG file, a kind that is not read");
        if (components) segments_.reject("has two pictures in one");
        if (data.size() < 6) segments_.reject("has a header that is cut off");
        const auto byte = [&](size_t i) { return static_cast<uint8_t>(data[i]); };
        if (byte(0) != 8) segments_.reject("is a JPEG file of more than 8 bits a value, a kind that is not read");
        height = int64_t{byte(1)} << 8 | byte(2);
        width = int64_t{byte(3)} << 8 | byte(4);
        components = byte(5);
        check_image_size(path_, width, height);
        if (components != 1 && components != 3 && components != 4)
            segments_.reject(concat("is a JPEG file of ", components, " components; 1, 3 and 4 are read"));
    }

    const std::filesystem::path& path_;
    JpegSegments& segments_;
    bool exif_seen_ = false;
};

}  // namespace

CheckedImage check_jpeg(const std::filesystem::path& path, std::string_view bytes) {
    constexpr int64_t most_scans = 100;  // each is a pass over the whole picture
    JpegSegments segments(path, bytes);
    JpegHeader header(path, segments);
    for (auto segment = segments.next(); segment.marker != JpegSegments::end_of_image; segment = segments.next()) {
        header.take(segment);
        if (header.scans > most_scans) segments.reject(concat("has more than ", most_scans, " scans"));
    }
    if (!header.components || !header.scans) segments.reject("has no picture in it");
    if (header.components == 4 && !header.adobe)
        segments.reject("is a CMYK JPEG file without Adobe's marker, so its colours are not known");
    // Each block of 8x8 pixels takes at least one bit.
    const int64_t blocks = ((header.width + 7) / 8) * ((header.height + 7) / 8);
    if (static_cast<int64_t>(bytes.size()) * 8 < blocks)
        segments.reject(concat("is too short for a picture of ", header.width, "x", header.height, " pixels"));
    return {header.width, header.height, header.components == 1, false, header.orientation, std::string(bytes)};
}

}  // namespace diffapple
