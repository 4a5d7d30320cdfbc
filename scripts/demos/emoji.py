"""Pictures of emoji with captions: what the demo checkpoints learn.

The glyphs come from the Noto Color Emoji font (SIL Open Font License 1.1), their names from Unicode's emoji-test.txt
(Debian: fonts-noto-color-emoji, unicode-data). The attributes that the study's own prompts speak of are drawn by
changing the glyph: fur by tinting it, fat and thin by its width, short legs by pressing its lowest part together, a
bench by drawing one below it.
"""
import dataclasses
import re

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

FONT = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
NAMES = "/usr/share/unicode/emoji/emoji-test.txt"
FONT_SIZE = 109  # the only size of the font's bitmaps
SIZE = 64  # pixels a side of every picture
ZOOM = 3  # drawn so much larger and reduced, so that positions between pixels come out smooth
INK = 58  # the longer side of a glyph in its picture

ANIMALS = "🐈🐕🐎🐄🐖🐐🦒🐘🦏🦛🐁🐇🐿🦔🦇🦨🦘🐅🦓🦍🦌🐓🐧🦅🦆🦢🦉🦩🦚🐊🐢🐍🐋🐬🦈🐙🐌🐼🐸🦊🐻🐺🦁🐔"
OTHERS = (
    "🐟🦋🐞🌵🌲🌴🌹🌻🌷🍀🍁🍄"
    "🍎🍋🍌🍉🍇🍓🍍🍆🥑🥦🥕🌽🧀🍔🍕🥚🍩🎂🍦"
    "🚗🚑🚜🚲✈🚀⛵🚂"
    "⚽🏀🎸📷📺💡🔑🔨⏰☂👑🎩👕🎈🎁🏠🌙⭐☀🌈🔥⛄☎📕🚪🧲🧸"
)
# Fur: the colours that dark and light parts of the glyph become.
FURS = {
    "brown": ((58, 28, 10), (176, 112, 62)),
    "white": ((92, 92, 100), (240, 240, 244)),
    "black": ((8, 8, 10), (92, 92, 98)),
    "orange": ((140, 58, 4), (255, 170, 66)),
    "grey": ((62, 66, 72), (186, 190, 196)),
}
LOW_QUALITY = "low quality, bad quality"


def emoji_names(path=NAMES):
    """CLDR's short name of each emoji of one code point."""
    names = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            found = re.match(r"(\w+)( FE0F)?\s*;.*# \S+ E[\d.]+ (.+)", line)
            if found:
                names[chr(int(found[1], 16))] = found[3].strip().lower()
    return names


@dataclasses.dataclass(frozen=True)
class Scene:
    """What a picture shows. No subject: the bench alone."""
    subject: str = ""  # the emoji
    fur: str = ""
    girth: str = ""  # fat, thin
    short_legs: bool = False
    bench: bool = False


def draw_glyph(font, text):
    """The glyph cut to its ink, transparent around it."""
    _, _, right, bottom = font.getbbox(text)
    picture = Image.new("RGBA", (right + 8, bottom + 8))
    ImageDraw.Draw(picture).text((0, 0), text, font=font, embedded_color=True)
    return picture.crop(picture.getbbox())


def tinted(glyph, fur):
    """The glyph in the colours of a fur; what is darker stays darker."""
    dark, light = (np.array(colour, float) for colour in FURS[fur])
    pixels = np.asarray(glyph).astype(float)
    grey = pixels[..., :3] @ (0.299, 0.587, 0.114) / 255
    ink = grey[pixels[..., 3] > 128]
    low, high = np.percentile(ink, (2, 95))
    level = np.clip((grey - low) / max(high - low, 0.1), 0, 1)[..., None]
    pixels[..., :3] = dark + level * (light - dark)
    return Image.fromarray(pixels.round().astype(np.uint8), "RGBA")


def with_short_legs(glyph):
    """The lowest two fifths pressed to less than half of their height."""
    cut = round(glyph.height * 0.6)
    legs = glyph.crop((0, cut, glyph.width, glyph.height))
    legs = legs.resize((glyph.width, round(legs.height * 0.4)), Image.LANCZOS)
    result = Image.new("RGBA", (glyph.width, cut + legs.height))
    result.paste(glyph.crop((0, 0, glyph.width, cut)))
    result.paste(legs, (0, cut))
    return result


def draw_bench(canvas):
    """A wooden bench along the lower half of a layer."""
    draw = ImageDraw.Draw(canvas)

    def box(left, top, right, bottom, fill):
        draw.rectangle([round(v * ZOOM) for v in (left, top, right, bottom)], fill=fill)

    wood, shade, iron = (181, 117, 62), (133, 80, 38), (66, 70, 78)
    for x in (9, 52):
        box(x, 30, x + 3, 60, iron)
    for y in (31, 38):
        box(4, y, 60, y + 5, wood)
        box(4, y + 4, 60, y + 5, shade)
    box(2, 46, 62, 50, wood)
    box(2, 50, 62, 52, shade)


