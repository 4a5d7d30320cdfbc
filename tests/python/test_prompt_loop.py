"""`--interactive` and `--prompts FILE`: one prompt a line, one load."""

import re

import pytest
from conftest import Result
from sd_checkpoints import make_sd15, make_sdxl


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return make_sd15(tmp_path_factory.mktemp("sd15") / "model")


def loads(result) -> list[str]:
    return re.findall(r"^loaded (\w+) in", result.err, re.MULTILINE)


def run(diffapple, checkpoint, *options, lines: str, command="sd15"):
    with diffapple.start(command, "--model", checkpoint, "--steps", 1, "--verbose", *options, stdin=-1) as process:
        out, err = process.communicate(lines, timeout=120)
    return Result(process.returncode, out, err)


def test_interactive(diffapple, checkpoint):
    result = run(diffapple, checkpoint, "--interactive", "--seed", "0,1", lines="a cat\n\na dog\r\nq\na bird\n")
    assert result.code == 0, result.err
    assert [path.parent.name for path in result.paths] == ["a_cat"] * 2 + ["a_dog"] * 2
    assert sorted(loads(result)) == ["text_encoder", "unet", "vae"]
    assert "q ends" not in result.err  # nobody is there to be asked


def test_pictures_are_those_of_single_runs(diffapple, checkpoint):
    looped = run(diffapple, checkpoint, "--prompts", "-", "--guidance", 4, lines="a cat\na dog\n").paths
    kept = [(diffapple.folder / path).read_bytes() for path in looped]
    single = diffapple.ok("replay", looped[1], "--model", checkpoint)
    assert len(kept) == 2 and kept[0] != kept[1] and "the same picture" in single.out


@pytest.mark.parametrize("stdin", [False, True])
def test_file_of_prompts(diffapple, checkpoint, stdin):
    text = "# cats\na cat\n\n  \na dog"
    file = diffapple.folder / "prompts.txt"
    file.write_text(text)
    result = run(diffapple, checkpoint, "--prompts", "-" if stdin else file, lines=text if stdin else "")
    assert result.code == 0, result.err
    assert [path.parent.name for path in result.paths] == ["a_cat", "a_dog"]
    assert sorted(loads(result)) == ["text_encoder", "unet", "vae"]


def test_both_text_encoders_stay(diffapple):
    checkpoint = make_sdxl(diffapple.folder / "model")
    result = run(diffapple, checkpoint, "--interactive", lines="a cat\na dog\n", command="sdxl-turbo")
    assert sorted(loads(result)) == ["text_encoder", "text_encoder_2", "unet", "vae"]


def test_a_line_that_fails_does_not_end_the_loop(diffapple, checkpoint):
    folder = diffapple.folder / "out" / "sdv1_5_dpmsolver" / "a_cat"
    folder.mkdir(parents=True)
    (folder / "seed42_n1_s7.5_model-model.png").write_text("no picture")
    result = run(diffapple, checkpoint, "--interactive", lines="a cat\na dog\n")
    assert result.code == 1
    assert [path.parent.name for path in result.paths] == ["a_dog"]
    assert "prompt 'a cat'" in result.err and "1 of 2 prompts failed" in result.err


@pytest.mark.parametrize(
    "options",
    [
        ["--interactive", "--prompts", "-"],
        ["--interactive", "--prompt", "a cat"],
        ["--prompts", "-", "--prompt", "a cat"],
        ["--interactive", "--save-latents", "x.safetensors"],
    ],
)
def test_refused_together(diffapple, checkpoint, options):
    result = diffapple("sd15", "--model", checkpoint, *options)
    assert result.code == 2 and options[0] in result.err


def test_missing_file(diffapple, checkpoint):
    result = diffapple("sd15", "--model", checkpoint, "--prompts", "absent.txt")
    assert result.code == 1 and "absent.txt" in result.err


def test_a_sweep_loads_nothing_twice(diffapple, checkpoint):
    """With --keep-loaded and without."""
    options = ["--model", checkpoint, "--steps", 1, "--prompt", "a cat", "--seed", "0..2", "--verbose", "--force"]
    for more in ([], ["--keep-loaded"]):
        assert loads(diffapple.ok("sd15", *options, *more)) == ["text_encoder", "unet", "vae"]
