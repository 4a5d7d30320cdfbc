#!/usr/bin/env python3
"""Checks the include rule: a file includes only its own layer and the layers below it, and the public headers leave
LibTorch's all-in-one header, which takes 20 seconds to compile, to the few sources that need it.

usage: check_layers.py [PROJECT_DIR]
"""

import re
import sys
from pathlib import Path

LAYERS = "core io nn schedulers text study models pipelines recipes sheets experiments tools cli".split()
BESIDE = {("tools", "experiments")}  # the first may not include the second, though it comes after it
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]')
HEAVY_HEADERS = {"torch/torch.h", "torch/all.h", "torch/extension.h"}


def layer_of(path: Path, project: Path) -> str:
    """The folder below src/ or include/diffapple/."""
    parts = path.relative_to(project).parts
    return parts[1] if parts[0] == "src" else parts[2]


def included_layer(target: str, file: Path, project: Path) -> str | None:
    if target.startswith("diffapple/"):
        return target.split("/")[1]
    local = (file.parent / target).resolve()  # a private header, by a path relative to the file
    if local.is_file() and project / "src" in local.parents:
        return layer_of(local, project)
    return None


def problem(target: str, file: Path, project: Path) -> str | None:
    own = layer_of(file, project)
    if target in HEAVY_HEADERS and "include" in file.relative_to(project).parts:
        return f"a public header includes <{target}>: name the single headers it needs"
    used = included_layer(target, file, project)
    if used is None:
        return None
    if used not in LAYERS:
        return f"includes '{target}', and there is no layer '{used}'"
    if (own, used) in BESIDE:
        return f"layer '{own}' includes '{target}' of layer '{used}', which stands beside it"
    if LAYERS.index(used) > LAYERS.index(own):
        return f"layer '{own}' includes '{target}' of the higher layer '{used}'"
    return None


def check(project: Path) -> list[str]:
    files = [*project.glob("src/**/*"), *project.glob("include/diffapple/**/*")]
    sources = sorted(file for file in files if file.suffix in {".h", ".cpp"})
    if not sources:
        return [f"{project}: no sources in src/ and include/diffapple/"]
    problems = []
    for file in sources:
        name = file.relative_to(project)
        if layer_of(file, project) not in LAYERS:
            problems.append(f"{name}: there is no layer '{layer_of(file, project)}'")
            continue
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            include = INCLUDE.match(line)
            message = include and problem(include[1], file, project)
            if message:
                problems.append(f"{name}:{number}: {message}")
    return problems


def main() -> int:
    project = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent).resolve()
    problems = check(project)
    print("\n".join(problems) or "layers: fine", file=sys.stderr if problems else sys.stdout)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
