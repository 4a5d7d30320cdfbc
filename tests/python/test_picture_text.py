"""The `parameters` text of pictures with prompts, as A1111's web UI and Pillow read it."""

import json
import re

import pytest
from PIL import Image
from recipes import A1111_SETTING
from sd_checkpoints import make_sd15

ODD = [
    'a cat, fat, with "brown" fur',
    "",
    "Steps: 3, a: b",
    "Steps: 9, Sampler: x, Seed: 1, Size: 1x1",
    "first line\nSteps: 9, Sampler: x, Seed: 1, Size: 1x1",
    "a\nNegative prompt: b\nc",
    "Negative prompt: all of it",
    "  Negative prompt:indented",
    "кот 猫 🐈 naïve e\u0301 \u202e",
    "tab\tand \\ and 'quotes' and \u2028 separator",
    "ends in newlines\n\n",
    "(weights:1.2), [x|y], <lora:a:1>",
]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return make_sd15(tmp_path_factory.mktemp("sd15") / "model, with a comma")


def as_the_web_ui_reads(text: str) -> tuple[str, str, dict]:
    """Prompt, negative prompt, settings: a last line with at least three of these is theirs."""
    *lines, last = text.strip().split("\n")
    settings = A1111_SETTING.findall(last)
    assert len(settings) >= 3, last
    prompts = {False: [], True: []}
    negative = False
    for line in map(str.strip, lines):
        if line.startswith("Negative prompt:"):
            negative, line = True, line.removeprefix("Negative prompt:").strip()
        prompts[negative].append(line)
    return "\n".join(prompts[False]), "\n".join(prompts[True]), dict(settings)


def as_it_should_be_read(prompt: str) -> str:
    """The web UI strips every line. A line that it would take for the negative prompt has a space more."""
    lines = [line.strip() for line in prompt.rstrip("\n").split("\n")]
    return "\n".join(re.sub("^Negative prompt:", "Negative prompt :", line) for line in lines).strip()


@pytest.mark.parametrize("negative", ["", *ODD[:1], ODD[4], ODD[5], ODD[8]])
def test_odd_prompts(diffapple, checkpoint, negative):
    prompts = [part for prompt in ODD for part in ("--prompt", prompt)]
    run = ["sd15", "--model", checkpoint, "--steps", 1, "--seed", 11, "--negative-prompt", negative, "--sheet", "off"]
    reports = diffapple.ok(*run, *prompts, "--json").reports
    assert [report["prompt"] for report in reports] == ODD
    for prompt, report in zip(ODD, reports, strict=True):
        image = Image.open(diffapple.folder / report["path"])
        image.load()
        assert set(image.text) == {"parameters", "diffapple"}
        read, read_negative, settings = as_the_web_ui_reads(image.text["parameters"])
        assert read.strip() == as_it_should_be_read(prompt)
        assert read_negative == as_it_should_be_read(negative)
        expected = {"Steps": "1", "Seed": "11", "Size": "64x64", "CFG scale": "7.5", "Sampler": "DPM++ 2M"}
        assert {key: settings.get(key) for key in expected} == expected
        recipe = json.loads(image.text["diffapple"])["recipe"]["settings"]
        assert (recipe["prompt"], recipe["negative_prompt"]) == (prompt, negative)
