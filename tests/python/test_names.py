"""Names: prompts never meet, on no file system; pictures of earlier versions are found; names fit."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Diffapple
from pictures import mask, photo
from sd_checkpoints import make_sd2, make_sd15, make_sdxl


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return make_sd15(tmp_path_factory.mktemp("sd15") / "model")


def make(diffapple, checkpoint, *prompts, options=()):
    typed = [part for prompt in prompts for part in ("--prompt", prompt)]
    run = ["sd15", "--model", checkpoint, "--steps", 1, "--json", "--sheet", "off", *typed, *options]
    return diffapple.ok(*run).reports


def folders(reports) -> list[str]:
    return [Path(report["path"]).parent.name for report in reports]


def write_lines(diffapple, lines) -> Path:
    file = diffapple.folder / "prompts.txt"
    file.write_text("".join(f"{line}\n" for line in lines))
    return file


MEETING = ["a cat", "A Cat", "a_cat", "caf\u00e9", "cafe\u0301", "Stra\u00dfe", "STRASSE", "a/b", "a:b", "a-b", "plain one"]


def test_prompts_of_one_run_never_meet(diffapple, checkpoint):
    file = write_lines(diffapple, MEETING)
    run = ["sd15", "--model", checkpoint, "--steps", 1, "--json", "--sheet", "off", "--prompts", file]
    reports = diffapple.ok(*run).reports
    assert [report["prompt"] for report in reports] == MEETING
    names = folders(reports)
    assert len({name.casefold() for name in names}) == len(names)
    assert names[-2].startswith("a-b-") and names[-1] == "plain_one"
    assert all(name.rsplit("-", 1)[1] != "" and len(name.rsplit("-", 1)[1]) == 8 for name in names[:-1])
    assert all(report["skipped"] for report in diffapple.ok(*run).reports)


def test_prompts_of_two_runs_do_not_block_each_other(diffapple, checkpoint):
    """A prompt whose place is taken by another one has a folder of its own; each finds its own again."""
    (first,) = make(diffapple, checkpoint, "a b")
    (second,) = make(diffapple, checkpoint, "a_b")
    assert folders([first]) == ["a_b"] and folders([second])[0].startswith("a_b-")
    seeds = ["--seed", "42,43"]
    for prompt, path in (("a b", first["path"]), ("a_b", second["path"])):
        again = make(diffapple, checkpoint, prompt, options=seeds)
        assert (again[0]["path"], again[0]["skipped"]) == (path, True)
    # --force replaces one's own picture only.
    before = (diffapple.folder / first["path"]).read_bytes()
    make(diffapple, checkpoint, "a_b", options=["--force"])
    assert (diffapple.folder / first["path"]).read_bytes() == before


@pytest.fixture
def case_insensitive(tmp_path):
    """A folder on a file system that ignores case: vfat in a file, where this test may mount it (fusefat, or as root)."""
    if sys.platform == "darwin":
        yield tmp_path  # APFS does
        return
    image, place = tmp_path / "disk", tmp_path / "mounted"
    place.mkdir()
    if not shutil.which("mkfs.vfat"):
        pytest.skip("needs mkfs.vfat (dosfstools)")
    with open(image, "wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.vfat", image], check=True, capture_output=True)
    ways = {
        "mount": (["mount", "-o", "loop,utf8=1", image, place], ["umount", place]),
        "fusefat": (["fusefat", "-o", "rw+", image, place], ["fusermount", "-u", place]),
    }
    for program, (mount, unmount) in ways.items():
        if not shutil.which(program) or subprocess.run(mount, capture_output=True).returncode != 0:
            continue
        yield place
        subprocess.run(unmount, check=True)
        return
    pytest.skip("this machine cannot mount vfat")


def test_on_a_file_system_that_ignores_case(case_insensitive, checkpoint):
    diffapple = Diffapple(case_insensitive)
    (case_insensitive / "probe").touch()
    assert (case_insensitive / "PROBE").exists()
    made = [make(diffapple, checkpoint, prompt)[0] for prompt in ("a cat", "A CAT", "A Cat")]
    assert len({report["path"].casefold() for report in made}) == 3
    together = make(diffapple, checkpoint, "a cat", "A CAT", options=["--out", "b"])
    assert len({report["path"].casefold() for report in together}) == 2
    for prompt, report in zip(("a cat", "A CAT", "A Cat"), made, strict=True):
        again = make(diffapple, checkpoint, prompt, options=["--seed", "42,43"])
        assert (again[0]["path"], again[0]["skipped"]) == (report["path"], True)


def test_pictures_of_earlier_versions_are_found(diffapple, checkpoint):
    """Under the names that those gave them: without a hash, without an inpainted picture's inputs."""
    photo(64, 64).save(diffapple.folder / "photo.png")
    mask("box", 64, 64).save(diffapple.folder / "mask.png")
    sd2 = make_sd2(diffapple.folder / "sd2")
    for command, model, options, old in (
        ("sd15", checkpoint, ["--prompt", "a/b"], "sdv1_5_dpmsolver/a-b/seed42_n2_s7.5_model-model.png"),
        (
            "sd2-inpaint", sd2, ["--prompt", "a/bench", "--image", "photo.png", "--mask", "mask.png"],
            "sdv2_inpaint/a-bench/seed42_n2_s7.5_model-sd2.png",
        ),
    ):  # fmt: skip
        run = [command, "--model", model, "--steps", 2, *options, "--json"]
        (report,) = diffapple.ok(*run).reports
        new, older = diffapple.folder / report["path"], diffapple.folder / "out" / old
        assert new != older
        older.parent.mkdir(exist_ok=True)
        new.rename(older)
        found = diffapple.ok(*run, "--seed", "42,43").reports
        assert [r["skipped"] for r in found] == [True, False]
        assert Path(found[0]["path"]) == older.relative_to(diffapple.folder)
        # Made again, it stays in its place.
        assert diffapple.ok(*run).reports[0]["path"] == found[0]["path"]


