"""Help, completion and man page, all made from the commands and options that there are; and defaults of one's own."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import PROGRAM, one_line_error, run_on_terminal

EXPERIMENTS = ("ddpm", "sd15", "sdxl-turbo", "sd2-inpaint")
COMMANDS = (*EXPERIMENTS, "bench", "selftest", "devices", "models", "inspect", "tokenize", "fetch", "convert", "show", "grid",
            "report", "replay", "completion")  # fmt: skip
every_command = pytest.mark.parametrize("command", COMMANDS)


def help_of(diffapple, command: str) -> str:
    return diffapple.ok(command, "--help").out


def options_of(text: str) -> set[str]:
    return set(re.findall(r"^  (?:-\w, )?(--[a-z0-9-]+)", text, re.MULTILINE))


def on_terminal(diffapple, columns: int, *arguments, **variables) -> str:
    command = f"stty cols {columns}; exec " + shlex.join(diffapple.command(*arguments))
    environment = {**diffapple.variables(), "TERM": "xterm", "NO_COLOR": "1", **variables}
    code, written = run_on_terminal(["sh", "-c", command], diffapple.folder, environment, with_stdout=True, stdin=True)
    assert code == 0, written
    return written.replace("\r", "")


# --- help


@every_command
def test_help_has_three_examples_that_are_calls(diffapple, command):
    text = help_of(diffapple, command)
    examples = re.findall(r"^  diffapple (.*)$", text.split("\nExamples:\n")[1], re.MULTILINE)
    assert len(examples) == 3
    for example in examples:
        words = shlex.split(re.sub(r" [<>|].*", "", example))
        assert words[0] == command
        assert {word.split("=")[0] for word in words if word.startswith("--")} <= options_of(text), example


@every_command
def test_every_value_has_a_name(diffapple, command):
    """LIST, FILE, WxH ...: no name of a type."""
    for line in help_of(diffapple, command).splitlines():
        title = re.match(r"  (?:-\w, )?(--[a-z0-9-]+)(?: (\S+))?", line)
        if title:
            assert title[2] not in ("TEXT:FILE", "INT", "UINT", "FLOAT", "TEXT:{study}"), line


@pytest.mark.parametrize("command", EXPERIMENTS)
def test_topics_stand_in_order_and_defaults_behind_their_options(diffapple, command):
    text = help_of(diffapple, command)
    topics = re.findall(r"^(\S.*):$", text, re.MULTILINE)
    expected = ["Prompts", "What to start from", "Sampling", "Model, device, memory", "Results", "Options", "Examples",
                "Environment"]
    assert topics == [t for t in expected if t in topics] and {"Sampling", "Results"} <= set(topics)
    assert re.search(r"--seed LIST +Seeds.* \[42\]", " ".join(text.split()))


def test_help_leaves_out_what_the_model_cannot_use(diffapple):
    only_xl = {"--prompt-2", "--negative-prompt-2", "--original-size", "--target-size", "--crop"}
    assert only_xl <= options_of(help_of(diffapple, "sdxl-turbo"))
    for command in ("ddpm", "sd15", "sd2-inpaint"):
        assert not only_xl & options_of(help_of(diffapple, command))


@pytest.mark.parametrize("columns", [50, 100])
def test_help_fits_the_terminal(diffapple, columns):
    for command in ("sd15", "grid", "bench"):
        for line in on_terminal(diffapple, columns, command, "--help").split("\nExamples:\n")[0].splitlines():
            assert len(line) <= columns or " " not in line.strip(), line
    assert "\x1b[1m" in on_terminal(diffapple, columns, "sd15", "--help", NO_COLOR="")


# --- completion


def bash_answers(diffapple, script: str, *words: str) -> list[str]:
    call = f"""
        source {script}
        COMP_WORDS=({shlex.join(("diffapple", *words))}); COMP_CWORD={len(words)}
        _diffapple; printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    return subprocess.run(["bash", "-c", call], capture_output=True, text=True, check=True).stdout.split()


def test_bash_completes_commands_options_and_values(diffapple):
    script = diffapple.folder / "completion.bash"
    script.write_text(diffapple.ok("completion", "bash").out)
    assert bash_answers(diffapple, script, "sd") == ["sd15", "sdxl-turbo", "sd2-inpaint"]
    assert set(bash_answers(diffapple, script, "sd15", "--guid")) == {"--guidance", "--guidance-rescale"}
    assert bash_answers(diffapple, script, "sd15", "--dtype", "b") == ["bf16"]
    assert bash_answers(diffapple, script, "sd15", "--scheduler", "eu") == ["euler", "euler-a"]
    assert bash_answers(diffapple, script, "sd15", "-m", "x") == [], "files are bash's own"
    assert set(bash_answers(diffapple, script, "")) == {*COMMANDS, "--help", "--version"}


def test_zsh_and_fish_take_their_scripts(diffapple):
    """Where they are installed; each is shown a command line."""
    if shutil.which("zsh"):
        script = diffapple.folder / "_diffapple"
        script.write_text(diffapple.ok("completion", "zsh").out)
        call = f"autoload -Uz compinit; compinit -D; source {script}; whence -w _diffapple; echo $_comps[diffapple]"
        result = subprocess.run(["zsh", "-f", "-c", call], capture_output=True, text=True, cwd=diffapple.folder)
        assert result.stdout.split() == ["_diffapple:", "function", "_diffapple"] and result.stderr == ""
    if shutil.which("fish"):
        script = diffapple.folder / "diffapple.fish"
        script.write_text(diffapple.ok("completion", "fish").out)
        for line, expected in [
            ("diffapple sd", {"sd15", "sdxl-turbo", "sd2-inpaint"}),
            ("diffapple sd15 --guid", {"--guidance", "--guidance-rescale"}),
            ("diffapple sd15 --dtype ", {"auto", "fp32", "fp16", "bf16"}),
        ]:
            call = ["fish", "--no-config", "-c", f"source {script}; complete -C '{line}'"]
            result = subprocess.run(call, capture_output=True, text=True, env=diffapple.variables())
            assert {answer.split("\t")[0] for answer in result.stdout.splitlines()} == expected, result.stderr


