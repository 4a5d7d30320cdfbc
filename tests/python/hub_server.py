"""A local server that speaks as much of the Hugging Face Hub's HTTP as its own client and `diffapple fetch` use."""

import hashlib
import http.client
import json
import select
import socket
import ssl
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = (".safetensors", ".bin", ".gguf")


@dataclass
class Entry:
    path: str
    content: bytes

    @property
    def large(self) -> bool:
        return self.path.endswith(LARGE)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def blob_id(self) -> str:
        return hashlib.sha1(b"blob %d\0" % len(self.content) + self.content).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.large else self.blob_id

    def sibling(self) -> dict:
        lfs = {"lfs": {"sha256": self.sha256, "size": len(self.content), "pointerSize": 130}} if self.large else {}
        return {"rfilename": self.path, "size": len(self.content), "blobId": self.blob_id, **lfs}

    def tree_entry(self) -> dict:
        lfs = {"lfs": {"oid": self.sha256, "size": len(self.content), "pointerSize": 130}} if self.large else {}
        return {"type": "file", "path": self.path, "size": len(self.content), "oid": self.blob_id, **lfs}


@dataclass
class Hub:
    """`faults` are called with each request's handler and entry (None: not a file's) before it is answered; one that
    returns True has answered it."""

    models: dict[str, list[Entry]] = field(default_factory=dict)
    licence: str = "mit"
    moved: dict[str, str] = field(default_factory=dict)
    faults: list = field(default_factory=list)
    requests: list = field(default_factory=list)  # method, path, headers
    port: int = 0
    scheme: str = "http"

    @property
    def endpoint(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def add(self, name: str, folder: Path) -> None:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        self.models[name] = [Entry(str(path.relative_to(folder)), path.read_bytes()) for path in files]

    def ranges(self) -> list[str]:
        return [headers["Range"] for _, _, headers in self.requests if headers.get("Range")]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_):
        pass

    def answer(self, status: int, body: bytes = b"", **headers) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def answer_json(self, value) -> None:
        self.answer(200, json.dumps(value).encode(), Content_Type="application/json")

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        self.hub.requests.append((self.command, self.path, dict(self.headers)))
        parts = [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
        of_api = parts[0] == "api"
        name = "/".join(parts[2:4] if of_api else parts[0:2])
        entry = None
        if not of_api and len(parts) > 4:
            file = "/".join(parts[4:])
            entry = next((e for e in self.hub.models.get(name, []) if e.path == file), None)
        if any(fault(self, entry) for fault in self.hub.faults):
            return
        if name in self.hub.moved:
            return self.answer(307, Location=self.hub.endpoint + self.path.replace(name, self.hub.moved[name]))
        if name not in self.hub.models:
            return self.answer(401, X_Error_Code="RepoNotFound")
        if of_api:
            return self.answer_api(name, parts)
        self.send_file(entry) if entry else self.answer(404, X_Error_Code="EntryNotFound")

    def answer_api(self, name: str, parts: list[str]) -> None:
        entries = self.hub.models[name]
        revision = parts[5] if len(parts) > 5 else "main"
        if revision not in ("main", "branch/one", COMMIT):
            return self.answer(404, X_Error_Code="RevisionNotFound")
        if len(parts) > 4 and parts[4] == "tree":
            return self.answer_json([entry.tree_entry() for entry in entries])
        blobs = "blobs" in parse_qs(urlsplit(self.path).query)
        siblings = [e.sibling() if blobs else {"rfilename": e.path} for e in entries]
        self.answer_json(
            {"id": name, "sha": COMMIT, "siblings": siblings, "cardData": {"license": self.hub.licence}, "tags": []}
        )

    def send_file(self, entry: Entry) -> None:
        headers = {"X_Repo_Commit": COMMIT, "ETag": f'"{entry.etag}"', "Accept_Ranges": "bytes"}
        if entry.large:
            headers |= {"X_Linked_Etag": f'"{entry.etag}"', "X_Linked_Size": len(entry.content)}
        begin = int(self.headers.get("Range", "bytes=0-").split("=")[1].split("-")[0])
        if "Range" not in self.headers:
            return self.answer(200, entry.content, **headers)
        if begin >= len(entry.content):
            return self.answer(416, Content_Range=f"bytes */{len(entry.content)}", **headers)
        end = len(entry.content) - 1
        headers["Content_Range"] = f"bytes {begin}-{end}/{len(entry.content)}"
        self.answer(206, entry.content[begin:], **headers)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass  # clients are killed and hang up


def serve(handler: type) -> Server:
    server = Server(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def start(hub: Hub, certificate: Path | None = None) -> Server:
    """`certificate`: of a server that speaks https, with its key in the same file."""
    server = serve(type("HubHandler", (Handler,), {"hub": hub}))
    hub.port = server.server_address[1]
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        hub.scheme = "https"
    return server


class ProxyHandler(BaseHTTPRequestHandler):
    """A forward proxy that takes each name for this machine. `seen`: what it was asked for."""

    protocol_version = "HTTP/1.1"
    seen: list

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.seen.append(self.path)
        target = urlsplit(self.path)
        connection = http.client.HTTPConnection("127.0.0.1", target.port)
        headers = {name: value for name, value in self.headers.items() if not name.lower().startswith("proxy-")}
        connection.request("GET", self.path.split(target.netloc, 1)[1], headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_CONNECT(self):
        self.seen.append(self.path)
        self.close_connection = True
        with socket.create_connection(("127.0.0.1", int(self.path.rsplit(":", 1)[1]))) as other:
            self.send_response(200)
            self.end_headers()
            pairs = {self.connection: other, other: self.connection}
            while True:
                for source in select.select(list(pairs), [], [])[0]:
                    if not (data := source.recv(1 << 16)):
                        return
                    pairs[source].sendall(data)
