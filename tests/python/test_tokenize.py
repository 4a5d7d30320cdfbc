"""`diffapple tokenize` against transformers' CLIPTokenizer: the same ids for every text and every form of the
tokenizer's files, and one clear line for damaged ones."""

import json
import random
import shutil
import subprocess
from pathlib import Path

import pytest
from checkpoints import edit_json, write_json
from clip_vocabulary import END, START, write_tokenizer
from conftest import Diffapple
from transformers import CLIPTokenizer
from transformers.utils import logging

logging.set_verbosity_error()

SMALL = 1000  # merges; quick to read
NOTHING = " \t\x0b\x0c\x1c\x85\xa0\u1680\u2003\u2028\u3000\u200b\ufeff"
SNIPPETS = [
    *("'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "''s", "’s", "don't", "I'LL", "'", '"'),
    *(START, END, START.upper(), "<|endoftext", "|>", "<|", "<|START", "!", "!!", "?!", "...", "</w>", "a</w>"),
    *("İ", "ß", "ẞ", "ﬁ", "Σ", "ΑΣ", "ΣΑΣ.", "ǅ", "ſ", "K", "Å", "Ω", "½", "Ⅷ", "٣", "1234", "x2", "²", "①"),
    *("é", "e\u0301", "q\u0307\u0323", "q\u0323\u0307", "a\u0345\u0334", "각", "ᄀ", "ᅡ", "ᆨ", "क्षि", "ﷺ", "הֵֽ"),
    *("👩\u200d👩\u200d👧", "🇩🇪", "👍🏽", "❤\ufe0f", "🏴\U000e0067\U000e0062", "你好", "日本語", "ไทย", "한국어", "\U00011938"),
    *("\U00016d68", "\U000105c9", "\U000113c5", "\U0002ebf0", "\U000323b0", "\x00", "\x1b", "\x7f", "\u0378", "\U0010ffff"),
]


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """`real`: SDXL's two tokenizers, of the real vocabulary; `small`: the same with few merges."""
    folder = tmp_path_factory.mktemp("models")
    for name, size in (("real", {}), ("small", dict(merges=SMALL))):
        write_json(folder / name / "model_index.json", {})
        write_tokenizer(folder / name / "tokenizer", **size)
        write_tokenizer(folder / name / "tokenizer_2", pad_token="!", **size)
    return folder


def new_model(folder: Path, source: Path) -> Path:
    """A model of one tokenizer, to be changed. Returns the tokenizer's folder."""
    write_json(folder / "model_index.json", {})
    return Path(shutil.copytree(source, folder / "tokenizer"))


def tokenize_bytes(diffapple: Diffapple, text: bytes, *arguments) -> subprocess.CompletedProcess:
    command = diffapple.command("tokenize", "-", "--json", *arguments)
    return subprocess.run(command, input=text, capture_output=True, env=diffapple.variables(), timeout=120)


def tokenize(diffapple: Diffapple, texts: list[str], model: Path, *arguments) -> list[list[int]]:
    result = tokenize_bytes(diffapple, ("\n".join(texts) + "\n").encode(), "--model", str(model), *arguments)
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.decode().split("\n")[:-1]]


def assert_same_ids(ours: list[list[int]], oracle: CLIPTokenizer, texts: list[str]) -> None:
    assert len(ours) == len(texts)
    expected = oracle(texts).input_ids
    different = [(ascii(t), a, b) for t, a, b in zip(texts, ours, expected) if a != b]
    assert not different, f"{len(different)} texts, the first ones: {different[:3]}"


def check(diffapple: Diffapple, texts: list[str], tokenizer: Path) -> None:
    ours = tokenize(diffapple, texts, tokenizer.parent, "--tokenizer", tokenizer.name)
    assert_same_ids(ours, CLIPTokenizer.from_pretrained(tokenizer), texts)


def any_character(r: random.Random) -> str:
    ranges = [(0x20, 0x7F), (0x20, 0x7F), (0xA0, 0x250), (0x300, 0x370), (0x370, 0x3000), (0x3000, 0xD800), (0x1F000, 0x1FB00)]
    first, last = r.choice([*ranges, (0xE000, 0x110000)])
    return chr(r.randrange(first, last))


