"""The demo checkpoints of sd15 and sdxl-turbo: used where the study's are absent, they obey their prompts.

A picture is right when the nearest of all emoji that the checkpoints have learnt is the one that its caption names.
"""

from collections import Counter

import pytest
from conftest import PROJECT
from emoji_pictures import NAMES, caption, nearest
from PIL import Image

MODELS = PROJECT / "models"
FOLDERS = {"sd15": "sdv1_5_dpmsolver_demo", "sdxl-turbo": "sdxl_turbo_demo"}
A_DOZEN = NAMES[::9][:12]


@pytest.fixture
def count_right(diffapple):
    """How many pictures of the names' captions are right, by a setting."""

    def run(command, setting, names, *options):
        captions = {caption(name): name for name in names}
        (diffapple.folder / "prompts.txt").write_text("".join(f"{text}\n" for text in captions))
        options = ["--prompts", "prompts.txt", "--device", "cpu", "--seed", 1, "--sheet", "off", *options]
        reports = diffapple.ok(
            command, "--model", MODELS / f"{command}-demo", "--json", *options, timeout=1800
        ).reports
        right = Counter({report[setting]: 0 for report in reports})
        for report in reports:
            shown = nearest(Image.open(diffapple.folder / report["path"]))
            right[report[setting]] += shown == captions[report["prompt"]]
        return right

    return run


@pytest.mark.parametrize("command", FOLDERS)
def test_without_the_studys_model_the_demo_is_used(diffapple, command):
    result = diffapple.ok(command, "--steps", 1)
    assert len(result.paths) == 2 and all(path.parts[1] == FOLDERS[command] for path in result.paths)
    assert Image.open(diffapple.folder / result.paths[0]).size == (64, 64)
    assert f"the small demo model {command}-demo is used" in result.err.splitlines()[0]


@pytest.mark.parametrize(("model", "name"), [("sd15", "tokenizer"), ("sdxl-turbo", "tokenizer_2")])
def test_ids_of_the_vocabulary(diffapple, model, name):
    from transformers import CLIPTokenizer

    model = MODELS / f"{model}-demo"
    texts = [caption(name) for name in NAMES] + ["a cat, fat, with brown fur, with short legs", "Zürich!"]
    (diffapple.folder / "texts").write_text("".join(f"{text}\n" for text in texts))
    with (diffapple.folder / "texts").open() as file:
        result = diffapple.ok("tokenize", "-", "--json", "--model", model, "--tokenizer", name, stdin=file)
    assert result.reports == CLIPTokenizer.from_pretrained(model / name)(texts).input_ids


def test_a_dozen_prompts_are_obeyed_in_one_step(count_right):
    assert count_right("sdxl-turbo", "steps", A_DOZEN, "--steps", 1)[1] >= 10


def test_a_dozen_prompts_are_obeyed_by_guidance(count_right):
    assert count_right("sd15", "guidance", A_DOZEN, "--steps", 10, "--guidance", 4)[4] >= 7


@pytest.mark.full
def test_guidance_makes_prompts_obeyed(count_right):
    right = count_right("sd15", "guidance", NAMES[:100], "--steps", 25, "--guidance", "0,4")
    assert right[4] >= 70 and right[4] - right[0] >= 20


@pytest.mark.full
def test_prompts_are_obeyed_in_few_steps(count_right):
    assert min(count_right("sdxl-turbo", "steps", NAMES[:100], "--steps", "1,2,4").values()) >= 90
