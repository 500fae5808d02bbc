"""A stand-in for the Hub on this machine, for tests.

    with HubServer() as hub:
        hub.add("ada/toy", folder)              # one commit of the files in `folder`
        hub.add("ada/toy", other, "v2")         # another commit, on the branch or tag v2
        hub.move("toy", "ada/toy")              # the old name answers with a redirect
        hub.use(monkeypatch, cache)             # this process asks it instead of huggingface.co
        env = hub.env(cache)                    # the environment for a subprocess

It speaks what `huggingface_hub` needs to download files: HEAD and GET of /{repo}/resolve/{revision}/{file}, and
/api/models/{repo}. `hub.log` lists (method, path, status); `hub.fetched()` the files whose bodies were sent.
"""
import hashlib
import json
import os
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

PACES = {"slow": (1250, 0.15), "drip": (1, 0.1), "stall": (500, 60)}  # bytes at a time, seconds between


class Repo:
    def __init__(self, gated=False, private=False):
        self.gated, self.private = gated, private
        self.commits, self.refs = {}, {}  # commit -> {file: bytes}; branch or tag -> commit

    def resolve(self, revision):
        "The commit that a branch, a tag or (part of) a hash stands for"
        if revision in self.refs:
            return self.refs[revision]
        hits = [c for c in self.commits if len(revision) >= 5 and c.startswith(revision)]
        return hits[0] if len(hits) == 1 else None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def reply(self, status, headers=(), body=b"", length=None):
        self.hub.log.append((self.command, self.path, status))
        self.send_response(status)
        for k, v in dict(headers).items():
            self.send_header(k, v)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def error(self, status, code, message):
        self.reply(status, {"X-Error-Code": code, "X-Error-Message": message}, json.dumps({"error": message}).encode())

    def do_HEAD(self):
        if self.hub.down:  # hang up without an answer
            self.hub.log.append((self.command, self.path, None))
            self.close_connection = True
            return self.connection.close()
        kind = self.hub.moods.get(self.command)
        if kind == "silent":  # keep the line open and say nothing
            self.hub.log.append((self.command, self.path, None))
            return self.hub.closing.wait(60)
        if kind:
            status, headers = kind
            return self.reply(status, headers)
        path = self.path.split("?")[0].strip("/")
        m = re.fullmatch(r"(.+?)/resolve/([^/]+)/(.+)", path)
        api = re.fullmatch(r"api/models/(.+?)(?:/revision/([^/]+))?", path)
        if not (m or api):
            return self.error(404, "NotFound", "no such page")
        name, revision, file = m.groups() if m else (api[1], api[2] or "main", "")
        name, file = unquote(name), unquote(file) or None
        if name in self.hub.moved:
            target = f"/{path}".replace(f"/{name}", f"/{self.hub.moved[name]}", 1)
            return self.reply(307, {"Location": target})
        self.find(name, unquote(revision), file)

    do_GET = do_HEAD

    def find(self, name, revision, file):
        repo = self.hub.repos.get(name)
        allowed = self.headers.get("Authorization") == f"Bearer {self.hub.token}"
        if repo is None or (repo.private and not allowed):
            return self.error(401, "RepoNotFound", "Invalid username or password.")
        if repo.gated and not allowed:
            status = 403 if self.headers.get("Authorization") else 401
            return self.error(status, "GatedRepo", f"Access to model {name} is restricted.")
        commit = repo.resolve(revision)
        if commit is None:
            return self.error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if file is None:
            files = [{"rfilename": f} for f in repo.commits[commit]]
            body = json.dumps({"id": name, "modelId": name, "sha": commit, "siblings": files, "private": False})
            return self.reply(200, {"Content-Type": "application/json"}, body.encode())
        if file not in repo.commits[commit]:
            self.hub.log.append((self.command, self.path, 404))
            self.send_response(404)
            for k, v in {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit, "Content-Length": "0"}.items():
                self.send_header(k, v)
            return self.end_headers()
        self.send(repo.commits[commit][file], commit, file)

    def send(self, body, commit, file):
        headers = {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha1(body).hexdigest()}"', "Accept-Ranges": "bytes"}
        headers |= self.hub.headers
        if self.command == "HEAD":
            return self.reply(200, headers, body)
        fault = self.hub.faults.get(file, [])
        fault = fault.pop(0) if fault else None
        start = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        status, begin = (206, int(start[1])) if start else (200, 0)
        if start:
            headers["Content-Range"] = f"bytes {begin}-{len(body) - 1}/{len(body)}"
        body = body[begin:]
        if fault == "short":  # a complete answer with too few bytes
            return self.reply(status, headers, body[: len(body) // 2])
        if fault == "corrupt":  # the right size, other bytes
            return self.reply(status, headers, bytes(b ^ 0xFF for b in body))
        if fault == "drop":  # promise all, send half, hang up
            self.reply(status, headers, body[: len(body) // 2], length=len(body))
            self.close_connection = True
            return self.connection.close()
        if fault == "busy":
            return self.reply(503, {}, b"try later")
        if fault == "later":
            return self.reply(429, {"Retry-After": "3600"}, b"try later")
        if fault == "limited":
            return self.reply(429, {"RateLimit": '"resolvers";r=0;t=300'}, b"try later")
        if fault == "hang":  # take the question and say nothing
            self.hub.log.append((self.command, self.path, None))
            return self.hub.closing.wait(60)
        if fault in PACES:
            return self.trickle(status, headers, body, *PACES[fault])
        self.reply(status, headers, body)

    def trickle(self, status, headers, body, size, pause):
        "The headers, then `size` bytes every `pause` seconds"
        self.hub.log.append((self.command, self.path, status))
        self.send_response(status)
        for k, v in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(k, v)
        self.end_headers()
        try:
            while body and not self.hub.closing.is_set():
                self.wfile.write(body[:size])
                body = body[size:]
                self.hub.closing.wait(pause)
        except OSError:  # the client has had enough
            self.close_connection = True


class HubServer:
    token = "hf_test"

    def __init__(self):
        self.repos, self.moved, self.faults, self.log, self.down = {}, {}, {}, [], False
        self.moods = {}  # "HEAD" or "GET" -> "silent", or (status, headers) for an answer to everything
        self.headers = {}  # in place of the true ones of a file
        self.closing = threading.Event()
        handler = type("Bound", (Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *args):
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()

    def add(self, name, files, ref="main", **options):
        "Commit `files` (a folder, or a dict of contents) to repository `name`; returns the commit"
        if not isinstance(files, dict):
            root = Path(files)
            files = {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}
        files = {k: v.encode() if isinstance(v, str) else v for k, v in files.items()}
        repo = self.repos.setdefault(name, Repo())
        vars(repo).update(options)
        commit = hashlib.sha1(repr((name, ref, sorted(files.items()))).encode()).hexdigest()
        repo.commits[commit], repo.refs[ref] = files, commit
        return commit

    def move(self, old, new):
        self.moved[old] = new

    def fault(self, file, *kinds):
        'Spoil the next downloads of `file`, one kind each: "drop", "short", "corrupt", "busy", "later", "limited", "hang", "slow", "drip", "stall"'
        self.faults[file] = list(kinds)

    def fetched(self):
        "The files whose contents were sent, in order"
        done = [p for method, p, status in self.log if method == "GET" and status in (200, 206) and "/resolve/" in p]
        return [p.split("/resolve/")[1].split("/", 1)[1] for p in done]

    def env(self, cache):
        "The environment in which a fresh process asks this server and keeps what it gets under `cache`"
        gone = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_TOKEN", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE")
        env = {k: v for k, v in os.environ.items() if k not in gone}
        return {**env, "HF_ENDPOINT": self.url, "HF_HOME": str(cache), "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1"}

    def use(self, monkeypatch, cache):
        "Let this process ask this server; undone at the end of the test"
        import huggingface_hub.constants as c

        env = self.env(cache)
        for k in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_TOKEN", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
            monkeypatch.delenv(k, raising=False)
        for k in ("HF_ENDPOINT", "HF_HOME", "HF_HUB_DISABLE_XET", "NO_PROXY"):
            monkeypatch.setenv(k, env[k])
        monkeypatch.setattr(c, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(c, "HF_TOKEN_PATH", str(Path(cache) / "token"))
        return self
