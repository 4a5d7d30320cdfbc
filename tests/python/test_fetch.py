"""`diffapple fetch` from a local server that speaks the Hub's HTTP. The Hub's own client downloads from the same one."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import hub_server
import pytest
import torch
from conftest import leftovers, one_line_error
from hub_server import COMMIT, Entry, Hub
from original_layout import UNET, original_state, write_single_file
from sd_checkpoints import load_pipeline, make_sd15

ID = "someone/cat-model"
SD15 = "stable-diffusion-v1-5/stable-diffusion-v1-5"
BIG = 3 << 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model with all that a repository of the Hub has beside what a run needs."""
    folder = make_sd15(tmp_path_factory.mktemp("hub") / "model", merges=200)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    for name in ("unet/diffusion_pytorch_model.bin", "unet/diffusion_pytorch_model.non_ema.safetensors"):
        (folder / name).write_bytes(b"other forms")
    for name in ("v1-5-pruned.ckpt", "flax/model.msgpack", "unet/openvino_model.bin", "picture.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"superfluous")
    (folder / "unet" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"half")
    return folder


@pytest.fixture
def hub(folder, diffapple):
    hub = Hub()
    hub.add(ID, folder)
    server = hub_server.start(hub)
    diffapple.environment["HF_ENDPOINT"] = hub.endpoint
    yield hub
    server.shutdown()


@pytest.fixture
def big(hub):
    """A model whose one large file takes a while."""
    content = random.Random(0).randbytes(BIG)
    hub.models[ID] = [Entry("config.json", b"{}"), Entry("diffusion_pytorch_model.safetensors", content)]
    return content


def cache(diffapple):
    return diffapple.folder / "home" / "cache" / "huggingface" / "hub"


def model_folder(diffapple):
    return cache(diffapple) / "models--someone--cat-model"


def snapshot(diffapple):
    return model_folder(diffapple) / "snapshots" / COMMIT


def tree(folder) -> dict:
    """Each file of the cache: a link's target, or its size."""
    found = {}
    for path in sorted(folder.rglob("*")):
        kept = not any(part in (".locks", "trees") or part.endswith(".lock") for part in path.parts)
        if kept and (path.is_symlink() or path.is_file()):
            found[str(path.relative_to(folder))] = os.readlink(path) if path.is_symlink() else path.read_bytes()
    return found




def test_takes_what_a_run_needs(diffapple, hub, folder):
    made = diffapple.ok("fetch", ID)
    assert made.paths == [snapshot(diffapple)]
    assert "licence mit" in made.err and "free in" in made.err
    names = {str(path.relative_to(snapshot(diffapple))) for path in snapshot(diffapple).rglob("*") if path.is_file()}
    assert {"unet/diffusion_pytorch_model.safetensors", "vae/config.json", "tokenizer/merges.txt"} <= names
    assert not {name for name in names if name.endswith((".bin", ".ckpt", ".png", ".msgpack")) or "fp16" in name}
    for name in names:
        assert (snapshot(diffapple) / name).read_bytes() == (folder / name).read_bytes()
    picture = diffapple.ok("sd15", "--model", ID, "--steps", 1, "--prompt", "a cat").paths[0]
    of_folder = diffapple.ok("sd15", "--model", folder, "--steps", 1, "--prompt", "a cat", "--out", "b").paths[0]
    from PIL import Image

    open_ = lambda path: Image.open(diffapple.folder / path).tobytes()  # noqa: E731
    assert open_(picture) == open_(of_folder)
    before = len(hub.requests)
    diffapple.ok("fetch", ID)
    assert len(hub.requests) == before + 1, "what is there is not downloaded again"


def test_half_precision_where_the_device_wants_it(diffapple, hub):
    diffapple.ok("fetch", ID, "--dtype", "fp16", "--quiet")
    assert [path.name for path in (snapshot(diffapple) / "unet").glob("*.safetensors")] == [
        "diffusion_pytorch_model.fp16.safetensors"
    ]
    assert (snapshot(diffapple) / "vae" / "diffusion_pytorch_model.safetensors").exists()


def their_client(diffapple, *, local: bool, **options) -> str:
    """Where snapshot_download says the model is."""
    arguments = {"local_files_only": local, **options}
    code = f"import huggingface_hub; print(huggingface_hub.snapshot_download({ID!r}, **{arguments!r}))"
    environment = {**diffapple.variables(), "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_their_client_finds_it(diffapple, hub):
    diffapple.ok("fetch", ID)
    assert their_client(diffapple, local=True) == str(snapshot(diffapple))


def test_finds_what_their_client_stored(diffapple, hub):
    their_client(diffapple, local=False, allow_patterns=["*.json", "*.txt", "*model.safetensors", "README.md"])
    theirs = tree(model_folder(diffapple))
    before = len(hub.requests)
    made = diffapple.ok("fetch", ID)
    assert "to download 0 files" in made.err and len(hub.requests) == before + 1
    ours = tree(model_folder(diffapple))
    assert ours == theirs, "nothing is stored twice or otherwise"


@pytest.mark.parametrize("revision", ["branch/one", COMMIT])
def test_revision(diffapple, hub, revision):
    diffapple.ok("fetch", ID, "--revision", revision)
    assert their_client(diffapple, local=True, revision=revision) == str(snapshot(diffapple))
    diffapple.ok("inspect", f"{ID}@{revision}")


def test_dry_run(diffapple, hub):
    made = diffapple.ok("fetch", ID, "--dry-run")
    assert made.out == "" and "licence mit" in made.err and not cache(diffapple).exists()


def test_names_of_the_study(diffapple, hub, folder):
    hub.add("runwayml/stable-diffusion-v1-5", folder)  # the first id is not there
    made = diffapple.ok("fetch", "sd15")
    assert "trying runwayml/stable-diffusion-v1-5" in made.err
    hub.add(SD15, folder)
    assert "models--stable-diffusion-v1-5--stable-diffusion-v1-5" in diffapple.ok("fetch", "sd15").out


def test_moved_model(diffapple, hub, folder):
    hub.moved = {"old/name": ID}
    assert "models--old--name" in diffapple.ok("fetch", "old/name").out


@pytest.mark.parametrize("name", ["nonsense", "../../x", "a/b/c", "a/..", ""])
def test_bad_names(diffapple, hub, name):
    one_line_error(diffapple("fetch", name), 2, "fetch")


def test_bad_revision(diffapple, hub):
    one_line_error(diffapple("fetch", ID, "--revision", "../x"), 2, "--revision")
    one_line_error(diffapple("fetch", ID, "--revision", "absent"), 1, ID, "absent")


def test_offline(diffapple, hub):
    diffapple.environment["HF_HUB_OFFLINE"] = "1"
    one_line_error(diffapple("fetch", ID), 1, "HF_HUB_OFFLINE")
    assert hub.requests == []


# --- tokens


def answers(status: int, only_files=False, times=10**9, **headers):
    count = [0]

    def fault(handler, entry):
        if (only_files and not entry) or count[0] >= times:
            return False
        count[0] += 1
        handler.answer(status, b"no", **headers)
        return True

    return fault


@pytest.mark.parametrize(
    "status, headers, parts",
    [
        (401, {"X_Error_Code": "GatedRepo"}, ["licence", f"/{ID}", "HF_TOKEN"]),
        (403, {"X_Error_Code": "GatedRepo"}, ["licence", f"/{ID}"]),
        (401, {"X_Error_Code": "RepoNotFound"}, ["no such model"]),
        (403, {}, ["403"]),
        (404, {}, ["no such model"]),
        (418, {}, ["418"]),
    ],
)
@pytest.mark.parametrize("only_files", [False, True])
def test_refusals(diffapple, hub, status, headers, parts, only_files):
    hub.faults = [answers(status, only_files, **headers)]
    result = diffapple("fetch", ID, "--quiet")
    one_line_error(result, 1, ID, *parts)
    assert not snapshot(diffapple).exists()


def test_token(diffapple, hub):
    """From the environment or the client's file; a wrong one is named by its place."""
    seen = lambda: {headers.get("Authorization") for _, _, headers in hub.requests}  # noqa: E731
    diffapple.ok("fetch", ID, "--dry-run")
    assert seen() == {None}
    home = diffapple.folder / "home" / "cache" / "huggingface"
    home.mkdir(parents=True, exist_ok=True)
    (home / "token").write_text("of-file\n")
    hub.requests.clear()
    diffapple.ok("fetch", ID, "--dry-run")
    assert seen() == {"Bearer of-file"}
    hub.requests.clear()
    diffapple.environment["HF_TOKEN"] = "of-variable"
    diffapple.ok("fetch", ID)
    assert seen() == {"Bearer of-variable"}
    hub.faults = [answers(401)]
    one_line_error(diffapple("fetch", ID), 1, "HF_TOKEN", "not valid")


def test_token_stays_with_its_host(diffapple, hub, folder):
    """Large files come from another host, which must not see it."""
    other = Hub()
    other.add(ID, folder)
    server = hub_server.start(other)

    def elsewhere(handler, entry):
        if not entry or not entry.large:
            return False
        handler.answer(302, Location=other.endpoint + handler.path)
        return True

    hub.faults = [elsewhere]
    diffapple.environment["HF_TOKEN"] = "secret"
    diffapple.ok("fetch", ID)
    server.shutdown()
    assert other.requests and not any("Authorization" in headers for _, _, headers in other.requests)
    assert any("Authorization" in headers for _, _, headers in hub.requests)


def test_endless_redirects(diffapple, hub):
    hub.faults = [lambda handler, entry: handler.answer(302, Location=hub.endpoint + handler.path) or True]
    one_line_error(diffapple("fetch", ID), 1, "redirected")


# --- https and proxies


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Of this machine, signed by itself, with its key."""
    folder = tmp_path_factory.mktemp("certificate")
    options = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=here -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(["openssl", *options.split(), "-keyout", "key", "-out", "own"], cwd=folder, check=True)
    (folder / "both").write_text((folder / "own").read_text() + (folder / "key").read_text())
    return folder


@pytest.fixture
def secure_hub(diffapple, folder, certificate):
    hub = Hub()
    hub.add(ID, folder)
    server = hub_server.start(hub, certificate / "both")
    diffapple.environment |= {"HF_ENDPOINT": hub.endpoint, "SSL_CERT_FILE": "", "CURL_CA_BUNDLE": ""}
    yield hub
    server.shutdown()


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "CURL_CA_BUNDLE"])
def test_https(diffapple, secure_hub, certificate, variable):
    one_line_error(diffapple("fetch", ID), 1, "certificate", "SSL_CERT_FILE")
    assert not secure_hub.requests
    diffapple.environment[variable] = str(certificate / "own")
    diffapple.ok("fetch", ID)
    diffapple.environment[variable] = str(certificate / "absent")
    one_line_error(diffapple("fetch", ID), 1, "certificate", "SSL_CERT_FILE")


def test_redirect_to_plain_http_is_refused(diffapple, hub, secure_hub, certificate):
    def elsewhere(handler, entry):
        return bool(entry) and (handler.answer(302, Location=hub.endpoint + handler.path) or True)

    secure_hub.faults = [elsewhere]
    diffapple.environment |= {"SSL_CERT_FILE": str(certificate / "own"), "HF_TOKEN": "secret"}
    one_line_error(diffapple("fetch", ID, "--quiet"), 1, "not encrypted")
    assert secure_hub.requests and not hub.requests


@pytest.fixture
def proxy():
    """What was asked of it, and its address."""
    handler = type("Recording", (hub_server.ProxyHandler,), {"seen": []})
    server = hub_server.serve(handler)
    yield handler.seen, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def test_proxy(diffapple, hub, proxy):
    """The server's name is known to the proxy alone."""
    seen, address = proxy
    diffapple.environment |= {"http_proxy": address, "no_proxy": "", "HF_ENDPOINT": f"http://hub.test:{hub.port}"}
    diffapple.ok("fetch", ID)
    assert seen and len(seen) == len(hub.requests)


def test_proxy_for_https(diffapple, secure_hub, certificate, proxy):
    """It sees nothing but the server's address."""
    seen, address = proxy
    diffapple.environment |= {"https_proxy": address, "no_proxy": "", "SSL_CERT_FILE": str(certificate / "own")}
    diffapple.ok("fetch", ID)
    assert set(seen) == {f"127.0.0.1:{secure_hub.port}"}


def test_no_proxy(diffapple, hub, proxy):
    seen, address = proxy
    diffapple.environment |= {"http_proxy": address, "no_proxy": "127.0.0.1"}
    diffapple.ok("fetch", ID)
    assert hub.requests and not seen


# --- connections and servers that fail


def assert_fetched(diffapple, content: bytes):
    diffapple.ok("fetch", ID, "--quiet")
    assert (snapshot(diffapple) / "diffusion_pytorch_model.safetensors").read_bytes() == content


def begin_answer(handler, entry) -> bytes:
    """Sends the head of what was asked for; returns what is to follow."""
    begin = int(handler.headers.get("Range", "bytes=0-").split("=")[1].split("-")[0])
    rest = entry.content[begin:]
    handler.send_response(206 if begin else 200)
    if begin:
        handler.send_header("Content-Range", f"bytes {begin}-{len(entry.content) - 1}/{len(entry.content)}")
    handler.send_header("Content-Length", str(len(rest)))
    handler.end_headers()
    return rest


def test_cut_connections_are_resumed(diffapple, hub, big):
    """Each answer ends after a part of what it promised."""

    def cut(handler, entry):
        if not entry or not entry.large:
            return False
        rest = begin_answer(handler, entry)
        handler.wfile.write(rest[: 1 << 20])
        handler.wfile.flush()
        handler.close_connection = True
        return True

    hub.faults = [cut]
    assert_fetched(diffapple, big)
    assert len(hub.ranges()) >= 2 and leftovers(diffapple.folder) == []


@pytest.mark.parametrize("status", [429, 500, 503])
def test_busy_servers_are_waited_for(diffapple, hub, status):
    hub.faults = [answers(status, times=2, Retry_After=0)]
    diffapple.ok("fetch", ID, "--quiet")
    hub.faults = [answers(status, Retry_After=0)]
    one_line_error(diffapple("fetch", ID), 1, ID, "later")


def test_retry_after_is_obeyed(diffapple, hub):
    hub.faults = [answers(429, times=1, Retry_After=2)]
    begin = time.monotonic()
    diffapple.ok("fetch", ID, "--dry-run")
    assert time.monotonic() - begin >= 2


def test_no_server(diffapple, hub):
    diffapple.environment["HF_ENDPOINT"] = "http://127.0.0.1:9"
    one_line_error(diffapple("fetch", ID), 1, ID, "127.0.0.1:9")


def changed(change):
    """Answers large files with a changed content of the same name."""

    def fault(handler, entry):
        if not entry or not entry.large or "Range" in handler.headers:
            return False
        body = change(entry.content)
        handler.answer(200, body)
        return True

    return fault


@pytest.mark.parametrize("change", [lambda c: c[:-1] + bytes([c[-1] ^ 1]), lambda c: c + b"x", lambda c: c[:-1]])
def test_wrong_content_gets_no_name(diffapple, hub, big, change):
    hub.faults = [changed(change)]
    one_line_error(diffapple("fetch", ID, "--quiet"), 1, "diffusion_pytorch_model.safetensors")
    assert not snapshot(diffapple).exists()
    assert not [path for path in (model_folder(diffapple) / "blobs").iterdir() if len(path.name) == 64]
    hub.faults = []
    assert_fetched(diffapple, big)


def leave_incomplete(diffapple, hub, content: bytes):
    """What an interrupted download of the UNet's weights has left."""
    incomplete = model_folder(diffapple) / "blobs" / f"{hub.models[ID][1].etag}.incomplete"
    incomplete.parent.mkdir(parents=True)
    incomplete.write_bytes(content)
    return incomplete


def test_server_without_ranges(diffapple, hub, big):
    """It sends all again: what was there is not used."""
    leave_incomplete(diffapple, hub, big[:1000])

    def whole(handler, entry):
        return bool(entry and entry.large) and (handler.answer(200, entry.content) or True)

    hub.faults = [whole]
    assert_fetched(diffapple, big)


def test_range_that_the_server_refuses(diffapple, hub, big):
    """416: what is there is thrown away. A whole one that only lacks its name needs no request."""
    leave_incomplete(diffapple, hub, big[:1000])

    def refuse(handler, entry):
        return "Range" in handler.headers and (handler.answer(416) or True)

    hub.faults = [refuse]
    assert_fetched(diffapple, big)


def test_damaged_beginning_is_noticed(diffapple, hub, big):
    incomplete = leave_incomplete(diffapple, hub, b"wrong" * 100)
    one_line_error(diffapple("fetch", ID, "--quiet"), 1, "damaged")
    assert not incomplete.exists()
    diffapple.ok("fetch", ID, "--quiet")


@pytest.mark.parametrize("path", ["../evil", "/evil", "unet/../../evil", "a\\..\\evil", "unet//x", ".", "x\n"])
def test_names_that_climb_out(diffapple, hub, path):
    hub.models[ID].append(Entry(path, b"evil"))
    one_line_error(diffapple("fetch", ID), 1, "no name of a file")
    assert not cache(diffapple).exists()


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"sha": "x", "siblings": []}', b'{"sha": 1}'])
def test_nonsense_for_a_listing(diffapple, hub, body):
    hub.faults = [lambda handler, entry: handler.answer(200, body) or True]
    result = diffapple("fetch", ID)
    assert (result.code, result.out, len(result.err.splitlines())) == (1, "", 1)


def test_one_file(diffapple, hub):
    """Into the same cache, where --model, `models` and the Hub's client find it."""
    folder = make_sd15(diffapple.folder / "folder", merges=200)
    state = original_state(load_pipeline(folder))
    file = write_single_file(diffapple.folder / "mine.safetensors", state)
    hub.models[ID] = [Entry("README.md", b"---"), Entry("sub/mine.safetensors", file.read_bytes()), Entry("b.ckpt", b"x")]
    name = f"{ID}/sub/mine.safetensors"
    made = diffapple.ok("fetch", name)
    assert made.paths == [snapshot(diffapple) / "sub" / "mine.safetensors"] and "1 file," in made.err
    assert [path.name for path in snapshot(diffapple).rglob("*") if path.is_file()] == ["mine.safetensors"]
    assert their_client(diffapple, local=True) == str(snapshot(diffapple))
    run = ["sd15", "--config", folder, "--steps", 1, "--prompt", "a cat", "--model"]
    made = diffapple.ok(*run, name).paths[0]
    diffapple.ok("replay", made, "--config", folder)
    one_line_error(diffapple("fetch", ID), 1, "diffusers layout", name, f"{ID}/b.ckpt")
    one_line_error(diffapple("fetch", f"{ID}/c.ckpt"), 1, "no file", "c.ckpt", name)
    one_line_error(diffapple("fetch", f"{ID}/README.md"), 2, "neither")
    one_line_error(diffapple(*run, f"{ID}/c.ckpt"), 1, f"diffapple fetch {ID}/c.ckpt")


def test_file_of_a_root(diffapple, hub):
    """A repository of checkpoints is listed by its files, and each is removed with its blob."""
    state = {UNET + "input_blocks.0.0.weight": torch.zeros(320, 4, 3, 3)}
    state[UNET + "input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight"] = torch.zeros(320, 768)
    files = [write_single_file(diffapple.folder / f"{name}.safetensors", {**state, name: torch.ones(1)}) for name in "ab"]
    hub.models[ID] = [Entry(file.name, file.read_bytes()) for file in files]
    for file in files:
        diffapple.ok("fetch", f"{ID}/{file.name}")
    listed = {m["name"]: m for m in json.loads(diffapple.ok("models", "--json").out)["models"]}
    assert set(listed[f"{ID}/a.safetensors"]["missing"]) == {"text_encoder", "vae"}
    diffapple.ok("models", "--remove", f"{ID}/a.safetensors", "--yes")
    assert [path.name for path in snapshot(diffapple).iterdir()] == ["b.safetensors"]
    assert len(list((model_folder(diffapple) / "blobs").iterdir())) == 1


def test_model_of_another_kind(diffapple, hub):
    hub.models[ID] = [Entry("model.gguf", b"x"), Entry("README.md", b"")]
    one_line_error(diffapple("fetch", ID), 1, ID, "diffusers layout")


def slowly(handler, entry):
    """Sends a large file in pieces."""
    if not entry or not entry.large:
        return False
    rest = begin_answer(handler, entry)
    for at in range(0, len(rest), 1 << 17):
        handler.wfile.write(rest[at : at + (1 << 17)])
        time.sleep(0.01)
    return True


@pytest.mark.parametrize("count", [5, pytest.param(50, marks=pytest.mark.full)])
def test_killed_at_any_moment(diffapple, hub, big, count):
    """What is there under its name is whole; the next fetch goes on."""
    hub.faults = [slowly]
    moments = random.Random(count)
    for _ in range(count):
        process = diffapple.start("fetch", ID, "--quiet")
        time.sleep(moments.random() * 0.4)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        for blob in model_folder(diffapple).glob("blobs/*"):
            if len(blob.name) == 64:
                assert blob.read_bytes() == big
        if snapshot(diffapple).exists():
            assert all(path.exists() for path in snapshot(diffapple).iterdir())
    assert_fetched(diffapple, big)


def test_two_at_a_time(diffapple, hub, big):
    """The second waits for the first, and downloads nothing."""
    hub.faults = [slowly]
    processes = [diffapple.start("fetch", ID, "--quiet") for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    files = [path for method, path, _ in hub.requests if path.endswith("safetensors")]
    assert len(files) == 1


def test_interrupt(diffapple, hub, big):
    hub.faults = [slowly]
    process = diffapple.start("fetch", ID, "--quiet")
    deadline = time.monotonic() + 20
    while not list(model_folder(diffapple).glob("blobs/*.incomplete")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == -signal.SIGINT and "terminate" not in err
    diffapple.ok("fetch", ID, "--quiet")
    assert json.loads((snapshot(diffapple) / "config.json").read_text()) == {}
