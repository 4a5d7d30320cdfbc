"""A small byte-pair vocabulary in the file format of CLIP's, in which every word of the captions is one token."""
import collections
import json
from pathlib import Path

from transformers import CLIPTokenizer

START, END = "<|startoftext|>", "<|endoftext|>"


def byte_alphabet():
    """The printable character that stands for each byte, as GPT-2's encoder.py has them."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + i) for i in range(len(others))]


def learn_merges(words):
    """Merges, the most frequent pair first, until each word (ASCII) is one token."""
    pieces = {word: [*word[:-1], word[-1] + "</w>"] for word in sorted(set(words))}
    merges = []
    while True:
        pairs = collections.Counter(pair for parts in pieces.values() for pair in zip(parts, parts[1:]))
        if not pairs:
            return merges
        best = max(sorted(pairs), key=pairs.get)
        merges.append(best)
        for word, parts in pieces.items():
            merged, i = [], 0
            while i < len(parts):
                both = tuple(parts[i:i + 2]) == best
                merged.append("".join(parts[i:i + 1 + both]))
                i += 1 + both
            pieces[word] = merged


def make_tokenizer(words, folder, pad=END):
    """Writes vocab.json and merges.txt and returns the tokenizer that reads them."""
    merges = learn_merges(words)
    alphabet = byte_alphabet()
    tokens = [*alphabet, *(character + "</w>" for character in alphabet), *("".join(pair) for pair in merges)]
    tokens = [*dict.fromkeys(tokens), START, END]
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}, ensure_ascii=False))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    return load_tokenizer(folder, pad)


def load_tokenizer(folder, pad=END):
    return CLIPTokenizer.from_pretrained(folder, model_max_length=77, bos_token=START, eos_token=END, unk_token=END,
                                         pad_token=pad)


def write_clip_files(tokenizer, source, folder):
    """What CLIP's own tokenizer folders hold, in place of the one file that newer versions of transformers write."""
    folder, source = Path(folder), Path(source)
    for name in ("vocab.json", "merges.txt"):
        if source != folder:
            (folder / name).write_text((source / name).read_text())
    (folder / "tokenizer.json").unlink(missing_ok=True)
    config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "do_lower_case": True,
              "add_prefix_space": False, "errors": "replace", "bos_token": START, "eos_token": END, "unk_token": END,
              "pad_token": tokenizer.pad_token}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    special = {name: config[name] for name in ("bos_token", "eos_token", "unk_token", "pad_token")}
    (folder / "special_tokens_map.json").write_text(json.dumps(special, indent=2) + "\n")
