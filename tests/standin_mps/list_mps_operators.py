#!/usr/bin/env python3
"""Lists the operators that have a kernel of their own on MPS, for the stand-in mps device.

Reads native_functions.yaml of the installed torch package through torchgen, which ships with it, so that structured
operators and generated variants are resolved as LibTorch's own build resolves them. Operators that LibTorch composes
of others are not listed: the dispatcher runs those without asking the device.

    python list_mps_operators.py > mps_operators.inc
"""

from pathlib import Path

import torch
import torchgen
from torchgen.gen import get_grouped_native_functions, parse_native_yaml
from torchgen.model import DispatchKey, NativeFunction, NativeFunctionsGroup

HEADER = """\
// Operators with an MPS kernel in LibTorch {version}, each as a string and a comma.
// Made by list_mps_operators.py; do not edit."""


def mps_operators() -> list[str]:
    folder = Path(torchgen.__file__).parent / "packaged" / "ATen" / "native"
    functions, indices = parse_native_yaml(str(folder / "native_functions.yaml"), str(folder / "tags.yaml"))
    mps = indices[DispatchKey.MPS]
    names = set()
    for entry in get_grouped_native_functions(functions):
        # A structured operator's kernel is written once, for its out= variant, and serves all its variants.
        is_structured = isinstance(entry, NativeFunctionsGroup) and entry.structured
        variants = [entry] if isinstance(entry, NativeFunction) else entry.functions()
        names.update(f.func.name for f in variants if mps.has_kernel(entry if is_structured else f))
    return sorted(map(str, names))


def main() -> None:
    print(HEADER.format(version=torch.__version__.split("+")[0]))
    for name in mps_operators():
        print(f'"{name}",')


if __name__ == "__main__":
    main()
