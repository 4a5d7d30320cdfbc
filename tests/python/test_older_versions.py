"""Recipes are kept for years: pictures that older versions of the program made (tests/data/older_versions, one folder
for each version, made by make_older_pictures.py) replay, resume and show in this one."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import PROJECT, Diffapple
from finished import chunks, pngs, recipe
from PIL import Image
from recipes import save_png

FOLDERS = sorted(path.parent for path in (PROJECT / "tests" / "data" / "older_versions").glob("*/runs.json"))
INPUTS = ("--image", "--mask", "--latents")
OTHER_SEED = "4242"  # of no run


@dataclass(frozen=True)
class Run:
    """A command of an older version and the pictures that it made, as runs.json says."""

    version: Path
    name: str
    call: list[str]
    sweep: bool
    bar: str
    pictures: list[str]

    def inputs(self) -> list[str]:
        """The files that a replay needs again."""
        return [part for name, value in zip(self.call, self.call[1:]) if name in INPUTS for part in (name, value)]

    def seeds(self) -> str:
        return self.call[self.call.index("--seed") + 1] if "--seed" in self.call else "42"

    def with_seeds(self, seeds: str) -> list[str]:
        """The same command for other seeds. It makes no contact sheet."""
        call = list(self.call)
        for option, value in {"--seed": seeds, "--sheet": "off"}.items():
            if option in call:
                call[call.index(option) + 1] = value
            else:
                call += [option, value]
        return call


def read_runs(version: Path) -> list[Run]:
    return [Run(version=version, **run) for run in json.loads((version / "runs.json").read_text())["runs"]]


RUNS = [run for version in FOLDERS for run in read_runs(version)]
each_version = pytest.mark.parametrize("version", FOLDERS, ids=lambda version: version.name)
each_run = pytest.mark.parametrize("run", RUNS, ids=lambda run: f"{run.version.name}: {run.name}")
each_picture = pytest.mark.parametrize(
    "run, picture",
    [pytest.param(run, p, id=f"{run.version.name}: {run.name}: {Path(p).name}") for run in RUNS for p in run.pictures],
)


@pytest.fixture(scope="module")
def open_studio(tmp_path_factory):
    """Gives a version's folder as a place to work in: its models, what its pictures were made from, and these. Tests
    that write have a copy of the pictures."""
    opened = {}

    def open_once(version: Path) -> Diffapple:
        if version not in opened:
            folder = shutil.copytree(version, tmp_path_factory.mktemp("version") / "studio")
            opened[version] = Diffapple(folder, environment={"OMP_NUM_THREADS": "1"})
        return opened[version]

    return open_once


def copy_pictures(version: Path, folder: Path) -> Path:
    return shutil.copytree(version / "pictures", folder / "out")


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in pngs(folder)}


def sheets_of(version: Path) -> list[str]:
    return [name for name in pngs(version / "pictures") if Path(name).name.startswith("sheet_")]


def with_comparisons(run: Run) -> list[str]:
    """The run's pictures, and what shows image, mask and result of each, which holds its recipe too."""
    comparisons = [picture.removesuffix(".png") + "_comp.png" for picture in run.pictures]
    return run.pictures + [name for name in comparisons if (run.version / "pictures" / name).exists()]


def with_recipe(version: Path) -> list[str]:
    """All pictures of a version but its contact sheets."""
    return sorted(name for run in read_runs(version) for name in with_comparisons(run))


def test_older_versions_are_there():
    assert FOLDERS
    for version in FOLDERS:
        assert {run.call[0] for run in read_runs(version)} == {"ddpm", "sd15", "sdxl-turbo", "sd2-inpaint"}
        assert sheets_of(version) and "_comp.png" in " ".join(pngs(version / "pictures"))
        assert sorted(with_recipe(version) + sheets_of(version)) == pngs(version / "pictures")


@each_picture
def test_replay(open_studio, run, picture):
    """Equal where it was made, else within the bar that runs.json names."""
    studio = open_studio(run.version)
    (report,) = studio.ok("replay", f"pictures/{picture}", "--json", *run.inputs()).reports
    assert report["same"]
    if run.bar == "fidelity":
        assert report["largest_difference"] <= 1 and report["equal_share"] >= 0.999
    else:
        assert run.bar == "30 dB" and (report["psnr_db"] is None or report["psnr_db"] >= 30)


@each_version
def test_a_changed_recipe_is_refused(open_studio, version, tmp_path):
    studio, (run, *_) = open_studio(version), read_runs(version)
    original = version / "pictures" / run.pictures[0]
    steps = f'"steps":{recipe(original)["recipe"]["settings"]["steps"]}'
    text = chunks(original)["diffapple"].replace(steps, '"steps":1')
    changed = save_png(tmp_path / "changed.png", Image.open(original), diffapple=text)
    result = studio("replay", changed, *run.inputs())
    assert result.code == 1 and "was changed" in result.err and len(result.err.splitlines()) == 1


