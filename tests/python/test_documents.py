"""README.md, CONTRIBUTING.md, CHANGELOG.md and docs/ against the program and the sources: links, paths, options, layers
and figures."""

import itertools
import re
import runpy
import shlex
import subprocess
from functools import cache
from pathlib import Path

import pytest
from conftest import PROGRAM, PROJECT

README, CHANGELOG = PROJECT / "README.md", PROJECT / "CHANGELOG.md"
USING, BENCH = PROJECT / "docs/using.md", PROJECT / "docs/bench.md"
DOCUMENTS = [README, PROJECT / "CONTRIBUTING.md", CHANGELOG, *sorted((PROJECT / "docs").glob("*.md"))]
PRESENT = [document for document in DOCUMENTS if document != CHANGELOG]  # it names what is gone, too
FOLDERS = ("cmake", "docs", "include", "models", "scripts", "src", "tests", ".github")
SOURCE_SUFFIXES = (".cmake", ".cpp", ".h", ".md", ".py", ".sh")
EXPERIMENTS = ("ddpm", "sd15", "sdxl-turbo", "sd2-inpaint")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")

of_each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
of_each_present_document = pytest.mark.parametrize("document", PRESENT, ids=lambda path: path.name)


@cache
def help_of(*command: str) -> str:
    return subprocess.run([PROGRAM, *command, "--help"], capture_output=True, text=True, check=True).stdout


@cache
def commands() -> tuple[str, ...]:
    listed = help_of().split("ommands:", 1)[1]
    return tuple(re.findall(r"^  ([a-z][a-z0-9-]*) ", listed, re.MULTILINE))


@cache
def options_of(*command: str) -> frozenset[str]:
    """Those at the beginning of a line of its help."""
    return frozenset(re.findall(r"^\s+(?:-\w, ?)?(--[a-z][a-z0-9-]*)", help_of(*command), re.MULTILINE))


@cache
def aliases() -> frozenset[str]:
    """What options are called besides, which the man page lists."""
    page = subprocess.run([PROGRAM, "completion", "man"], capture_output=True, text=True, check=True).stdout
    return frozenset(OPTION.findall(page.replace("\\-", "-").replace("\\fB", " ")))


@cache
def options_of_scripts() -> frozenset[str]:
    scripts = [path for path in (PROJECT / "scripts").rglob("*") if path.suffix in (".sh", ".py")]
    return frozenset(option for path in scripts for option in OPTION.findall(path.read_text()))


def without_code_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def code_lines(text: str) -> list[str]:
    """The lines of code blocks without their comments, and what stands between backticks."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    lines = [re.sub(r"(^|\s)#.*", "", line) for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.strip()] + re.findall(r"`([^`\n]+)`", without_code_blocks(text))


def anchors(document: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", without_code_blocks(document.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def exists(pattern: str) -> bool:
    """A path, or a pattern in which <name> stands for any name."""
    pattern = re.sub(r"<[^<>]*>", "*", pattern).rstrip("/")
    return any(PROJECT.glob(pattern)) if "*" in pattern else (PROJECT / pattern).exists()


@cache
def source_names() -> frozenset[str]:
    return frozenset(path.name for folder in FOLDERS for path in (PROJECT / folder).rglob("*"))


def test_readme_is_short():
    assert len(README.read_bytes()) <= 8192


@of_each_document
def test_lines_fit(document):
    lines = without_code_blocks(document.read_text()).splitlines()
    assert [line for line in lines if len(line) > 120 and not line.lstrip().startswith("|")] == []


@of_each_document
def test_links(document):
    text = without_code_blocks(document.read_text())
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), link
        assert PROJECT in target.parents, link
        assert not anchor or anchor in anchors(target), link


@of_each_present_document
def test_named_paths_exist(document):
    """What begins with a folder of the project, and single files of source code, which stand somewhere in it."""
    words = [word.strip(",;:'\"()") for line in code_lines(document.read_text()) for word in line.split()]
    paths = [word for word in words if "/" in word and word.split("/")[0] in FOLDERS]
    files = [word for word in words if re.fullmatch(r"\w[\w.-]*", word) and word.endswith(SOURCE_SUFFIXES)]
    missing = [path for path in paths if not exists(path)]
    assert missing + [name for name in files if name not in source_names() and not exists(name)] == []


def call_of(line: str) -> list[str] | None:
    """The arguments of a line that calls the program, with its name or without."""
    try:
        words = shlex.split(line)
    except ValueError:  # a single quotation mark
        words = line.split()
    for k, word in enumerate(words):
        if word in ("build/diffapple", "diffapple"):
            return words[k + 1 :]
    return words if words and words[0] in commands() else None


@of_each_present_document
def test_named_options_exist(document):
    of_all = frozenset().union(*map(options_of, commands())) | options_of() | options_of_scripts() | aliases()
    for line in code_lines(document.read_text()):
        call = call_of(line)
        if call and call[0] in commands():
            assert set(OPTION.findall(line)) <= options_of(call[0]), line
        elif call or line.startswith("--"):
            assert set(OPTION.findall(line)) <= of_all, line
        elif line.startswith("scripts/"):
            words = line.split()
            runs = [word for before, word in itertools.pairwise(words) if not before.startswith("--")]
            command = next((word for word in runs if word in commands()), None)  # that the script runs
            own, _, passed = line.partition(f" {command} ") if command else (line, "", "")
            assert set(OPTION.findall(own)) <= options_of_scripts(), line
            assert not command or set(OPTION.findall(passed)) <= options_of(command), line


@pytest.mark.parametrize("command", EXPERIMENTS)
def test_using_has_every_option_of_the_experiments(command):
    assert options_of(command) - set(OPTION.findall(USING.read_text())) - {"--help"} == set()


def test_every_command_with_its_options_is_in_a_document():
    texts = USING.read_text() + BENCH.read_text()
    described = {"--help", *OPTION.findall(texts)}
    for command in commands():
        assert f"`{command}`" in texts
        assert options_of(command) - described == set(), command


def test_using_has_every_sampler():
    from oracle import SCHEDULER_CLASSES  # not at the top: diffusers takes seconds to import

    row = next(line for line in USING.read_text().splitlines() if line.startswith("| `--scheduler"))
    assert " ".join(SCHEDULER_CLASSES) in row


def test_architecture_has_the_layers():
    layers = runpy.run_path(str(PROJECT / "scripts" / "check_layers.py"))["LAYERS"]
    text = (PROJECT / "docs" / "architecture.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == layers
    diagram = text.split("```")[1]
    assert sorted(set(re.findall(r"\w+", diagram)) & set(layers)) == sorted(layers)


def test_figures_of_the_readme_are_measured_ones():
    table = README.read_text().split("\n## Speed and memory\n")[1].split("\n## ")[0]
    figures = re.findall(r"[\d.]+ (?:s|GB)(?: \([\d.]+\))?", table)
    assert len(figures) > 8
    assert [figure for figure in figures if figure not in BENCH.read_text()] == []


def test_the_checks_see_what_is_wrong(tmp_path):
    assert not exists("src/core/no_such_file.cpp")
    assert not exists("src/no_such_layer/<name>.cpp")
    assert exists("src/schedulers/<name>.cpp")
    assert call_of("build/diffapple ddpm --seed 0 | head")[0] == "ddpm"
    assert "--no-such-option" not in options_of("ddpm") and "--seed" in options_of("ddpm")
    document = tmp_path / "a.md"
    document.write_text("# A title, with `code`\n```sh\n# no title\n```\n")
    assert anchors(document) == {"a-title-with-code"}