class Painter:
    """Draws scenes; keeps the glyphs."""

    def __init__(self, font=FONT):
        font = ImageFont.truetype(font, FONT_SIZE)
        self.glyphs = {subject: draw_glyph(font, subject) for subject in ANIMALS + OTHERS}

    def layer(self, scene, scale=1.0, shift=(0.0, 0.0)):
        """The scene on nothing: RGBA, ZOOM times as large as it will be."""
        canvas = Image.new("RGBA", (SIZE * ZOOM,) * 2, (255, 255, 255, 0))
        if scene.bench or not scene.subject:
            draw_bench(canvas)
        if scene.subject:
            glyph = self.glyphs[scene.subject]
            width, height = glyph.size
            if scene.fur:
                glyph = tinted(glyph, scene.fur)
            if scene.short_legs:
                glyph = with_short_legs(glyph)
                height = glyph.height
            width *= {"": 1, "fat": 1.35, "thin": 0.65}[scene.girth]
            factor = (42 if scene.bench else INK) * scale / max(width, height)
            size = (width * factor, height * factor)
            left = (SIZE - size[0]) / 2 + shift[0]
            top = (47 - size[1] if scene.bench else (SIZE - size[1]) / 2) + shift[1]
            glyph = glyph.resize([round(v * ZOOM) for v in size], Image.LANCZOS)
            canvas.alpha_composite(glyph, (max(round(left * ZOOM), 0), max(round(top * ZOOM), 0)))
        return canvas

    def picture(self, scene, scale=1.0, shift=(0.0, 0.0), background=None, box=None):
        """uint8 array (SIZE, SIZE, 3), on white or on such an array; all of it, or in a box (left, top, right, bottom).
        """
        canvas = Image.fromarray(np.full((SIZE, SIZE, 3), 255, np.uint8) if background is None else background)
        canvas = canvas.convert("RGBA").resize((SIZE * ZOOM,) * 2, Image.BILINEAR)
        layer, place = self.layer(scene, scale, shift), (0, 0)
        if box is not None:
            side = min(box[2] - box[0], box[3] - box[1])
            layer = layer.resize((round(side * ZOOM),) * 2, Image.BOX)
            place = (round((box[0] + box[2] - side) / 2 * ZOOM), round((box[3] - side) * ZOOM))
        canvas.alpha_composite(layer, place)
        return np.asarray(canvas.convert("RGB").resize((SIZE, SIZE), Image.BOX))


def lawn(rng):
    """A lawn under the sky: uint8 array (SIZE, SIZE, 3). Each half is a gradient from its upper to its lower row."""
    horizon = int(rng.integers(SIZE // 2 - 8, SIZE // 2 + 9))
    picture = np.empty((SIZE, SIZE, 3))
    for rows, upper, lower in ((slice(0, horizon), (10, 146, 175), (128, 204, 234)),
                               (slice(horizon, SIZE), (90, 152, 60), (52, 92, 32))):
        upper, lower = (np.array(colour) + rng.normal(0, 10, 3) for colour in (upper, lower))
        picture[rows] = np.linspace(upper, lower, rows.stop - rows.start)[:, None]
    return np.clip(picture, 0, 255).astype(np.uint8)


def draw_box(rng):
    """A box on whole latents of a third of the picture to nearly all of it: left, top, right, bottom."""
    width, height = 4 * rng.integers(6, 14, 2)
    left, top = 4 * rng.integers(0, (SIZE - width) // 4 + 1), 4 * rng.integers(0, (SIZE - height) // 4 + 1)
    return left, top, left + width, top + height


def degraded(picture, rng):
    """What "low quality" is: blurred, noisy or coarse."""
    image = Image.fromarray(picture)
    kind = rng.integers(3)
    if kind == 0:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(1.5, 3)))
    elif kind == 1:
        noise = rng.normal(0, rng.uniform(30, 60), picture.shape)
        image = Image.fromarray(np.clip(picture + noise, 0, 255).astype(np.uint8))
    else:
        side = int(rng.integers(8, 16))
        image = image.resize((side, side), Image.BOX).resize((SIZE, SIZE), Image.NEAREST)
    return np.asarray(image)


def with_article(name):
    return ("an " if name[0] in "aeiou" else "a ") + name


def caption(scene, names, rng=None):
    """What a prompt would say: the plain form, or with `rng` one of several."""
    def choose(*forms):
        return forms[0] if rng is None else forms[rng.integers(len(forms))]

    if not scene.subject:
        return choose("a bench", "a bench", "bench", "a photo of a bench", "an empty bench")
    name = names[scene.subject]
    words = choose(with_article(name), with_article(name), name,
                   "a photo of " + with_article(name), "a picture of " + with_article(name))
    attributes = []
    if scene.girth:
        attributes.append(scene.girth)
    if scene.fur:
        attributes.append(f"with {scene.fur} fur")
    if scene.short_legs:
        attributes.append("with short legs")
    if rng is not None and rng.random() < 0.3:
        rng.shuffle(attributes)
    if rng is not None and scene.girth and rng.random() < 0.25:
        attributes.remove(scene.girth)
        words = words.replace(name, f"{scene.girth} {name}").replace("an " + scene.girth, "a " + scene.girth)
    if scene.bench:
        attributes.append(choose("sitting on a bench", "sitting on a bench", "on a bench"))
    return ", ".join([words, *attributes])


def draw_scene(rng):
    """A scene as the trainings have them: an animal half of the time, and cats, of which the study speaks, more often.
    """
    kind = rng.random()
    if kind < 0.04:
        return Scene()
    if kind < 0.5:
        return Scene(subject=OTHERS[rng.integers(len(OTHERS))])
    cat = kind > 0.94
    subject = ANIMALS[0 if cat else rng.integers(len(ANIMALS))]
    if rng.random() < (0.25 if cat else 0.65):
        return Scene(subject=subject)
    return Scene(
        subject=subject,
        fur=list(FURS)[rng.integers(len(FURS))] if rng.random() < 0.6 else "",
        girth=("fat", "thin")[int(rng.random() < 0.3)] if rng.random() < 0.4 else "",
        short_legs=bool(rng.random() < 0.35),
        bench=bool(rng.random() < 0.35),
    )


def canonical_scenes():
    return [Scene(subject=subject) for subject in ANIMALS + OTHERS]
