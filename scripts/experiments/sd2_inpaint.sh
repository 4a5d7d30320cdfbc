#!/usr/bin/env bash
# The study's fourth experiment: a part of a picture painted anew by Stable Diffusion v2 inpainting, guidance 3, 100 and
# 50 steps. In other words:
#
#     build/diffapple sd2-inpaint --image IMAGE --mask MASK --steps 100,50 --guidance 3
#
# IMAGE and MASK, or --image and --mask, name the files (white in the mask is painted anew). The study's are the example
# of the model's card, overture-creations-5sI6fQgYIuo.png and its _mask.png, in the Hub's dataset
# hf-internal-testing/diffusers-images (folder sd2-inpaint). Without them, a lawn under the sky is drawn, with a mask in
# its middle. Settings: DEVICE DTYPE SEED MODEL OUT (see common.sh).
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

size=512

byte() { # VALUE
    # shellcheck disable=SC2059 # an octal escape is made
    printf "\\$(printf '%03o' "$1")"
}

bytes() { # COUNT VALUE
    head -c "$1" /dev/zero | LC_ALL=C tr '\0' "\\$(printf '%03o' "$2")"
}

little_endian() { # NUMBER, as 4 bytes
    local i
    for i in 0 8 16 24; do byte $((($1 >> i) & 255)); done
}

# A BMP file of 8 bits a pixel, whose rows come from standard input, the lowest first. Palette: entry i is blue, green
# and red as `palette i` prints them.
bitmap() {
    local i offset=$((14 + 40 + 4 * 256))
    printf BM
    little_endian $((offset + size * size))
    little_endian 0
    little_endian "$offset"
    little_endian 40
    little_endian "$size"
    little_endian "$size"
    byte 1 && byte 0 && byte 8 && byte 0 # one plane, 8 bits
    for i in 0 $((size * size)) 2835 2835 256 0; do little_endian "$i"; done
    for ((i = 0; i < 256; i++)); do
        palette "$i"
        byte 0
    done
    cat
}

draw_image() {
    # Rows 0 to 127 of the palette: grass, darker below; from 128 on: sky, lighter at the horizon.
    palette() {
        if [ "$1" -lt 128 ]; then
            byte $((30 + $1 / 4)) && byte $((90 + $1 / 2)) && byte $((50 + $1 / 3))
        else
            byte $((300 - $1 / 2 > 255 ? 255 : 300 - $1 / 2)) && byte $((270 - $1 / 2)) && byte $((260 - $1))
        fi
    }
    local row
    for ((row = 0; row < 256; row++)); do bytes $((size * size / 256)) "$row"; done | bitmap
}

draw_mask() {
    palette() { byte "$1" && byte "$1" && byte "$1"; }
    local row
    {
        bytes $((96 * size)) 0
        for ((row = 96; row < 352; row++)); do bytes 112 0 && bytes 288 255 && bytes 112 0; done
        bytes $((160 * size)) 0
    } | bitmap
}

if ! given --image -i --init-image; then # no picture of one's own, with its --mask
    image=${IMAGE:-} mask=${MASK:-}
    if [ -z "$image" ] || [ -z "$mask" ]; then
        image=$out/example_image.bmp mask=$out/example_mask.bmp
        mkdir -p "$out"
        [ -e "$image" ] || draw_image >"$image"
        [ -e "$mask" ] || draw_mask >"$mask"
    fi
    setting --image "$image"
    setting --mask "$mask" --mask-image
fi
setting --out "$out" -o --output
setting --steps 100,50 --num-inference-steps
setting --guidance 3 --guidance-scale --cfg-scale
"$diffapple" sd2-inpaint "${settings[@]}" "$@"