@pytest.mark.skipif(not (PROGRAM.parent / "cmake_install.cmake").exists(), reason="the program is in no build folder")
def test_installed_completions_and_man_page_are_found(diffapple):
    """By the shells that are here, and by man, from the places alone that `cmake --install` puts them into."""
    prefix = diffapple.folder / "prefix"
    install = ["cmake", "--install", PROGRAM.parent, "--component", "shells", "--prefix", prefix]
    subprocess.run(install, check=True, capture_output=True)
    share = prefix / "share"
    places = {"bash": "bash-completion/completions/diffapple", "zsh": "zsh/site-functions/_diffapple",
              "fish": "fish/vendor_completions.d/diffapple.fish", "man": "man/man1/diffapple.1"}  # fmt: skip
    for kind, place in places.items():
        assert (share / place).read_text() == diffapple.ok("completion", kind).out
    loader = Path("/usr/share/bash-completion/bash_completion")
    calls = {
        "bash": f"source {loader}; _completion_loader diffapple; complete -p diffapple",
        "zsh": f"fpath=({share}/zsh/site-functions $fpath); autoload -Uz compinit; compinit -D; echo $_comps[diffapple]",
        "fish": "complete -C 'diffapple sd15 --guid'",
        "man": f"man -M {share}/man -w diffapple",
    }
    found = {"bash": "diffapple", "zsh": "_diffapple", "fish": "--guidance", "man": str(share / places["man"])}
    variables = diffapple.variables()
    path = f"{PROGRAM.parent}:{variables['PATH']}"  # fish completes commands that exist
    environment = {**variables, "XDG_DATA_DIRS": str(share), "PATH": path}
    for kind, call in calls.items():
        shell = "sh" if kind == "man" else kind
        if shutil.which(kind) and (kind != "bash" or loader.exists()):
            result = subprocess.run([shell, "-c", call], capture_output=True, text=True, env=environment)
            assert found[kind] in result.stdout, (kind, result.stdout, result.stderr)


def test_completion_and_man_page_have_every_option(diffapple):
    texts = {kind: diffapple.ok("completion", kind).out for kind in ("bash", "zsh", "fish", "man")}
    plain = texts["man"].replace("\\-", "-")
    for command in COMMANDS:
        for option in options_of(help_of(diffapple, command)) - {"--help"}:
            assert option in texts["bash"] and option in texts["zsh"] and option in plain
            assert f"-l {option[2:]} " in texts["fish"]


def test_man_page_is_one(diffapple):
    if not shutil.which("groff"):
        pytest.skip("groff is not here")
    page = diffapple.ok("completion", "man").out
    result = subprocess.run(["groff", "-man", "-Tutf8", "-ww"], input=page, capture_output=True, text=True)
    assert result.returncode == 0 and result.stderr == ""
    text = re.sub(".\x08", "", result.stdout)  # bold letters are overstruck
    for part in ("NAME", "SYNOPSIS", "COMMANDS", "ENVIRONMENT", "FILES", "EXIT STATUS"):
        assert part in text


# --- defaults


def write_config(diffapple, text: str):
    diffapple.variables()
    file = diffapple.folder / "home" / ".config" / "diffapple" / "config.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_defaults_come_from_file_and_environment(diffapple, tiny):
    def report(*arguments) -> dict:
        (made, *_) = diffapple.ok("ddpm", "--json", "--force", *arguments).reports
        return {key: made[key] for key in ("steps", "seed", "width")}

    write_config(diffapple, f'model = "{tiny}"\nsteps = 3\nseed = [5, 6]\n[ddpm]\nwidth = 24\n[sd15]\nwidth = 512\n')
    assert report() == dict(steps=3, seed=5, width=24)
    diffapple.environment["DIFFAPPLE_STEPS"] = "2"
    assert report() == dict(steps=2, seed=5, width=24)
    assert report("--steps", 1, "-s", 9) == dict(steps=1, seed=9, width=24)
    shown = diffapple.ok("devices", "--verbose").out
    assert re.search(r"ddpm +--steps 2 +DIFFAPPLE_STEPS", shown) and re.search(r"ddpm +--width 24 +.*config.toml", shown)
    assert re.search(r"sd15 +--width 512 +", shown)


def test_without_defaults_devices_says_so(diffapple):
    assert "No defaults are set" in diffapple.ok("devices", "--verbose").out
    assert "defaults" not in diffapple.ok("devices").out


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("stepz = 3\n", ["config.toml", "stepz is no option", "did you mean steps?"]),
        ("[sd14]\nsteps = 3\n", ["[sd14] is no command", "did you mean sd15?"]),
        ("[ddpm]\nprompt = 'x'\n", ["ddpm.prompt is no option"]),
        ("steps = 1\nseed = 3\nsteps = 2\n", ["steps is given twice"]),
        ("keep_loaded = 7\n", ["--keep-loaded: is a switch"]),
        ("steps = many\n", ["--steps 'many'", "defaults in use: --steps from", "config.toml"]),
    ],
)
def test_bad_defaults_are_named(diffapple, tiny, text, parts):
    write_config(diffapple, text)
    one_line_error(diffapple("ddpm", "--model", tiny), 2, *parts)
    assert "Usage" in diffapple.ok("ddpm", "--help").out
