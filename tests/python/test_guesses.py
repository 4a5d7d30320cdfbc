"""What a user mistypes or carries over from other programs: the answer names what was probably meant."""

import re

import pytest
from checkpoints import copy_checkpoint
from conftest import one_line_error, run_on_terminal
from PIL import Image
from sd_checkpoints import make_sd15, make_sdxl


@pytest.fixture(scope="module")
def sd15(tmp_path_factory):
    return make_sd15(tmp_path_factory.mktemp("sd15") / "model")


@pytest.fixture(scope="module")
def sdxl(tmp_path_factory):
    return make_sdxl(tmp_path_factory.mktemp("sdxl") / "model")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        # commands
        (["sd1"], ["'sd1' is no command; did you mean sd15?"]),
        (["sdxl"], ["'sdxl' is no command; did you mean sdxl-turbo?"]),
        (["reply"], ["did you mean replay?"]),
        (["xyzzy"], ["'xyzzy' is no command (", "diffapple --help"]),
        (["--prompt", "a cat"], ["the command comes first", "--prompt"]),
        # options
        (["sd15", "--guidence", "4"], ["--guidence", "did you mean --guidance?"]),
        (["sd15", "--step=4"], ["--step:", "did you mean --steps?"]),
        (["sd15", "-prompt", "a cat"], ["-prompt", "did you mean --prompt?"]),
        (["sd15", "--SEED", "4"], ["--SEED", "did you mean --seed?"]),
        (["sd15", "--xyzzy"], ["--xyzzy: there is no such option (", "diffapple sd15 --help"]),
        (["ddpm", "--prompt", "a cat"], ["--prompt: is no option of ddpm, but of sd15, sdxl-turbo, sd2-inpaint"]),
        (["grid", "--col", "seed", "x.png"], ["--col", "did you mean --columns?"]),
        # the option is named, not its value
        (["ddpm", "--seed"], ["--seed: its value is missing"]),
        (["ddpm", "--seed", "--steps", "3"], ["--seed: its value is missing; --steps follows"]),
        (["ddpm", "--force=yes"], ["--force: is a switch"]),
        (["ddpm", "--steps", "2", "--steps", "4"], ["--steps: is given twice; for a list write --steps 2,4"]),
        (["grid", "x.png", "--cell", "2", "--cell", "4"], ["--cell: is given twice"]),
        (["ddpm", "--seed", "1", "2", "3"], ["'2' stands alone behind --seed; for a list write --seed 1,2,3"]),
        (["sd15", "--prompt", "a", "fat", "cat"], ["a text of several words", "--prompt 'a fat cat'"]),
        (["sd15", "surplus"], ["'surplus': sd15 takes no words beside its options"]),
        (["grid"], ["grid: PLACES is missing"]),
        (["tokenize", "a cat"], ["tokenize: --model is missing"]),
        (["show", "a.png", "b.png"], ["'b.png': show takes 1 of them, not 2"]),
        # values
        (["ddpm", "--scheduler", "dpm"], ["--scheduler 'dpm': must be one of", "did you mean ddpm?"]),
        (["ddpm", "--dtype", "f16"], ["--dtype 'f16'", "did you mean fp16?"]),
        (["ddpm", "--device", "msp"], ["--device 'msp'", "did you mean mps?"]),
        (["sd15", "--safety", "offf"], ["--safety 'offf'", "did you mean off?"]),
        (["ddpm", "--size", "512"], ["--size '512': takes two numbers, as in 512x768"]),
        (["ddpm", "--size", "64x64", "--width", "64"], ["--size and --width"]),
        (["grid", "x.png", "--cell", "wide"], ["--cell 'wide'", "whole number"]),
        (["bench", "--preset", "studdy"], ["--preset 'studdy'", "did you mean study?"]),
        (["bench", "--max-minutes", "soon"], ["--max-minutes 'soon'"]),
        (["completion", "bsh"], ["completion 'bsh'", "did you mean bash?"]),
        # paths
        (["ddpm", "--out", "picture.png"], ["--out picture.png", "folder"]),
        (["ddpm", "--out", "~someone/x"], ["--out '~someone/x'", "~ is not read"]),
        (["grid", "x.png", "--out", "sheet.jpg"], ["--out sheet.jpg", "PNG", "sheet.png"]),
    ],
    ids=lambda value: " ".join(value)[:60],
)  # fmt: skip
def test_wrong_calls_name_what_was_meant(diffapple, tiny, arguments, parts):
    if arguments[0] == "ddpm":
        arguments = ["ddpm", "--model", tiny, *arguments[1:]]
    one_line_error(diffapple(*arguments, timeout=20), 2, *parts)


def test_paths_that_lost_their_quotation_marks(diffapple, sd15):
    Image.new("RGB", (64, 64)).save(diffapple.folder / "my photo.png")
    one_line_error(diffapple("show", "my", "photo.png"), 2, "needs quotation marks: 'my photo.png'")
    one_line_error(diffapple("grid", "my", "photo.png"), 2, "needs quotation marks: 'my photo.png'")
    result = diffapple("sd15", "--model", sd15, "--image", "my", "photo.png", "--prompt", "a cat")
    one_line_error(result, 2, "a path with spaces", "--image 'my photo.png'")


def test_home_folder(diffapple, tiny):
    for form in (["--out", "~/x"], ["--out=~/y"]):
        (path,) = diffapple.ok("ddpm", "--model", tiny, "--steps", 1, *form).paths
        assert path.is_relative_to(diffapple.folder / "home")
    assert not (diffapple.folder / "~").exists()


# --- aliases