@each_run
def test_show(open_studio, run):
    studio = open_studio(run.version)
    for number, picture in enumerate(with_comparisons(run)):
        stored = recipe(run.version / "pictures" / picture)
        (report,) = studio.ok("show", f"pictures/{picture}", "--json").reports
        settings, shown = stored["recipe"]["settings"], report["recipe"]["recipe"]["settings"]
        assert report["recipe"]["id"] == stored["id"], picture
        assert {key: shown.get(key) for key in settings} == settings, picture
        if number == 0:
            words = studio.ok("show", f"pictures/{picture}").out
            assert [text for text in (stored["id"], *settings) if text not in words] == [], picture


@each_version
def test_show_of_contact_sheets(open_studio, version):
    studio = open_studio(version)
    for sheet in sheets_of(version):
        id_of_sheet = json.loads(chunks(version / "pictures" / sheet)["diffapple"])["sheet"]["id"]
        assert id_of_sheet in studio.ok("show", f"pictures/{sheet}").out
        (report,) = studio.ok("show", f"pictures/{sheet}", "--json").reports
        assert report["recipe"] is None


@each_version
def test_report(open_studio, version, tmp_path):
    """One row for every picture, none for contact sheets and comparisons, with the settings of its recipe."""
    studio = open_studio(version)
    files = ("--csv", tmp_path / "table.csv", "--html", tmp_path / "page.html")
    result = studio.ok("report", "pictures", "--json", *files)
    reports = {report["path"]: report for report in result.reports}
    expected_rows = [f"pictures/{name}" for name in with_recipe(version) if not name.endswith("_comp.png")]
    assert sorted(reports) == expected_rows and result.err == ""
    for file, report in reports.items():
        stored = recipe(version / file)
        settings, texts = stored["recipe"]["settings"], report["settings"]
        expected = {key: str(settings[key]) for key in ("seed", "steps", "prompt", "guidance") if key in settings}
        expected["size"] = f"{settings['width']}x{settings['height']}"
        expected["experiment"] = stored["recipe"]["experiment"]
        expected.update({key: stored["recipe"][key]["name"] for key in ("model", "scheduler")})
        assert {key: texts.get(key) for key in expected} == expected, file
        assert report["id"] == stored["id"] and report["known"] == stored["known"], file


@each_version
def test_grid(open_studio, version, tmp_path):
    """All pictures are in the sheet, and an older contact sheet among them is none."""
    files = [f"pictures/{name}" for name in pngs(version / "pictures")]
    result = open_studio(version).ok("grid", *files, "--out", tmp_path / "sheet.png")
    pictures = json.loads(chunks(tmp_path / "sheet.png")["diffapple"])["sheet"]["pictures"]
    ids = {recipe(version / "pictures" / name)["id"] for name in with_recipe(version)}
    assert {entry["id"] for entry in pictures} == ids and len(pictures) == len(with_recipe(version)), result.err


@each_run
def test_the_same_command_goes_on(open_studio, run, tmp_path):
    """A sweep skips all its pictures, and its contact sheet stays too. A run of one batch makes its pictures again: in
    their places."""
    out = copy_pictures(run.version, tmp_path)
    before = contents(out)
    reports = open_studio(run.version).ok(*run.call, "--out", out, "--json").reports
    assert [str(Path(report["path"]).relative_to(out)) for report in reports] == run.pictures
    assert [report["skipped"] for report in reports] == [run.sweep] * len(run.pictures)
    after = contents(out)
    assert sorted(after) == sorted(before), "nothing under another name"
    made = {name for name in before if after[name] != before[name]}
    assert made.isdisjoint(run.pictures) if run.sweep else made >= set(run.pictures)


@pytest.mark.parametrize(
    "run", [run for run in RUNS if "--latents" not in run.call], ids=lambda run: f"{run.version.name}: {run.name}"
)
def test_a_larger_sweep_skips_what_is_made(open_studio, run, tmp_path):
    """Start noise from a file is for one batch only, so such a run never becomes a sweep."""
    out = copy_pictures(run.version, tmp_path)
    before = contents(out)
    call = run.with_seeds(f"{run.seeds()},{OTHER_SEED}")
    reports = open_studio(run.version).ok(*call, "--out", out, "--json").reports
    skipped = {str(Path(report["path"]).relative_to(out)) for report in reports if report["skipped"]}
    assert skipped == set(run.pictures)
    assert len(reports) > len(skipped) and all(report["skipped"] != (report["seed"] == 4242) for report in reports)
    assert contents(out).items() >= before.items()


@each_run
def test_another_picture_in_the_place_is_still_refused(open_studio, run, tmp_path):
    """What an older version made of other settings is no picture of this run."""
    seed = run.seeds().split(",")[0]
    for picture in run.pictures:
        path = tmp_path / "out" / picture.replace(f"/seed{seed}_", f"/seed{OTHER_SEED}_")
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(run.version / "pictures" / picture, path)
    before = contents(tmp_path / "out")
    result = open_studio(run.version)(*run.with_seeds(OTHER_SEED), "--out", tmp_path / "out")
    if "--image" in run.call:  # today's names tell inputs by their files' names: the place is another
        assert result.code == 0 and contents(tmp_path / "out").items() >= before.items()
        return
    *notes, error = result.err.splitlines()
    assert (result.code, result.out) == (1, "") and all("--seed has no effect" in note for note in notes)
    assert "another recipe" in error and f"seed {OTHER_SEED} instead of {seed}" in error
    assert contents(tmp_path / "out") == before