def test_another_mask_or_picture_is_another_name(diffapple):
    sd2 = make_sd2(diffapple.folder / "sd2")
    for seed, name in enumerate(("one", "two")):
        photo(64 + 8 * seed, 64).save(diffapple.folder / f"{name}.png")
    mask("box", 64, 64).save(diffapple.folder / "mask.png")
    mask("soft", 64, 64).save(diffapple.folder / "soft.png")
    paths = []
    for image in ("one", "two"):
        for hole in ("mask", "soft"):
            inputs = ["--image", f"{image}.png", "--mask", f"{hole}.png", "--prompt", "a"]
            paths += diffapple.ok("sd2-inpaint", "--model", sd2, "--steps", 2, *inputs).paths
    assert len(set(paths)) == 4
    # The first has the study's name, which needs no other.
    assert ["_image-one-" in path.name for path in paths] == [False, True, False, False]
    assert ["_image-two-" in path.name for path in paths] == [False, False, True, True]
    assert paths[0].name == "seed42_n2_s7.5_model-sd2.png"


def test_names_fit_with_every_option(diffapple):
    model = make_sdxl(diffapple.folder / ("m" * 200))
    photo(64, 64).save(diffapple.folder / ("p" * 200 + ".png"))
    mask("box", 64, 64).save(diffapple.folder / "mask.png")
    options = [
        *("--prompt", "猫" * 100, "--negative-prompt", "a", "--prompt-2", "b", "--negative-prompt-2", "c"),
        *("--image", "p" * 200 + ".png", "--mask", "mask.png", "--strength", 0.55, "--mask-blur", 1.25),
        *("--padding-mask-crop", 4, "--keep-unmasked", "--scheduler", "dpmsolver++-single", "--width", 128),
        *("--height", 136, "--original-size", "640x480", "--target-size", "320x240", "--crop", "16,24"),
        *("--clip-skip", 1, "--guidance-rescale", 0.75, "--guidance", 7.25, "--dtype", "bf16", "--weights", "int8"),
        *("--vae-tiling", "on", "--rng", "cuda", "--seed", 2**64 - 1, "--steps", 4, "--prompt-syntax", "weighted"),
    ]
    first = diffapple.ok("sdxl-turbo", "--model", model, *options).paths[0]
    assert len(os.fsencode((first.stem + "_latents.safetensors"))) < 255
    other = ["16,25" if option == "16,24" else option for option in options]
    assert diffapple.ok("sdxl-turbo", "--model", model, *other).paths[0] != first
