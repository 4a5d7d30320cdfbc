"""`--prompt-syntax weighted` against the Python package compel, live: what it makes of the same texts, in its own
syntax, goes into diffusers' pipelines. compel gives its pooled output the text with its own brackets in it; for ours,
it gets the text alone."""

import compel
import diffusers
import pytest
import sd_oracle
import torch
from conftest import one_line_error
from finished import recipe
from pictures import mask, photo
from sd_checkpoints import loaded_once, make_sd2, make_sd15, make_sdxl
from test_parity_inpaint import as_pipeline

SENTENCES = "A very long prompt. It is about cats; and their whiskers, again and again! " * 6
WORDS = "cats and dogs and " * 30
BRACKETS = "whiskers, (one two three:1.4) and [four] (five:0.4) six, " * 7  # weights on both sides of chunks' ends

# The same prompt in A1111's syntax and in compel's, and its text alone.
PROMPTS = {
    "stronger": ("a (fat:1.3) cat", "a (fat)1.3 cat", "a fat cat"),
    "brackets": ("a (fat) [brown] cat", "a (fat)1.1 (brown)0.9090909090909091 cat", "a fat brown cat"),
    "nested": ("((a cat) in (fog:0.5))", "((a cat)1.1 in (fog)0.5)1.1", "a cat in fog"),
    "weaker": ("(a:0.3) cat, (fat:0.001) [[[x]]] (y:0)", "(a)0.3 cat, (fat)0.001 (((x)0.9090909090909091)"
               "0.9090909090909091)0.9090909090909091 (y)0", "a cat, fat x y"),
    "escaped": (r"a \(fat\) cat", r"a \(fat\) cat", "a (fat) cat"),
    "break": ("a cat BREAK (a dog:1.2), fat", '("a cat", "(a dog)1.2, fat").and()', "a cat a dog , fat"),
    "unicode": ("кот (猫 🐈:1.5) naïve", "кот (猫 🐈)1.5 naïve", "кот 猫 🐈 naïve"),
    "sentences": (SENTENCES, SENTENCES, SENTENCES),
    "words": (WORDS, WORDS, WORDS),
    "long": (BRACKETS, BRACKETS.replace(":1.4)", ")1.4").replace(":0.4)", ")0.4").replace("[four]",
             "(four)0.9090909090909091"), BRACKETS.translate(str.maketrans("", "", "()[]:.0123456789"))),
    "empty": ("", "", ""),
}  # fmt: skip
NEGATIVE = ("fog, (rain:1.2)", "fog, (rain)1.2", "fog, rain")
NONE = ("", "", "")


sd2 = loaded_once(make_sd2, inpainting=False)
sd15 = loaded_once(make_sd15)
sdxl = loaded_once(make_sdxl)