@pytest.mark.parametrize(
    ("aliases", "names"),
    [
        (["-p", "a cat", "-n", "a dog", "-s", "3", "-o", "x"],
         ["--prompt", "a cat", "--negative-prompt", "a dog", "--seed", "3", "--out", "x"]),
        (["-s3", "--num-inference-steps", "2", "--guidance-scale", "4"], ["--seed", "3", "--steps", "2", "--guidance", "4"]),
        (["--num_inference_steps=2", "--cfg-scale=4"], ["--steps", "2", "--guidance", "4"]),
        (["--size", "64x32"], ["--width", "64", "--height", "32"]),
        (["-W", "64", "-H", "32"], ["--width", "64", "--height", "32"]),
        (["--sampler", "Euler a"], ["--scheduler", "euler-a"]),
    ],
    ids=lambda value: " ".join(value)[:40],
)  # fmt: skip
def test_other_programs_options(diffapple, sd15, aliases, names):
    def ids(arguments):
        steps = [] if {"--steps", "--num-inference-steps", "--num_inference_steps=2"} & set(arguments) else ["--steps", 1]
        return [r["id"] for r in diffapple.ok("sd15", "-m", sd15, "--json", "--force", *steps, *arguments).reports]

    assert ids(aliases) == ids(names)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("EulerAncestralDiscreteScheduler", "euler-a"), ("EulerAncestralDiscrete", "euler-a"), ("Euler a", "euler-a"),
        ("euler_ancestral", "euler-a"), ("DPM++ 2M", "dpmsolver++"), ("dpmpp_2m", "dpmsolver++"),
        ("DPMSolverMultistepScheduler", "dpmsolver++"), ("PLMS", "pndm"), ("uni_pc", "unipc"), ("UniPC", "unipc"),
        ("DDIM", "ddim"), ("LMS", "lms"), ("Heun", "heun"), ("LCM", "lcm"), ("ddim, Euler a", "ddim,euler-a"),
    ],
)  # fmt: skip
def test_other_programs_samplers(ddpm, theirs, ours):
    result = ddpm("--steps", 5, "--scheduler", theirs, "--json")
    assert [r["scheduler"] for r in result.reports] == ours.split(","), result.err


@pytest.mark.parametrize("call", [["help"], ["--help"], ["-h"], []], ids=" ".join)
def test_help_by_every_name(diffapple, call):
    result = diffapple.ok(*call)
    assert "Usage: diffapple COMMAND" in result.out and "\n  sd15 " in result.out and result.err == ""


@pytest.mark.parametrize("call", [["help", "grid"], ["grid", "--help"], ["grid", "-h"], ["grid", "x.png", "--help"]], ids=" ".join)
def test_help_of_a_command(diffapple, call):
    assert "Usage: diffapple grid PLACES... [OPTIONS]" in diffapple.ok(*call).out


@pytest.mark.parametrize("call", ["version", "--version", "-V"])
def test_version_by_every_name(diffapple, call):
    assert re.fullmatch(r"diffapple \d+\.\d+\.\d+\n", diffapple.ok(call).out)


# --- what is parsed is used, or it is said


def test_options_without_effect_are_told(diffapple, sd15):
    def notes(*arguments):
        result = diffapple.ok("sd15", "--model", sd15, "--prompt", "a cat", "--steps", 1, "--force", *arguments)
        return [line for line in result.err.splitlines() if "no effect" in line]

    assert notes("--guidance", 1, "--negative-prompt", "a dog") == [
        "--negative-prompt has no effect here: it needs --guidance over 1"
    ]
    assert notes("--guidance", "0,4", "--negative-prompt", "a dog") == [], "one of the pictures has it"
    assert notes("--guidance", 4, "--eta", 0.5) == ["--eta has no effect here: it needs --scheduler ddim"]
    assert notes("--guidance", 4, "--eta", 0.5, "--scheduler", "ddim") == []
    assert len(notes("--guidance", 0, "--guidance-rescale", 0.5)) == 1


@pytest.mark.parametrize("option", [["--prompt-2", "x"], ["--original-size", "64x64"], ["--crop", "1,1"]], ids=" ".join)
def test_options_of_sdxl_are_refused_for_others(diffapple, sd15, option):
    result = diffapple("sd15", "--model", sd15, "--prompt", "a cat", *option)
    assert result.code == 2 and option[0] in result.err


def test_the_model_of_another_command_is_told(diffapple, sd15, sdxl):
    for command, model, meant in [("sd15", sdxl, "sdxl-turbo"), ("sdxl-turbo", sd15, "sd15")]:
        result = diffapple.ok(command, "--model", model, "--prompt", "a cat", "--steps", 1)
        assert f"is one for `diffapple {meant}`" in result.err and f"those of {command}" in result.err
    copy_checkpoint(sdxl, diffapple.folder / "models" / "stabilityai" / "sdxl-turbo")
    result = diffapple.ok("sd15", "--model", "stabilityai/sdxl-turbo", "--prompt", "a cat", "--steps", 1)
    assert "the model stabilityai/sdxl-turbo is one for `diffapple sdxl-turbo`" in result.err
    assert "is one for" not in diffapple.ok("sd15", "--model", sd15, "--prompt", "a cat", "--steps", 1, "--force").err


# --- colours


def test_colours_only_on_terminals_and_not_where_unwanted(diffapple):
    command = diffapple.command("sd1")
    variables = {**diffapple.variables(), "TERM": "xterm"}
    variables.pop("NO_COLOR", None)
    assert "\x1b[31mdiffapple:\x1b[0m" in run_on_terminal(command, diffapple.folder, variables)[1]
    for unwanted in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert "\x1b" not in run_on_terminal(command, diffapple.folder, {**variables, **unwanted})[1]
    assert "\x1b" not in diffapple("sd1").err
