"""CLIP's tokenizer as a folder of a diffusers checkpoint, made from CLIP's own merge list, which the wheel of
open_clip_torch carries (installed by scripts/test.sh without its dependencies, and never imported)."""

import gzip
import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path

START, END = "<|startoftext|>", "<|endoftext|>"
ALL_MERGES = 49152 - 256 - 2  # of the list's 262,145; the rest was never used
MAX_LENGTH = 77


def byte_characters() -> list[str]:
    """GPT-2's printable character for each byte, in the order of CLIP's vocabulary: the printable bytes, then the others."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = 256 - len(printable)
    return [chr(byte) for byte in printable] + [chr(256 + i) for i in range(others)]


@cache
def all_merges() -> list[str]:
    spec = find_spec("open_clip")
    assert spec, "open_clip_torch is missing: scripts/test.sh installs it"
    lines = gzip.decompress((Path(spec.origin).parent / "bpe_simple_vocab_16e6.txt.gz").read_bytes()).decode()
    return lines.split("\n")[1 : ALL_MERGES + 1]


def vocabulary(merges: int = ALL_MERGES) -> dict[str, int]:
    """Token to id, with the first `merges` merges: 514 + merges tokens, 49,408 for the real one. The last two ids are
    the start and the end token."""
    characters = byte_characters()
    pieces = characters + [c + "</w>" for c in characters] + [m.replace(" ", "") for m in all_merges()[:merges]]
    return {piece: i for i, piece in enumerate([*pieces, START, END])}


def special(content: str) -> dict:
    """A special token as the Hub's files of Stable Diffusion write it."""
    return dict(content=content, lstrip=False, normalized=True, rstrip=False, single_word=False)


def write_tokenizer(folder: Path, pad_token: str = END, merges: int = ALL_MERGES, max_length: int = MAX_LENGTH) -> int:
    """Writes vocab.json, merges.txt, tokenizer_config.json and special_tokens_map.json, and returns the vocabulary's
    size (`vocab_size` of the text encoder; its `eos_token_id` is that less 1). `pad_token`: the end token for SD v1 and
    SDXL's first encoder, "!" for SD v2 and SDXL's second. Fewer `merges` make a small vocabulary that is quick to
    read; it still knows every byte."""
    folder.mkdir(parents=True, exist_ok=True)
    tokens = vocabulary(merges)
    (folder / "vocab.json").write_text(json.dumps(tokens), encoding="utf-8")
    lines = ["#version: 0.2", *all_merges()[:merges]]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    tokens_map = {
        "bos_token": special(START),
        "eos_token": special(END),
        "pad_token": pad_token,
        "unk_token": special(END),
    }
    typed = {
        key: dict(value, __type="AddedToken") if isinstance(value, dict) else value for key, value in tokens_map.items()
    }
    config = dict(
        typed,
        add_prefix_space=False,
        do_lower_case=True,
        errors="replace",
        model_max_length=max_length,
        tokenizer_class="CLIPTokenizer",
    )
    (folder / "special_tokens_map.json").write_text(json.dumps(tokens_map, indent=2))
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2))
    return len(tokens)