@torch.inference_mode()
def embeds_of(pipeline, prompts, negative, clip_skip=0) -> dict:
    """Arguments of the pipeline: what compel makes of prompts, as CompelForSD and CompelForSDXL do."""
    kind = compel.ReturnedEmbeddingsType
    if hasattr(pipeline, "tokenizer_2"):
        conditioning = compel.CompelForSDXL(pipeline)([p[1] for p in prompts], negative_prompt=negative and negative[1])
        provider = compel.CompelForSDXL(pipeline).compel_2.conditioning_provider
        pooled = dict(pooled_prompt_embeds=provider.get_pooled_embeddings([p[2] for p in prompts]))
        if negative:
            pooled["negative_pooled_prompt_embeds"] = provider.get_pooled_embeddings([negative[2]] * len(prompts))
        return dict(
            prompt_embeds=conditioning.embeds, negative_prompt_embeds=conditioning.negative_embeds, **pooled
        )
    vars(pipeline.text_encoder).setdefault("text_model", pipeline.text_encoder)  # as transformers 4 had it
    types = [kind.LAST_HIDDEN_STATES_NORMALIZED, kind.PENULTIMATE_HIDDEN_STATES_NORMALIZED]
    encoders = [
        compel.Compel(pipeline.tokenizer, pipeline.text_encoder, truncate_long_prompts=False, returned_embeddings_type=t)
        for t in types
    ]
    positive = encoders[clip_skip]([p[1] for p in prompts])
    without = encoders[0]([negative[1]] * len(prompts))  # clip_skip is of the positive prompt, as in diffusers
    longest = max(positive.shape[1], without.shape[1])
    padded = [
        torch.cat([part, *[encoder(" ").expand(len(prompts), -1, -1)] * ((longest - part.shape[1]) // 77)], 1)
        for part, encoder in ((positive, encoders[clip_skip]), (without, encoders[0]))
    ]
    return dict(zip(("prompt_embeds", "negative_prompt_embeds"), padded, strict=True))


def assert_parity(diffapple, command, model, prompts, negative=NEGATIVE, options=(), arguments={}, **settings):
    checkpoint, pipeline = model
    clip_skip = settings.pop("clip_skip", 0)
    settings = {"steps": 2, "guidance": 5, **settings}
    typed = [*sd_oracle.as_options(settings), "--clip-skip", clip_skip, "--prompt-syntax", "weighted", *options]
    typed += ["--negative-prompt", negative[0]] if negative else []
    ours = sd_oracle.run(diffapple, command, checkpoint, *typed, prompts=[p[0] for p in prompts])
    embeds = embeds_of(pipeline, prompts, negative, clip_skip)
    scheduler = {"sd15": "dpmsolver++"}.get(command)
    theirs = sd_oracle.make(
        pipeline, None, scheduler=scheduler, **sd_oracle.as_arguments(settings), **embeds, **arguments
    )
    sd_oracle.assert_equal(ours, theirs)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_prompt(diffapple, sd15, prompt):
    assert_parity(diffapple, "sd15", sd15, [PROMPTS[prompt]])


@pytest.mark.parametrize("prompt", ["weaker", "break", "sentences", "long"])
def test_sd2(diffapple, sd2, prompt):
    """Its padding is the token of "!"."""
    assert_parity(diffapple, "sd15", sd2, [PROMPTS[prompt]])


@pytest.mark.parametrize("changed", ["a (fat:1.25) cat", "a (fat:0.95) cat", "a fat cat", "a fat BREAK cat"])
def test_the_bar_sees_what_is_written(diffapple, sd15, changed):
    with pytest.raises(AssertionError):
        assert_parity(diffapple, "sd15", sd15, [(changed, *PROMPTS["stronger"][1:])])


def test_negative_prompt_is_the_longer_one(diffapple, sd2):
    assert_parity(diffapple, "sd15", sd2, [PROMPTS["stronger"]], negative=PROMPTS["long"])


def test_prompts_of_several_lengths(diffapple, sd15):
    prompts = [PROMPTS[name] for name in ("weaker", "sentences", "break")]
    assert_parity(diffapple, "sd15", sd15, prompts, **{"batch_size": 2})


@pytest.mark.parametrize("prompt", ["weaker", "long"])
def test_clip_skip(diffapple, sd15, prompt):
    assert_parity(diffapple, "sd15", sd15, [PROMPTS[prompt]], clip_skip=1)


@pytest.mark.parametrize(
    "prompt, negative",
    [("stronger", NEGATIVE), ("weaker", None), ("break", None), ("sentences", NEGATIVE), ("long", NEGATIVE)],
    ids=["stronger", "weaker", "break", "sentences", "long"],
)
def test_sdxl(diffapple, sdxl, prompt, negative):
    assert_parity(diffapple, "sdxl-turbo", sdxl, [PROMPTS[prompt]], negative=negative, guidance=3)


def test_without_guidance(diffapple, sdxl):
    assert_parity(diffapple, "sdxl-turbo", sdxl, [PROMPTS["long"]], negative=None, guidance=0)


@pytest.mark.parametrize("command", ["sd15", "sdxl-turbo"])
@pytest.mark.parametrize("masked", [False, True])
def test_with_a_picture(diffapple, sd15, sdxl, command, masked):
    checkpoint, loaded = {"sd15": sd15, "sdxl-turbo": sdxl}[command]
    family = "StableDiffusionXL" if command == "sdxl-turbo" else "StableDiffusion"
    kind = getattr(diffusers, f"{family}{'Inpaint' if masked else 'Img2Img'}Pipeline")
    image = photo(64, 64)
    image.save(diffapple.folder / "image.png")
    options, arguments = ["--image", "image.png"], {"image": image}
    if masked:
        hole = mask("box", 64, 64)
        hole.save(diffapple.folder / "mask.png")
        options += ["--mask", "mask.png"]
        arguments["mask_image"] = hole
    model = checkpoint, as_pipeline(loaded, kind)
    prompts = [PROMPTS["long"]]
    assert_parity(
        diffapple, command, model, prompts, options=options, arguments=arguments, steps=4, strength=0.6
    )


def test_a_plain_prompt_is_the_same_in_both_syntaxes(diffapple, sd15):
    """To the bit, where there is nothing to weigh and nothing is cut."""
    checkpoint, _ = sd15
    made = [
        sd_oracle.run(diffapple, "sd15", checkpoint, "--steps", 2, "--prompt-syntax", syntax, prompts=["a cat, fat"])
        for syntax in ("plain", "weighted")
    ]
    assert torch.equal(made[0].latents, made[1].latents)


def test_it_is_in_recipe_name_and_replay(diffapple, sd15):
    checkpoint, _ = sd15
    (diffapple.folder / "models").mkdir()
    (diffapple.folder / "models" / "sd15").symlink_to(checkpoint)
    typed = ["sd15", "--model", "sd15", "--prompt", "a (fat:1.3) cat", "--steps", 1]
    plain, weighted = (diffapple.ok(*typed, "--prompt-syntax", s) for s in ("plain", "weighted"))
    assert "'(fat:1.3)' is no weight" in plain.err and "--prompt-syntax weighted" in plain.err
    assert "is no weight" not in weighted.err
    (plain_file,), (weighted_file,) = plain.paths, weighted.paths
    assert weighted_file.name == plain_file.name.replace(".png", "_syntax-weighted.png")
    assert recipe(diffapple.folder / weighted_file)["recipe"]["settings"]["prompt_syntax"] == "weighted"
    assert "prompt_syntax" not in recipe(diffapple.folder / plain_file)["recipe"]["settings"]
    assert '"prompt_syntax": "weighted"' in diffapple.ok("show", weighted_file).out
    diffapple.ok("replay", weighted_file)
    (diffapple.folder / "jobs.txt").write_text('{"prompt": "a (fat:1.3) cat", "prompt_syntax": "weighted"}\n')
    again = diffapple.ok("sd15", "--model", "sd15", "--prompts", "jobs.txt", "--steps", 1, "--json").reports
    assert [r["path"] for r in again if r["skipped"]] == [str(weighted_file)]


@pytest.mark.parametrize(
    "texts, problem",
    [
        (["--prompt", "a (cat"], "'(' at character 3 is not closed"),
        (["--prompt", "a cat", "--prompt", "a cat :)"], "')' at character 8 closes nothing"),
        (["--prompt", "a", "--negative-prompt", "(fog:1.2.3)"], "the weight '1.2.3'"),
        (["--prompt", "a [cat:dog:0.5]"], "changes while sampling"),
        (["--prompt", "a <lora:toy:0.8>"], "<lora:toy:0.8>"),
    ],
)
def test_bad_syntax_is_named_before_anything_is_loaded(diffapple, sd15, texts, problem):
    checkpoint, _ = sd15
    typed = ["sd15", "--model", checkpoint, "--prompt-syntax", "weighted", *texts]
    one_line_error(diffapple(*typed), 2, "--prompt-syntax weighted", problem)


def test_bad_lines_of_a_file_are_all_named(diffapple, sd15):
    checkpoint, _ = sd15
    (diffapple.folder / "lines.txt").write_text("a cat\na (cat\n(dog:99)\n{\"prompt\": \"a\", \"sead\": 1}\n", encoding="utf-8")
    result = diffapple("sd15", "--model", checkpoint, "--prompt-syntax", "weighted", "--prompts", "lines.txt")
    assert result.code == 2 and result.out == ""
    assert all(f"line {number}" in result.err for number in (2, 3, 4)) and "line 1" not in result.err


def test_a_book_is_refused(diffapple, sd15):
    checkpoint, _ = sd15
    typed = ["sd15", "--model", checkpoint, "--prompt-syntax", "weighted", "--prompt", "cat " * 3001]
    one_line_error(diffapple(*typed), 1, "tokens", "at most 40 chunks")