def fuzzed_text(r: random.Random) -> str:
    """Words, one script, all scripts, or snippets, with white space of all kinds; no newline, which divides texts."""
    kind = r.randrange(5)
    if kind == 0:
        parts = ["".join(r.choices("etaoinshrdlucmfETAO", k=r.randrange(1, 14))) + " " for _ in range(r.randrange(8))]
    elif kind == 1:
        block = r.randrange(0x20, 0x1800) & ~0x7F
        parts = [chr(r.randrange(max(block, 0x20), block + 0x80)) for _ in range(r.randrange(24))]
    elif kind == 2:
        parts = [any_character(r) for _ in range(r.randrange(24))]
    else:
        parts = [r.choice([any_character(r), r.choice(SNIPPETS), r.choice(NOTHING)]) for _ in range(r.randrange(16))]
    return "".join(parts).replace("\n", " ").replace("\r", " ")


@pytest.mark.parametrize("name, count", [("tokenizer", 70_000), ("tokenizer_2", 40_000)])
def test_fuzzed_texts(diffapple, models, name, count):
    r = random.Random(count)
    check(diffapple, [fuzzed_text(r) for _ in range(count)], models / "real" / name)


def test_random_bytes(diffapple, models):
    """Damaged UTF-8 is replaced as Python replaces it."""
    r = random.Random(3)
    lines = [bytes(r.choice([r.randrange(256), r.randrange(0x80, 0x100), 0x61]) for _ in range(12)) for _ in range(5000)]
    lines = [line.replace(b"\n", b"") for line in lines]
    result = tokenize_bytes(diffapple, b"\n".join(lines) + b"\n", "--model", str(models / "real"))
    ours = [json.loads(line) for line in result.stdout.splitlines()]
    oracle = CLIPTokenizer.from_pretrained(models / "real" / "tokenizer")
    assert_same_ids(ours, oracle, [line.decode(errors="replace") for line in lines])


def test_every_character(diffapple, models):
    """Each code point that any version of Unicode may have assigned, so that its class and its lower case show, and
    beside marks that it may be composed with or change places with."""
    planes = [*range(0x20, 0xD800), *range(0xE000, 0x20000), *range(0x2A6D0, 0x2A700), *range(0x2B730, 0x2B840)]
    planes += [*range(0x2CEA0, 0x2CEC0), *range(0x2EBE0, 0x2EE70), *range(0x31340, 0x31360), *range(0x323A0, 0x323C0)]
    characters = [chr(c) for c in planes if not 0xE100 <= c < 0xF900 and not 0x17100 <= c < 0x18700]
    # The real vocabulary has merges over many of these bytes, so that a wrong division into words changes ids.
    words = [f"a{c}a!{c}1" for c in characters]
    marks = [f"e\u0301{c}\u0323\u0334 {c}\u0301" for c in characters if 0x300 <= ord(c) < 0x1F000]
    texts = [" ".join(words[i : i + 20]) for i in range(0, len(words), 20)]
    texts += [" ".join(marks[i : i + 20]) for i in range(0, len(marks), 20)]
    check(diffapple, texts, models / "real" / "tokenizer")


def test_words_of_the_vocabulary(diffapple, models):
    """Each token as a word, and two together."""
    vocabulary = list(json.loads((models / "real" / "tokenizer" / "vocab.json").read_text()))
    tokens = [token.replace("</w>", "") for token in vocabulary]
    random.Random(1).shuffle(tokens)
    texts = [" ".join(tokens[i : i + 16]) for i in range(0, len(tokens), 16)]
    texts += ["".join(tokens[i : i + 2]) for i in range(0, len(tokens) - 1, 2)]
    check(diffapple, texts, models / "real" / "tokenizer")


def test_newlines_in_an_argument(diffapple, models):
    oracle = CLIPTokenizer.from_pretrained(models / "small" / "tokenizer")
    for text in ["a\nb", "\r\n a \n", "", "–a", f"a\n{END} b"]:
        result = diffapple.ok("tokenize", "--json", "--model", models / "small", "--", text)
        assert json.loads(result.out) == oracle(text).input_ids


