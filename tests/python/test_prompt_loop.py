"""`--interactive` and `--prompts FILE`: one prompt a line, one load."""

import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import termios
import time

import pytest
from conftest import Result, one_line_error
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


def test_lines_with_a_colon_change_settings_from_a_pipe_too(diffapple, checkpoint):
    lines = "a cat\n:seed 3\n:guidance 2,4\na dog\n:q\na bird\n"
    names = [path.name for path in run(diffapple, checkpoint, "--interactive", lines=lines).paths]
    assert names == [f"{name}_model-model.png" for name in ("seed42_n1_s7.5", "seed3_n1_s2.0", "seed3_n1_s4.0")]
    wrong = run(diffapple, checkpoint, "--interactive", lines=":seeds x\na cat\n")
    assert (wrong.code, wrong.out) == (2, "") and "seeds" in wrong.err


def test_no_negative_prompt_shows_as_none(diffapple):
    """SDXL has zeros in its place, which is no setting that a person made."""
    checkpoint = make_sdxl(diffapple.folder / "model")
    shown = run(diffapple, checkpoint, "--interactive", "--guidance", 2, lines=":show\n", command="sdxl-turbo").err
    assert "guidance 2" in shown and "negative prompt" not in shown


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


@pytest.mark.parametrize("file", ["absent.txt", ".", os.devnull, ""])
def test_no_file_of_prompts(diffapple, checkpoint, file):
    """Missing, a folder, empty, and an unset variable of a script."""
    one_line_error(diffapple("sd15", "--model", checkpoint, "--prompts", file), 1, "--prompts", file)


def test_prompts_send_no_escape_sequences(diffapple, checkpoint):
    prompt = "cat " * 80 + "\x1b[31m\u202eend"
    result = run(diffapple, checkpoint, "--interactive", lines=prompt + "\n")
    (lost,) = [line for line in result.err.splitlines() if "left out" in line]
    assert "cat" in lost and not set("\x1b\u202e") & set(result.err)


def test_bytes_that_are_no_utf8(diffapple, checkpoint):
    """In a file, after a byte order mark, they are another encoding's; an argument stands as tokenizers read it."""
    file = diffapple.folder / "prompts.txt"
    file.write_bytes(b"\xef\xbb\xbfa cat\na \xff dog\n")
    options = ["--model", checkpoint, "--steps", 1]
    one_line_error(diffapple("sd15", *options, "--prompts", file), 1, "line 2 is not UTF-8")
    options += ["--prompt", os.fsdecode(b"a \xff bird"), "--negative-prompt", os.fsdecode(b"\xe9"), "--json"]
    (report,) = diffapple.ok("sd15", *options).reports
    assert (report["prompt"], report["negative_prompt"]) == ("a \ufffd bird", "\ufffd")


def test_a_sweep_loads_nothing_twice(diffapple, checkpoint):
    """With --keep-loaded and without."""
    options = ["--model", checkpoint, "--steps", 1, "--prompt", "a cat", "--seed", "0..2", "--verbose", "--force"]
    for more in ([], ["--keep-loaded"]):
        assert loads(diffapple.ok("sd15", *options, *more)) == ["text_encoder", "unet", "vae"]


# --- a person at a terminal


class Session:
    """`diffapple sd15 --interactive` on a terminal."""

    def __init__(self, diffapple, checkpoint, *options):
        self.leader, follower = pty.openpty()
        command = diffapple.command("sd15", "--model", checkpoint, "--steps", 1, "--interactive", *options)
        environment = {**diffapple.variables(), "TERM": "xterm", "LANG": "C"}
        self.process = subprocess.Popen(
            command, cwd=diffapple.folder, env=environment, stdin=follower, stdout=subprocess.PIPE, stderr=follower,
            text=True, start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(follower)
        self.written = ""

    def wait_for(self, text: str, seconds: float = 60):
        deadline = time.monotonic() + seconds
        while text not in self.written and time.monotonic() < deadline:
            if select.select([self.leader], [], [], 0.5)[0]:
                try:
                    self.written += os.read(self.leader, 65536).decode(errors="replace")
                except OSError:
                    break
        assert text in self.written, self.written
        self.written = self.written.split(text, 1)[1]

    def type(self, text: str):
        """The editor shows its prompt before it takes over the keys from the terminal."""
        deadline = time.monotonic() + 60
        while termios.tcgetattr(self.leader)[3] & termios.ICANON and time.monotonic() < deadline:
            time.sleep(0.01)
        os.write(self.leader, text.encode())

    def end(self) -> tuple[int, list[str]]:
        out = self.process.communicate(timeout=60)[0]
        os.close(self.leader)
        return self.process.returncode, out.splitlines()


PROMPT = "prompt (:help, q ends): "


def test_a_session_edits_remembers_and_changes_settings(diffapple, checkpoint):
    session = Session(diffapple, checkpoint)
    session.wait_for(PROMPT)
    session.type("a c\u00e4tx\x7f\r")  # the last character is deleted
    session.wait_for(PROMPT)
    session.type(":seed 3\r")
    session.wait_for(PROMPT)
    session.type("\x1b[A\x1b[A\r")  # the line before the last
    session.wait_for(PROMPT)
    session.type(":guidance 2,4\r")
    session.wait_for(PROMPT)
    session.type(":show\r")
    session.wait_for("guidance 2 values")
    session.wait_for("seed 3")
    session.wait_for(PROMPT)
    session.type(":sed 3\r")
    session.wait_for("did you mean seed?")
    session.wait_for(PROMPT)
    session.type(":help\r")
    session.wait_for(":show")
    session.wait_for(PROMPT)
    session.type("q\r")
    code, paths = session.end()
    assert code == 0
    assert [re.search(r"(a_c\u00e4t)/seed(\d+)_n1_s([\d.]+)", path).groups() for path in paths] == [
        ("a_c\u00e4t", "42", "7.5"),
        ("a_c\u00e4t", "3", "7.5"),
    ]
    history = (diffapple.folder / "home/.local/state/diffapple/history").read_text()
    assert ":seed" in history


def test_a_session_ends_with_ctrl_d_and_with_ctrl_c(diffapple, checkpoint):
    for key, expected in (("\x04", 0), ("\x03", -signal.SIGINT)):
        session = Session(diffapple, checkpoint)
        session.wait_for(PROMPT)
        session.type(key)
        assert session.end() == (expected, [])


def test_control_characters_are_refused_on_a_terminal(diffapple, checkpoint):
    session = Session(diffapple, checkpoint)
    session.wait_for(PROMPT)
    session.type("a \x16\x1b[31mcat\r")  # Ctrl-V takes the next key as it is
    session.wait_for("control characters")
    session.wait_for(PROMPT)
    session.type("\x04")
    assert session.end() == (0, [])
