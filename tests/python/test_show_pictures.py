"""`--show`: small pictures between the lines of terminals that can."""

import base64
import io
import re

import pytest
from conftest import run_on_terminal
from PIL import Image

KITTY = [{"TERM": "xterm-kitty"}, {"TERM": "xterm-ghostty"}, {"KONSOLE_VERSION": "220401"}]
ITERM2 = [{"TERM_PROGRAM": "iTerm.app"}, {"TERM_PROGRAM": "WezTerm"}, {"LC_TERMINAL": "iTerm2"}]
NONE = [{}, {"TERM": "xterm-kitty", "TMUX": "/tmp/x"}, {"TERM": "screen-256color", "LC_TERMINAL": "iTerm2"}]
TERMINALS = ("TERM", "TERM_PROGRAM", "LC_TERMINAL", "KONSOLE_VERSION", "TMUX")


def shown(diffapple, tiny, terminal, *options) -> str:
    kept = {k: v for k, v in diffapple.variables().items() if k not in TERMINALS}
    command = diffapple.command("ddpm", "--model", tiny, "--steps", 1, "--seed", "0,1", "--show", *options)
    code, written = run_on_terminal(command, diffapple.folder, {**kept, "TERM": "xterm", **terminal})
    assert code == 0, written
    return written


def assert_pictures(diffapple, pictures):
    saved = sorted(diffapple.folder.glob("out/*/uncond/*.png"))
    assert len(pictures) == len(saved) == 2
    for text, file in zip(pictures, saved, strict=True):
        picture, original = Image.open(io.BytesIO(base64.b64decode(text, validate=True))), Image.open(file)
        small = original.resize(picture.size, Image.Resampling.LANCZOS)
        assert picture.format == "PNG" and max(picture.size) == min(256, max(original.size))
        assert picture.convert("RGB").tobytes() == small.convert("RGB").tobytes()


@pytest.mark.parametrize("terminal", KITTY)
@pytest.mark.parametrize("side", [16, 320])
def test_kitty(diffapple, tiny, terminal, side):
    written = shown(diffapple, tiny, terminal, "--width", side, "--height", side // 2)
    pictures = []
    for keys, text in re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", written):
        if keys.startswith("a=T"):
            assert keys[:-1] == "a=T,f=100,q=2,m="
            pictures.append("")
        assert len(text) <= 4096 and keys[-3:-1] == "m=" and (keys[-1] == "0" or len(text) % 4 == 0)
        pictures[-1] += text
        last = keys[-1] == "0"
    assert last and (side == 16 or written.count("\x1b_G") > 2)
    assert_pictures(diffapple, pictures)


@pytest.mark.parametrize("terminal", ITERM2)
def test_iterm2(diffapple, tiny, terminal):
    written = shown(diffapple, tiny, terminal)
    found = re.findall(r"\x1b\]1337;File=inline=1;size=(\d+);width=(\d+)px;height=(\d+)px:([^\a]*)\a", written)
    assert [int(size) for size, *_ in found] == [len(base64.b64decode(text)) for *_, text in found]
    assert_pictures(diffapple, [text for *_, text in found])


@pytest.mark.parametrize("terminal", NONE)
def test_other_terminals_get_one_line(diffapple, tiny, terminal):
    written = shown(diffapple, tiny, terminal)
    assert written.count("--show:") == 1 and "\x1b_G" not in written and "1337" not in written


def test_a_file_gets_no_codes(diffapple, tiny):
    diffapple.environment["TERM"] = "xterm-kitty"
    result = diffapple.ok("ddpm", "--model", tiny, "--steps", 1, "--show")
    assert result.err.count("--show:") == 1 and "\x1b" not in result.err and len(result.paths) == 1


def test_pictures_that_were_there_are_not_shown(diffapple, tiny):
    shown(diffapple, tiny, {"TERM": "xterm-kitty"})
    assert "\x1b_G" not in shown(diffapple, tiny, {"TERM": "xterm-kitty"})