def test_table(diffapple, models):
    out = diffapple.ok("tokenize", "A cat!", "--model", models / "real").out
    assert [line.split() for line in out.splitlines()] == [
        ["id", "piece"],
        ["49406", START],
        ["320", "a</w>"],
        ["2368", "cat</w>"],
        ["256", "!</w>"],
        ["49407", END],
    ]


def test_says_what_would_be_lost(diffapple, models):
    """As diffusers' warning does: the text of the tokens that are cut away."""
    oracle = CLIPTokenizer.from_pretrained(models / "real" / "tokenizer")
    r = random.Random(5)
    texts = [" ".join(r.choice(["fat", "cat's", "été", "日本", "👍🏽", "12,5", END]) for _ in range(80)) for _ in range(50)]
    result = tokenize_bytes(diffapple, "\n".join(texts).encode(), "--model", str(models / "real"))
    expected = []
    for text in texts:
        ids = oracle(text).input_ids
        lost = oracle.batch_decode([ids[oracle.model_max_length - 1 : -1]])[0]
        expected.append(f"the model reads 77 of these {len(ids)} tokens; it would lose: {lost}")
    assert result.stderr.decode().split("\n")[:-1] == expected
    assert "lose" not in diffapple.ok("tokenize", "x " * 75, "--model", models / "real").err


FLAGGED = dict(lstrip=True, rstrip=True, normalized=False, single_word=False)
ADDED = [
    dict(content="<toy>", special=False, **FLAGGED),
    dict(content="ZZ", special=False, **{**FLAGGED, "normalized": True, "single_word": True}),
    dict(content="ZZZ", special=False, **{**FLAGGED, "lstrip": False}),
    dict(content="!", special=True, **{**FLAGGED, "rstrip": False}),
    dict(content="É", special=True, **{**FLAGGED, "normalized": True, "lstrip": False}),
]
TOKENS_MAP = "special_tokens_map.json"


def as_saved(folder: Path) -> None:
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    shutil.rmtree(folder)
    tokenizer.save_pretrained(folder)


def with_old_merges(folder: Path) -> None:
    as_saved(folder)
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    content["model"]["merges"] = [" ".join(merge) for merge in content["model"]["merges"]]
    write_json(file, content)


def with_decoder(folder: Path) -> None:
    known = json.loads((folder / "vocab.json").read_text())
    ids = {str(known.get(token["content"], 5000 - i)): token for i, token in enumerate(ADDED)}
    edit_json(folder / "tokenizer_config.json", added_tokens_decoder=ids, pad_token="!")


def with_list(folder: Path) -> None:
    edit_json(folder / TOKENS_MAP, additional_special_tokens=["<toy>", "É"], pad_token="<pad>")


def without_bytes(folder: Path) -> None:
    """A vocabulary that lacks some bytes inside words, some at their ends."""
    missing = {"c", "t</w>", "Ã", "©</w>", "!"}
    tokens = [t for t in json.loads((folder / "vocab.json").read_text()) if t not in missing]
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    lines = (folder / "merges.txt").read_text().splitlines()
    kept = [line for line in lines if line[0] == "#" or not missing & set(line.split(" "))]
    kept = [line for line in kept if line[0] == "#" or "c" not in line]
    (folder / "merges.txt").write_text("\r\n".join(kept))


CHANGES = {
    "saved by transformers 5": as_saved,
    "tokenizer.json with merges as texts": with_old_merges,
    "added_tokens_decoder": with_decoder,
    "added_tokens.json": lambda folder: write_json(folder / "added_tokens.json", {"<toy>": 1515, "ZZ": 1514, "!": 0}),
    "additional_special_tokens": with_list,
    "no config": lambda folder: [(folder / name).unlink() for name in (TOKENS_MAP, "tokenizer_config.json")],
    "flags in the map": lambda folder: edit_json(
        folder / TOKENS_MAP, eos_token=dict(content=END, **FLAGGED), unk_token=END
    ),
    "another start token": lambda folder: edit_json(folder / TOKENS_MAP, bos_token="<s>"),
    "missing bytes": without_bytes,
}


