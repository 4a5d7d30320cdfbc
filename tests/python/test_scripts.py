"""Every script sources the files of scripts/lib whose functions it calls, and those that these call: a function that is
missing is found by bash only when its line is reached."""

import re

import pytest
from conftest import PROJECT

SCRIPTS = PROJECT / "scripts"
DEFINITION = re.compile(r"^([a-z_]+)\(\) \{(.*?)(?:^\}| \}$)", re.MULTILINE | re.DOTALL)


def code_of(path):
    return re.sub(r"(^|\s)#.*", "", path.read_text())


BODIES = {
    name: (path.name, body)
    for path in sorted((SCRIPTS / "lib").glob("*.sh"))
    for name, body in DEFINITION.findall(code_of(path))
}


def files_called(code):
    """Of scripts/lib: those whose functions are called from `code`, and from these functions."""
    called, waiting = set(), set(re.findall(r"[a-z_]+", code))
    while waiting:
        name = waiting.pop()
        if name in BODIES and name not in called:
            called.add(name)
            waiting |= set(re.findall(r"[a-z_]+", BODIES[name][1]))
    return {BODIES[name][0] for name in called}


@pytest.mark.parametrize("script", sorted(SCRIPTS.glob("*.sh")), ids=lambda path: path.name)
def test_sources_what_it_calls(script):
    code = code_of(script)
    sourced = set(re.findall(r"^\. .*lib/(\w+\.sh)\"?$", code, re.MULTILINE))
    own = {name for name, _ in DEFINITION.findall(code)}
    calls = re.sub(r"\b(" + "|".join(own | {"-"}) + r")\b", "", code)
    assert files_called(calls) <= sourced