@pytest.mark.parametrize("change", CHANGES)
def test_forms_of_the_files(diffapple, models, tmp_path, change):
    folder = new_model(tmp_path / "model", models / "small" / "tokenizer")
    CHANGES[change](folder)
    r = random.Random(change)
    own = ["<toy>", " <toy>\t", "<TOY>", "zz", "ZZ", "ZZZ", "ZZZZ", "!", "é", "É", "e\u0301", "<s>", "<pad>", "_", "c", "t"]
    texts = ["".join(r.choice([*own, " ", "a", fuzzed_text(r)]) for _ in range(r.randrange(8))) for _ in range(3000)]
    check(diffapple, texts, folder)


def test_saved_model(diffapple, models, tmp_path):
    folder = new_model(tmp_path / "model", models / "small" / "tokenizer_2")
    diffapple.ok("tokenize", "--model", tmp_path / "model", "--save-model", folder / "tokenizer.model")
    (folder / "vocab.json").unlink()
    (folder / "merges.txt").unlink()
    r = random.Random(9)
    texts = [fuzzed_text(r) for _ in range(2000)]
    oracle = CLIPTokenizer.from_pretrained(models / "small" / "tokenizer_2")
    assert_same_ids(tokenize(diffapple, texts, tmp_path / "model"), oracle, texts)


def damage(file: str, old: str, new: str):
    def change(folder: Path) -> None:
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new, 1))

    return change


DAMAGES = [
    (lambda f: shutil.rmtree(f), "is no tokenizer folder"),
    (lambda f: (f / "merges.txt").unlink(), "merges.txt is missing"),
    (lambda f: (f / "vocab.json").unlink(), "vocab.json is missing"),
    (lambda f: (f / "vocab.json").write_text("{"), "vocab.json: is not valid JSON"),
    (lambda f: (f / "vocab.json").write_text("[1]"), "vocab.json: is not a JSON object"),
    (lambda f: (f / "vocab.json").write_bytes(b" " * (17 << 20)), "is larger than"),
    (lambda f: (f / "merges.txt").write_bytes(b"\0" * 1000), "is not two tokens"),
    (damage("vocab.json", '"\\"": 1,', '"\\"": 0,'), "have one id, 0"),
    (damage("vocab.json", '"\\"": 1,', '"\\"": -1,'), "the id of token '\"' is not an integer"),
    (damage("vocab.json", '"\\"": 1,', '"\\"": 1e9,'), "the id of token '\"' is not an integer"),
    (damage("vocab.json", '"\\"": 1,', '"\\"": "1",'), "the id of token '\"' is not an integer"),
    (damage("vocab.json", '"\\"": 1,', '"": 1,'), "is empty"),
    (damage("vocab.json", '"in": ', '"qqq": '), "merge 1 needs the token 'in', which is not in the vocabulary"),
    (damage("vocab.json", END, "<end>"), f"the unknown token '{END}' is not in the vocabulary"),
    (damage("merges.txt", "i n\n", "i n\ni n\n"), "which another merge makes already"),
    (damage("merges.txt", "i n\n", "i  n\n"), "merges.txt: line 2 is not two tokens"),
    (lambda f: edit_json(f / "tokenizer_config.json", model_max_length=1), "model_max_length"),
    (lambda f: edit_json(f / "tokenizer_config.json", added_tokens_decoder={"x": "y"}), "is not the id of a token"),
    (lambda f: edit_json(f / TOKENS_MAP, pad_token=3), "pad_token"),
    (lambda f: write_json(f / "added_tokens.json", {f"<{i}>": i for i in range(9000)}), "more than 8192 added tokens"),
    (lambda f: edit_json(f / TOKENS_MAP, unk_token="!"), "the unknown token '!' is a piece of text"),
]


@pytest.mark.parametrize("change, message", DAMAGES, ids=[message for _, message in DAMAGES])
def test_damaged_files(diffapple, models, tmp_path, change, message):
    folder = new_model(tmp_path / "model", models / "small" / "tokenizer")
    change(folder)
    result = diffapple("tokenize", "a cat", "--model", tmp_path / "model")
    assert (result.code, result.out) == (1, "")
    assert message in result.err
    assert result.err.count("\n") == 1


def test_wrong_calls(diffapple, models):
    assert diffapple("tokenize", "--model", models / "small").code == 2
    assert diffapple("tokenize", "a").code == 2
    assert diffapple("tokenize", "a", "--model", models / "small", "--tokenizer", "../tokenizer").code == 2
