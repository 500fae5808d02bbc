"minihf.hub: files from folders, cache and Hub; safetensors and .bin; what is refused."
import json
import os
import pickle
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hub_server import HubServer
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from minihf import hub

CONFIG = json.dumps({"model_type": "bert", "hidden_size": 4})


# ---- a Hub on this machine ----


@pytest.fixture
def server(tmp_path, monkeypatch):
    with HubServer() as s:
        s.use(monkeypatch, tmp_path / "home")
        monkeypatch.chdir(tmp_path)
        import huggingface_hub.file_download as fd
        import huggingface_hub.utils._http as http

        real = fd.time.sleep  # retries wait for seconds: not here
        monkeypatch.setattr(fd.time, "sleep", lambda s: real(min(s, 0.01)))
        monkeypatch.setattr(http.time, "sleep", lambda s: real(min(s, 0.01)))
        yield s


def weights(n=3, size=64):
    g = torch.Generator().manual_seed(0)
    return {f"layer.{i}.weight": torch.randn(size, generator=g) for i in range(n)}


@pytest.fixture
def toy(tmp_path):
    folder = tmp_path / "toy"
    hub.save_tensors(weights(), folder)
    (folder / "config.json").write_text(CONFIG)
    return folder


def test_found_and_cached(server):
    server.add("ada/toy", {"config.json": CONFIG})
    path = hub.cached_file("ada/toy", "config.json")
    assert hub.read_json(path)["hidden_size"] == 4
    assert hub.cached_file("ada/toy", "config.json") == path
    assert server.fetched() == ["config.json"]
    assert hub.cached_file("ada/toy", "config.json", force_download=True) == path
    assert server.fetched() == ["config.json"] * 2


def test_cache_is_where_the_client_has_it(server, tmp_path):
    from huggingface_hub import hf_hub_download

    server.add("ada/toy", {"config.json": CONFIG})
    path = hub.cached_file("ada/toy", "config.json")
    theirs = hf_hub_download("ada/toy", "config.json", cache_dir=tmp_path / "home/hub", local_files_only=True)
    assert theirs == path and server.fetched() == ["config.json"]


@pytest.mark.parametrize("env", [{}, {"HF_HOME": "/x/h"}, {"XDG_CACHE_HOME": "/x/c"}, {"HF_HUB_CACHE": "/x/hub"},
                                 {"HUGGINGFACE_HUB_CACHE": "/x/old"}, {"HF_HOME": "~/h", "HF_HUB_CACHE": "$HOME/hub"}])
def test_cache_home_like_the_client(env):
    code = ("import minihf.hub as h; a = h.cache_home(); import huggingface_hub.constants as c;"
            "assert a == c.HF_HUB_CACHE, (a, c.HF_HUB_CACHE)")
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGINGFACE_", "XDG_"))}
    subprocess.run([sys.executable, "-c", code], env={**keep, **env}, check=True)


def test_wrong_repo(server):
    with pytest.raises(FileNotFoundError, match="neither a folder here.*nor a bundled model.*spelling.*HF_TOKEN"):
        hub.cached_file("ada/nothing", "config.json")
    with pytest.raises(FileNotFoundError, match="ada/nothing"):
        hub.cached_file("ada/nothing", "config.json", required=False)
    with pytest.raises(FileNotFoundError, match="not a name"):
        hub.cached_file("not a name!", "config.json")


def test_wrong_revision(server):
    server.add("ada/toy", {"config.json": CONFIG})
    with pytest.raises(FileNotFoundError, match="no revision 'v9'.*commits"):
        hub.cached_file("ada/toy", "config.json", revision="v9")


def test_missing_file(server):
    server.add("ada/toy", {"config.json": CONFIG})
    with pytest.raises(FileNotFoundError, match="no file 'vocab.txt'"):
        hub.cached_file("ada/toy", "vocab.txt")
    assert hub.cached_file("ada/toy", "vocab.txt", required=False) is None


def test_gated(server):
    server.add("ada/gated", {"config.json": CONFIG}, gated=True)
    with pytest.raises(PermissionError, match="gated: accept its terms on http.*ada/gated.*HF_TOKEN"):
        hub.cached_file("ada/gated", "config.json")
    with pytest.raises(PermissionError, match="gated"):
        hub.cached_file("ada/gated", "config.json", token="hf_other")
    assert hub.cached_file("ada/gated", "config.json", token="hf_test")


def test_private_with_token_from_the_environment(server, monkeypatch):
    server.add("ada/private", {"config.json": CONFIG}, private=True)
    with pytest.raises(FileNotFoundError, match="private"):
        hub.cached_file("ada/private", "config.json")
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    assert hub.cached_file("ada/private", "config.json")


def test_dropped_connection_is_resumed(server):
    body = bytes(range(256)) * (24 << 12)  # 24 MB: the client reads 10 MB at a time
    server.add("ada/toy", {"model.safetensors": body, "config.json": CONFIG})
    server.fault("model.safetensors", "drop")
    server.fault("config.json", "drop", "drop")
    assert Path(hub.cached_file("ada/toy", "model.safetensors")).read_bytes() == body
    assert hub.read_json(hub.cached_file("ada/toy", "config.json"))["model_type"] == "bert"
    assert [s for m, _, s in server.log if m == "GET"] == [200, 206, 200, 200, 200]


def test_truncated_download_leaves_nothing(server, tmp_path):
    server.add("ada/toy", {"model.safetensors": b"x" * 1000})
    server.fault("model.safetensors", "short")
    with pytest.raises(ConnectionError, match="did not arrive.*1000.*500"):
        hub.cached_file("ada/toy", "model.safetensors")
    left = [p for p in (tmp_path / "home").rglob("*") if p.is_file() and p.stat().st_size and p.parent.name == "blobs"]
    assert left == []
    assert Path(hub.cached_file("ada/toy", "model.safetensors")).stat().st_size == 1000


def test_corrupt_download_is_named(server):
    hub.write_safetensors(weights(), "m.safetensors")
    server.add("ada/toy", {"model.safetensors": Path("m.safetensors").read_bytes()})
    server.fault("model.safetensors", "corrupt")
    with pytest.raises(hub.FileError, match="not a usable safetensors file.*download it again with force_download=True"):
        hub.read_tensors(hub.weight_files("ada/toy")[0])


def test_hub_down(server):
    server.add("ada/toy", {"config.json": CONFIG})
    path = hub.cached_file("ada/toy", "config.json")
    assert hub.cached_file("ada/toy", "vocab.txt", required=False) is None
    server.down = True
    assert hub.cached_file("ada/toy", "config.json") == path  # the cache still serves
    assert hub.cached_file("ada/toy", "vocab.txt", required=False) is None
    with pytest.raises(ConnectionError, match="config.json of 'ada/other' did not arrive.*proxy.*folder"):
        hub.cached_file("ada/other", "config.json")
    with pytest.raises(ConnectionError):
        hub.cached_file("ada/other", "config.json", required=False)


def test_busy_hub(server):
    server.add("ada/toy", {"config.json": CONFIG})
    server.fault("config.json", *["busy"] * 9)
    with pytest.raises(ConnectionError, match="503"):
        hub.cached_file("ada/toy", "config.json")


def test_redirect_of_a_moved_repo(server):
    server.add("hfl/rbt3", {"config.json": CONFIG})
    server.move("rbt3", "hfl/rbt3")
    path = hub.cached_file("rbt3", "config.json")
    assert hub.read_json(path)["model_type"] == "bert"
    assert 307 in [s for _, _, s in server.log]
    assert hub.cached_file("rbt3", "config.json", local_files_only=True) == path


def test_revisions(server):
    old = server.add("ada/toy", {"config.json": "{}"}, ref="v1")
    new = server.add("ada/toy", {"config.json": CONFIG})
    read = lambda **k: hub.read_json(hub.cached_file("ada/toy", "config.json", **k))
    assert read() == json.loads(CONFIG) and read(revision="v1") == {}
    assert read(revision=old[:8]) == {} and read(revision=old) == {} and read(revision=new[:7]) == read()
    server.log.clear()  # now everything is there, also without a network
    for r, want in [("v1", {}), (old, {}), (old[:8], {}), (old[:12], {}), (new, read()), (None, read())]:
        assert read(revision=r, local_files_only=True) == want
    server.log.clear()
    read(revision=old)
    assert server.log == []  # a whole hash never changes its meaning


def test_subfolder_and_cache_dir(server, tmp_path):
    server.add("ada/toy", {"sub/config.json": CONFIG})
    path = hub.cached_file("ada/toy", "config.json", subfolder="sub", cache_dir=tmp_path / "mine")
    assert Path(path).is_relative_to(tmp_path / "mine") and path.endswith(os.path.join("sub", "config.json"))
    assert hub.cached_file("ada/toy", "config.json", subfolder="sub", cache_dir=tmp_path / "mine", local_files_only=True)


@pytest.mark.parametrize("how", ["argument", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_offline(server, monkeypatch, how):
    server.add("ada/toy", {"config.json": CONFIG})
    path = hub.cached_file("ada/toy", "config.json")
    server.log.clear()
    if how != "argument":
        monkeypatch.setenv(how, "1")
    kw = {"local_files_only": True} if how == "argument" else {}
    assert hub.cached_file("ada/toy", "config.json", **kw) == path
    assert hub.cached_file("ada/toy", "vocab.txt", required=False, **kw) is None
    with pytest.raises(FileNotFoundError, match="vocab.txt.*not in the cache.*network"):
        hub.cached_file("ada/toy", "vocab.txt", **kw)
    with pytest.raises(FileNotFoundError, match="ada/other"):
        hub.cached_file("ada/other", "config.json", **kw)
    with pytest.raises(ValueError, match="force_download"):
        hub.cached_file("ada/toy", "config.json", force_download=True, **kw)
    assert server.log == []


def test_environment_in_a_fresh_process(server, tmp_path):
    server.add("ada/toy", {"config.json": CONFIG})
    code = "import sys, minihf.hub as h; p = h.cached_file('ada/toy', 'config.json'); print(p)"
    out = subprocess.run([sys.executable, "-c", code], env=server.env(tmp_path / "h2"), capture_output=True, text=True, check=True)
    assert Path(out.stdout.strip()).is_relative_to(tmp_path / "h2" / "hub")
    env = {**server.env(tmp_path / "h2"), "HF_HUB_OFFLINE": "1"}
    code += "; assert 'huggingface_hub' not in sys.modules and 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True).stdout == out.stdout


@pytest.fixture
def proxy():
    "A proxy on this machine, and the list of what it was asked for"
    import http.client
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from urllib.parse import urlsplit

    asked = []

    class Proxy(BaseHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def do_HEAD(self):
            asked.append((self.command, self.path))
            to = urlsplit(self.path)
            there = http.client.HTTPConnection(to.hostname, to.port)
            there.request(self.command, to.path, headers={k: v for k, v in self.headers.items() if k.lower() != "proxy-connection"})
            answer = there.getresponse()
            body = answer.read()
            self.send_response(answer.status)
            for k, v in answer.getheaders():
                self.send_header(k, v)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_HEAD

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("scheme", ["http", "all", "http://127.0.0.1"])
def test_proxies_are_used_and_only_here(server, proxy, monkeypatch, scheme):
    import huggingface_hub

    monkeypatch.setenv("NO_PROXY", "")
    address, asked = proxy
    server.add("ada/toy", {"config.json": CONFIG, "vocab.txt": "a"})
    address = address if scheme == "http" else address.removeprefix("http://")  # as the old clients took it, too
    before = huggingface_hub.utils._http._GLOBAL_CLIENT_FACTORY
    path = hub.cached_file("ada/toy", "config.json", proxies={scheme: address})
    assert hub.read_json(path) == json.loads(CONFIG)
    assert {m for m, _ in asked} == {"HEAD", "GET"} and all(p.startswith(server.url + "/ada/toy/resolve/") for _, p in asked)
    asked.clear()
    assert hub.cached_file("ada/toy", "vocab.txt", proxies={}) and hub.cached_file("ada/toy", "config.json") and asked == []
    assert huggingface_hub.utils._http._GLOBAL_CLIENT_FACTORY is before
    assert hub.cached_file("ada/toy", "config.json", proxies={"http": None}) == path and asked == []


def test_proxies_that_are_none(server, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "")
    server.add("ada/toy", {"config.json": CONFIG})
    with pytest.raises(ConnectionError, match="config.json of 'ada/toy' did not arrive"):
        hub.cached_file("ada/toy", "config.json", proxies={"http": "http://127.0.0.1:1"})
    for proxies, error in (({"http": 3128}, TypeError), ("http://foo", TypeError), ({"http": "gopher://x:1"}, ValueError)):
        with pytest.raises(error, match="proxies"):
            hub.cached_file("ada/toy", "config.json", proxies=proxies)
    assert server.log == [] and hub.cached_file("ada/toy", "config.json")


def test_unknown_argument(tmp_path):
    with pytest.raises(TypeError, match="use_cash.*revision"):
        hub.cached_file(tmp_path, "config.json", use_cash=True)


def test_all_shards_from_one_commit(server, toy):
    hub.save_tensors(weights(), toy, max_shard_size=300)
    first = server.add("ada/big", toy)
    index = hub.cached_file("ada/big", "model.safetensors.index.json")
    hub.save_tensors({k: t + 1 for k, t in weights().items()}, toy, max_shard_size=300)
    assert server.add("ada/big", toy) != first
    pinned = hub.pin(index, {})
    assert pinned == {"revision": first}
    files = hub.weight_files("ada/big", **pinned)
    assert len(files) == 3 and all(first in f for f in files)
    for f in files:
        for k, t in hub.read_tensors(f).items():
            assert torch.equal(t, weights()[k])


def test_files_known_to_be_missing_are_not_asked_for_again(server):
    commit = server.add("ada/toy", {"config.json": CONFIG})
    assert hub.cached_file("ada/toy", "vocab.txt", required=False, revision=commit) is None
    server.log.clear()
    assert hub.cached_file("ada/toy", "vocab.txt", required=False, revision=commit) is None
    assert server.log == []


# ---- a Hub, a disk and a cache that misbehave ----


class Clock:
    "Time that passes only while somebody sleeps"

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(hub.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(hub.time, "sleep", self.sleep)

    def sleep(self, seconds):
        self.now += seconds


def test_silent_server(server, monkeypatch):
    server.add("ada/toy", {"config.json": CONFIG})
    server.moods["HEAD"] = "silent"
    monkeypatch.setenv("MINIHF_HUB_TIMEOUT", "0.3")
    with pytest.raises(ConnectionError, match="config.json of 'ada/toy' did not arrive.*timed out.*MINIHF_HUB_TIMEOUT"):
        hub.cached_file("ada/toy", "config.json")
    assert len(server.log) == 1


def test_server_that_asks_to_wait(server, monkeypatch):
    server.add("ada/toy", {"config.json": CONFIG})
    clock = Clock(monkeypatch)
    server.moods["HEAD"] = 429, {"Retry-After": "3600"}
    with pytest.raises(ConnectionError, match="429.*asks to wait 3600 s"):
        hub.cached_file("ada/toy", "config.json")
    assert clock.now == 0
    server.moods["HEAD"] = 503, {"Retry-After": "12"}
    with pytest.raises(ConnectionError, match="503.*asks to wait 12 s"):
        hub.cached_file("ada/toy", "config.json")
    assert clock.now == 24
    server.moods["HEAD"] = 500, {}
    with pytest.raises(ConnectionError, match="500"):
        hub.cached_file("ada/toy", "config.json")
    assert clock.now == 26


@pytest.fixture
def limit(monkeypatch):
    "A short limit, and a download that should end in an error that names it"
    import huggingface_hub.file_download as fd

    monkeypatch.setenv("MINIHF_HUB_TIMEOUT", "0.6")
    monkeypatch.setattr(fd.time, "sleep", time.sleep)

    def ends(match):
        with pytest.raises(ConnectionError, match=f"did not arrive.*{match}.*MINIHF_HUB_TIMEOUT sets how long"):
            hub.cached_file("ada/toy", "model.safetensors")

    return ends


@pytest.mark.parametrize("fault, says", [("hang", "0.6 s less than 1024 bytes"), ("stall", "0.6 s less than 1024 bytes"), ("drip", "0.6 s less than 1024 bytes"),
                                         ("later", "429, and it asks to wait 3600 s"), ("limited", "429, and it asks to wait 300 s")])
def test_server_that_answers_head_and_then_nothing(server, limit, fault, says):
    "No byte, some bytes and then none, a byte now and then, a wish to be asked in an hour"
    server.add("ada/toy", {"model.safetensors": b"x" * 100_000, "config.json": CONFIG})
    server.fault("model.safetensors", *[fault] * 9)
    limit(says)
    assert len([m for m, p, _ in server.log if m == "GET"]) <= 3
    assert hub.cached_file("ada/toy", "config.json")  # nothing is left behind that hinders others
    server.faults.clear()
    assert Path(hub.cached_file("ada/toy", "model.safetensors")).read_bytes() == b"x" * 100_000


def test_server_that_falls_silent_between_two_questions(server, limit, monkeypatch):
    "Our question is answered, the client's own is not"
    import huggingface_hub

    server.add("ada/toy", {"model.safetensors": b"x" * 2000})
    real = huggingface_hub.hf_hub_download
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *a, **k: server.moods.update(HEAD="silent") or real(*a, **k))
    limit("0.6 s less than 1024 bytes")


def test_slow_download_that_is_alive(server, limit, monkeypatch):
    "It takes many times the limit in all, and comes through"
    body = bytes(range(250)) * 50
    server.add("ada/toy", {"model.safetensors": body})
    server.fault("model.safetensors", "slow")
    assert Path(hub.cached_file("ada/toy", "model.safetensors")).read_bytes() == body
    assert [m for m, _, _ in server.log].count("GET") == 1


def test_older_copy_in_place_of_a_download_that_hangs(server, limit, caplog, monkeypatch):
    monkeypatch.setattr(hub, "TOLD", set())
    server.add("ada/toy", {"model.safetensors": b"old" * 1000})
    path = hub.cached_file("ada/toy", "model.safetensors")
    server.add("ada/toy", {"model.safetensors": b"new" * 1000})
    server.fault("model.safetensors", *["hang"] * 9)
    assert hub.cached_file("ada/toy", "model.safetensors") == path
    assert "out of date" in caplog.text and "MINIHF_HUB_TIMEOUT" in caplog.text


def test_short_trouble_passes(server, monkeypatch):
    server.add("ada/toy", {"config.json": CONFIG})
    clock = Clock(monkeypatch)
    server.down = True
    clock.sleep = lambda s: setattr(server, "down", False)
    monkeypatch.setattr(hub.time, "sleep", clock.sleep)
    assert hub.read_json(hub.cached_file("ada/toy", "config.json"))["model_type"] == "bert"


def test_no_network_is_said_at_once(tmp_path, monkeypatch):
    "A port where nobody listens"
    clock = Clock(monkeypatch)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    for required in (True, False):
        with pytest.raises(ConnectionError, match="ada/nothing.*did not arrive.*not in the cache.*no folder"):
            hub.cached_file("ada/nothing", "config.json", required=required)
    assert clock.now == 4
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for required in (True, False):
        with pytest.raises(FileNotFoundError, match="ada/nothing.*not in the cache.*network is off.*no folder"):
            hub.cached_file("ada/nothing", "config.json", required=required)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("text", ["0", "-1", "soon", "nan", "inf", "1e9", "30s", " "])
def test_wrong_limit(monkeypatch, text):
    monkeypatch.setenv("MINIHF_HUB_TIMEOUT", text)
    with pytest.raises(ValueError, match="MINIHF_HUB_TIMEOUT"):
        hub.hub_timeout()
    monkeypatch.setenv("MINIHF_HUB_TIMEOUT", "0.5")
    assert hub.hub_timeout() == 0.5
    monkeypatch.delenv("MINIHF_HUB_TIMEOUT")
    assert hub.hub_timeout() == 30


BAD = ["../../x", "..", ".", "a/b", "a\\b", "x" * 300, "", " ", "\x1b[2J"]


@pytest.mark.parametrize("header", ["ETag", "X-Repo-Commit", "X-Linked-Etag"])
@pytest.mark.parametrize("bad", BAD)
def test_names_from_a_server_are_refused_before_writing(server, tmp_path, header, bad):
    server.add("ada/toy", {"config.json": CONFIG})
    server.headers = {header: bad if header == "X-Repo-Commit" else f'"{bad}"'}
    if header == "X-Linked-Etag" and not bad:
        return  # then the ETag counts
    with pytest.raises(hub.FileError, match="gave config.json of 'ada/toy'.*no answer of a Hub") as e:
        hub.cached_file("ada/toy", "config.json")
    assert "\x1b" not in str(e.value) and server.fetched() == [] and not (tmp_path / "home/hub").exists()


@pytest.mark.parametrize("code", ["ENOSPC", "EROFS", "EACCES", "EDQUOT"])
def test_disk_that_takes_no_more(server, monkeypatch, caplog, code):
    import errno

    import huggingface_hub

    code = getattr(errno, code)
    monkeypatch.setattr(hub, "TOLD", set())
    old = server.add("ada/toy", {"config.json": CONFIG})
    path = hub.cached_file("ada/toy", "config.json")
    server.add("ada/toy", {"config.json": "{}"})
    real = huggingface_hub.hf_hub_download
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *a, **k: (_ for _ in ()).throw(OSError(code, os.strerror(code))))
    for _ in range(2):
        assert hub.cached_file("ada/toy", "config.json") == path
    assert caplog.text.count("WARNING") == 1
    assert all(o in caplog.text for o in ("'ada/toy'", old[:12], "out of date", hub.cache_home(), os.strerror(code)))
    with pytest.raises(OSError, match="can't be written to.*cache_dir or HF_HUB_CACHE") as e:
        hub.cached_file("ada/toy", "config.json", force_download=True)
    assert e.value.errno == code and not isinstance(e.value, ConnectionError)
    with pytest.raises(OSError, match="can't be written to"):
        hub.cached_file("ada/toy", "config.json", revision=server.add("ada/toy", {"config.json": "[]"}))
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", real)
    assert hub.cached_file("ada/toy", "config.json") != path  # there is room again


FULL_CACHE = """
import resource, sys, minihf.hub as hub
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
print(hub.cached_file("ada/toy", "model.safetensors"))
try:
    hub.cached_file("ada/other", "model.safetensors")
except OSError as e:
    print(type(e).__name__, e)
"""


@pytest.mark.skipif(os.name == "nt", reason="limits of a process are POSIX")
def test_no_room_for_a_download(server, tmp_path):
    server.add("ada/toy", {"model.safetensors": b"x" * 1000})
    path = hub.cached_file("ada/toy", "model.safetensors")
    for name in ("ada/toy", "ada/other"):
        server.add(name, {"model.safetensors": b"x" * 200_000})
    done = subprocess.run([sys.executable, "-c", FULL_CACHE], env=server.env(tmp_path / "home"), capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first == path and "'ada/toy' is taken from the cache" in done.stderr
    assert second.startswith("OSError [Errno 27] The cache") and "proxy" not in second


def test_older_copy_without_an_answer_is_told(server, caplog, monkeypatch):
    monkeypatch.setattr(hub, "TOLD", set())
    commit = server.add("ada/toy", {"config.json": CONFIG, "vocab.txt": "a"})
    paths = [hub.cached_file("ada/toy", name) for name in ("config.json", "vocab.txt")]
    server.down = True
    assert [hub.cached_file("ada/toy", name) for name in ("config.json", "vocab.txt")] == paths
    assert caplog.text.count("WARNING") == 1 and commit[:12] in caplog.text


def test_copy_of_what_is_hidden_now(server, caplog, monkeypatch):
    "As the client does, but not in silence; a file or a revision that is gone is gone"
    monkeypatch.setattr(hub, "TOLD", set())
    server.add("ada/toy", {"config.json": CONFIG, "vocab.txt": "a"})
    paths = [hub.cached_file("ada/toy", name) for name in ("config.json", "vocab.txt")]
    for options in ({"gated": True}, {"gated": False, "private": True}):
        vars(server.repos["ada/toy"]).update(options)
        assert hub.cached_file("ada/toy", "config.json") == paths[0]
        with pytest.raises(OSError, match="ada/toy"):
            hub.cached_file("ada/toy", "config.json", force_download=True)
    assert caplog.text.count("WARNING") == 1 and "accept its terms" in caplog.text
    server.add("ada/toy", {"config.json": CONFIG}, private=False)
    with pytest.raises(FileNotFoundError, match="no file 'vocab.txt'"):
        hub.cached_file("ada/toy", "vocab.txt")


def test_hub_says_which_commit_the_cache_has(server, tmp_path):
    new = server.add("ada/toy", {"config.json": CONFIG})
    hub.cached_file("ada/toy", "config.json", revision=new)
    server.log.clear()
    path = hub.cached_file("ada/toy", "config.json")  # the same commit by its other name: nothing to fetch
    assert server.fetched() == [] and new in path
    server.down = True
    assert hub.cached_file("ada/toy", "config.json") == path
    home = tmp_path / "home/hub/models--ada--toy"
    assert (home / "refs/main").read_text() == new and not (home / f"refs/{new}").exists()


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"../../..", b"main", b"a" * 10**6, b"\x1b[2J", b"0" * 40 + b"\nx"])
def test_ref_that_is_no_commit(server, tmp_path, content):
    server.add("ada/toy", {"config.json": CONFIG})
    path = hub.cached_file("ada/toy", "config.json")
    ref = tmp_path / "home/hub/models--ada--toy/refs/main"
    ref.write_bytes(content)
    for kw in ({}, {"local_files_only": True}):
        with pytest.raises(hub.FileError, match="refs.main should hold a commit.*delete it.*force_download=True") as e:
            hub.cached_file("ada/toy", "config.json", **kw)
        assert "\x1b" not in str(e.value) and len(str(e.value)) < 500
    assert hub.cached_file("ada/toy", "config.json", force_download=True) == path
    assert hub.cached_file("ada/toy", "config.json", local_files_only=True) == path


def test_damaged_copy_names_the_remedy(server):
    hub.write_safetensors(weights(), "m.safetensors")
    server.add("ada/toy", {"config.json": CONFIG, "model.safetensors": Path("m.safetensors").read_bytes()})
    for name, read in (("config.json", hub.read_json), ("model.safetensors", hub.read_tensors)):
        path = hub.cached_file("ada/toy", name)
        raw = Path(path).read_bytes()
        for damage in (raw[:-3], b""):
            Path(path).write_bytes(damage)
            with pytest.raises(hub.FileError, match="force_download=True"):
                read(hub.cached_file("ada/toy", name))
            read(hub.cached_file("ada/toy", name, force_download=True))
    with pytest.raises(hub.FileError) as e:
        hub.read_json(Path("m.safetensors"))
    assert "force_download" not in str(e.value)


# ---- names ----


WAYS = ["..", "../..", "../../other", "/etc", "a/../..", "a//b", ".", "a\\b", "..\\..", "x\0"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["ada/toy", "folder"])
def test_arguments_may_not_lead_outside(server, tmp_path, name, way):
    server.add("ada/toy", {"config.json": CONFIG})
    hub.cached_file("ada/toy", "config.json")
    Path("folder").mkdir()
    Path("folder/config.json").write_text("{}")
    Path("config.json").write_text("{}")
    (tmp_path / "home/hub/models--ada--toy/config.json").write_text("{}")
    server.log.clear()
    for kw in ({"revision": way}, {"subfolder": way}):
        for offline in (True, False):
            with pytest.raises(ValueError, match=list(kw)[0]):
                hub.cached_file(name, "config.json", local_files_only=offline, **kw)
    with pytest.raises(ValueError, match="filename"):
        hub.cached_file(name, f"{way}/config.json")
    for f in (hub.find_commit, hub.snapshot):
        with pytest.raises(ValueError, match="revision"):
            f("ada/toy", way)
    with pytest.raises(ValueError, match="file"):
        hub.from_cache("ada/toy", f"{way}/config.json")
    assert server.log == []


def test_branches_and_folders_with_a_slash(server):
    server.add("ada/toy", {"a/b/config.json": CONFIG})
    assert hub.cached_file("ada/toy", "config.json", subfolder="a/b/") == hub.cached_file("ada/toy", "b/config.json", subfolder="a")
    server.add("ada/toy", {"config.json": CONFIG}, ref="refs/pr/1")
    path = hub.cached_file("ada/toy", "config.json", revision="refs/pr/1")
    assert hub.cached_file("ada/toy", "config.json", revision="refs/pr/1", local_files_only=True) == path


def test_file_in_place_of_its_folder(toy, monkeypatch):
    monkeypatch.chdir(toy)
    for name in ("model.safetensors", str(toy / "model.safetensors")):
        with pytest.raises(FileNotFoundError, match="model.safetensors holds weights: give the folder.*config.json"):
            hub.cached_file(name, "config.json")
        assert hub.cached_file(name, "generation_config.json", required=False) is None
        assert hub.weight_files(name) == [name]
    with pytest.raises(FileNotFoundError, match="No weights in 'config.json'.*one file: give the folder"):
        hub.weight_files("config.json")
    Path("m.ckpt").touch()
    assert hub.weight_files("m.ckpt") == ["m.ckpt"]


def test_names_of_files_are_escaped(tmp_path):
    (tmp_path / "\x1b[31mred\n.h5").touch()
    for call in (lambda: hub.cached_file(tmp_path, "config.json"), lambda: hub.weight_files(tmp_path)):
        with pytest.raises(FileNotFoundError, match=r"\\x1b\[31mred\\n") as e:
            call()
        assert "\x1b" not in str(e.value)
    hub.write_json({"weight_map": {"w": "\x1b[2J" * 1000}}, tmp_path / "model.safetensors.index.json")
    with pytest.raises(hub.FileError) as e:
        hub.weight_files(tmp_path)
    assert "\x1b" not in str(e.value) and len(str(e.value)) < 1000


def test_local_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gpt2").mkdir()
    (tmp_path / "gpt2/config.json").write_text("{}")
    assert hub.cached_file("gpt2", "config.json") == os.path.join("gpt2", "config.json")
    assert hub.cached_file(tmp_path / "gpt2", "config.json") == str(tmp_path / "gpt2/config.json")
    assert hub.cached_file("gpt2/config.json", "config.json") == "gpt2/config.json"
    with pytest.raises(FileNotFoundError, match="No vocab.txt in the folder 'gpt2', which holds: config.json"):
        hub.cached_file("gpt2", "vocab.txt")
    for name in ["./nothing", "/no/such/folder", "a/b/c", "~/no-such", "", "https://huggingface.co/gpt2"]:
        with pytest.raises(FileNotFoundError):
            hub.cached_file(name, "config.json")


def test_bundled(monkeypatch, tmp_path):
    (tmp_path / "assets/tiny").mkdir(parents=True)
    (tmp_path / "assets/tiny/config.json").write_text("{}")
    monkeypatch.setattr(hub, "ASSETS", tmp_path / "assets")
    assert hub.bundled() == ["minihf/tiny"]
    assert hub.cached_file("minihf/tiny", "config.json") == str(tmp_path / "assets/tiny/config.json")


# ---- JSON and atomic writing ----


@pytest.mark.parametrize("text", ["", "{", '{"a": 1,}', "[1]", "3", "null", "\xff\xfe", "[" * 100000])
def test_bad_json_names_the_file(tmp_path, text):
    path = tmp_path / "config.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(hub.FileError, match="config.json"):
        hub.read_json(path)


def test_json_round_trip(tmp_path):
    obj = {"b": "ä今😀", "a": [1, None, 1e-12, True]}
    hub.write_json(obj, tmp_path / "x.json")
    assert hub.read_json(tmp_path / "x.json") == obj
    (tmp_path / "bom.json").write_text('\ufeff{"a": 1}', encoding="utf-8")
    assert hub.read_json(tmp_path / "bom.json") == {"a": 1}
    with pytest.raises(TypeError):
        hub.write_json({"x": object()}, tmp_path / "x.json")
    assert hub.read_json(tmp_path / "x.json") == obj and os.listdir(tmp_path).count("x.json") == 1
    assert not [n for n in os.listdir(tmp_path) if n.endswith(".tmp")]


def names(folder):
    return sorted(os.listdir(folder))


def put(path, text="new"):
    with hub.replacing(path) as tmp:
        Path(tmp).write_text(text)


@pytest.fixture
def pair(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    (tmp_path / "config.json").write_text("old")
    return tmp_path


def texts(folder):
    return {p.name: p.read_text() for p in folder.iterdir()}


OLD, NEW = ({"a.txt": t, "config.json": t} for t in ("old", "new"))


def test_files_of_a_block_appear_together(pair, monkeypatch):
    with hub.saving(pair):
        put(pair / "config.json")
        put(pair / "a.txt", "first")
        with hub.saving(f"{pair}/."):  # the same folder: joins
            put(os.path.relpath(pair / "a.txt"))
        assert {n: t for n, t in texts(pair).items() if not n.endswith(".tmp")} == OLD
        (pair / "sub").mkdir()
        put(pair / "sub/b.txt")  # another folder
        assert names(pair / "sub") == ["b.txt"]
        (pair / "sub/b.txt").unlink(), (pair / "sub").rmdir()
    assert texts(pair) == NEW


def test_order_of_the_burst(tmp_path, monkeypatch):
    old = ["model.safetensors", "model-00001-of-00009.safetensors", "model.safetensors.index.json"]
    for name in old:
        (tmp_path / name).touch()
    done, rename, remove = [], os.replace, os.remove
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append(Path(b).name), rename(a, b)))
    monkeypatch.setattr(os, "remove", lambda a: (done.append(Path(a).name), remove(a)))
    late = ["config.json", "generation_config.json", "tokenizer_config.json"]
    with hub.saving(tmp_path):
        for name in late:
            put(tmp_path / name)
        hub.save_tensors(weights(), tmp_path, max_shard_size=600)
        put(tmp_path / "vocab.txt")
        assert done == []
    new = {"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "vocab.txt"}
    assert done[0] == done[-1] == hub.BURST  # the list of what is to be done comes first, and goes last
    done = done[1:-1]
    assert set(done[:3]) == new and done[3] == "model.safetensors.index.json"
    assert set(done[4:6]) == set(old[:2]) and set(done[6:8]) == set(late[1:]) and done[8:] == ["config.json"]
    assert names(tmp_path) == sorted({*new, *late, "model.safetensors.index.json"})


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), SystemExit()])
def test_error_in_a_block_changes_nothing(pair, error):
    with pytest.raises(type(error)):
        with hub.saving(pair):
            put(pair / "a.txt")
            hub.save_tensors(weights(), pair)
            raise error
    assert texts(pair) == OLD
    with pytest.raises(type(error)):
        with hub.replacing(pair / "a.txt") as tmp:
            Path(tmp).write_text("half")
            raise error
    assert texts(pair) == OLD
    put(pair / "a.txt"), put(pair / "config.json")  # the folder is free again
    assert texts(pair) == NEW


def test_inner_block_that_fails_is_taken_back(pair):
    with hub.saving(pair):
        put(pair / "a.txt")
        with pytest.raises(ValueError):
            with hub.saving(pair):
                put(pair / "config.json", "never"), put(pair / "a.txt", "never")
                raise ValueError
        put(pair / "config.json")
    assert texts(pair) == NEW


def test_folder_in_the_way_is_told_before_writing(pair):
    (pair / "b.txt").mkdir()
    with pytest.raises(IsADirectoryError, match="b.txt"):
        with hub.saving(pair):
            put(pair / "a.txt")
            put(pair / "b.txt")
    (pair / "b.txt").rmdir()
    assert texts(pair) == OLD
    with pytest.raises(FileNotFoundError, match="nowhere"):
        put(pair / "nowhere/x.txt")
    with pytest.raises(NotADirectoryError, match="a.txt"):
        put(pair / "a.txt/x.txt")


SAVING = """
import sys, time, os, minihf.hub as hub
folder, wait = sys.argv[1], float(sys.argv[2])
n = 0
while True:
    with hub.saving(folder):
        for name in ("config.json", "vocab.txt", "model.safetensors"):
            with hub.replacing(f"{folder}/{name}") as tmp, open(tmp, "w") as f:
                f.write(str(n) + " " * 200_000)
            print(n, flush=True)
            time.sleep(wait)
    time.sleep(wait)
    n += 1
"""


@pytest.mark.skipif(hub.fcntl is None, reason="kill -9 is POSIX")
def test_killed_saves_leave_old_or_new_and_nothing_else(tmp_path):
    r = random.Random(0)
    for kill in range(20):
        job = subprocess.Popen([sys.executable, "-c", SAVING, str(tmp_path), "0.001"], stdout=subprocess.PIPE)
        for _ in range(r.randint(3, 12)):
            job.stdout.readline()
        time.sleep(r.random() / 500)
        job.kill(), job.communicate()
        whole = [p.read_text().strip() for p in tmp_path.iterdir() if not p.name.endswith(".tmp")]
        assert len(whole) in (0, 3) and len(set(whole)) <= 1, (kill, whole)
    with hub.replacing(tmp_path / "config.json") as tmp:  # sweeps what they left
        assert names(tmp_path) == ["config.json", "model.safetensors", "vocab.txt"]
        Path(tmp).touch()
    assert len(names(tmp_path)) == 3


@pytest.mark.skipif(hub.fcntl is None, reason="folders are locked on POSIX only")
def test_two_writers_take_turns(pair):
    args = [sys.executable, "-c", SAVING, str(pair), "0.03"]
    with subprocess.Popen(args, stdout=subprocess.PIPE) as job:
        try:
            job.stdout.readline()
            with hub.saving(pair):  # waits for the other's block, and keeps it out
                before = {n: t.strip() for n, t in texts(pair).items() if n != "a.txt"}
                assert len(set(before.values())) == 1 and len(before) == 3
                time.sleep(0.2)
                assert {n: t.strip() for n, t in texts(pair).items() if n != "a.txt"} == before
        finally:
            job.kill()
    put(pair / "a.txt")  # the lock went with the process
    assert (pair / "a.txt").read_text() == "new"


@pytest.mark.skipif(hub.fcntl is None, reason="folders are locked on POSIX only")
def test_folder_in_use_is_named(pair, monkeypatch):
    monkeypatch.setattr(hub, "LOCK_WAIT", 0.1)
    inside, leave = threading.Event(), threading.Event()

    def holds():
        with hub.saving(pair):
            inside.set()
            leave.wait()

    other = threading.Thread(target=holds)
    other.start()
    inside.wait()
    try:
        with pytest.raises(TimeoutError, match=f"{pair.name}' is in use.*another folder"):
            put(pair / "a.txt")
    finally:
        leave.set()
        other.join()
    assert texts(pair) == OLD


@pytest.mark.skipif(hub.fcntl is None, reason="folders are locked on POSIX only")
def test_threads_take_turns(pair):
    wrong = []

    def work(k):
        for _ in range(5):
            with hub.saving(pair):
                for name in OLD:
                    put(pair / name, k)
            with hub.saving(pair):
                if len(set(texts(pair).values())) != 1:
                    wrong.append(texts(pair))

    threads = [threading.Thread(target=work, args=(str(k),)) for k in range(4)]
    [t.start() for t in threads], [t.join() for t in threads]
    assert wrong == [] and names(pair) == ["a.txt", "config.json"]


@pytest.mark.skipif(hub.fcntl is None, reason="folders are locked on POSIX only")
def test_only_our_temporaries_are_swept(pair):
    mine = [".a.txt.0123abcd.tmp", ".model.safetensors.00000000.tmp"]
    others = ["a.txt.tmp", ".hidden.tmp", ".x.0123ABCD.tmp", ".cache.incomplete", ".x.0123abcd.tmp.txt"]
    for name in mine + others:
        (pair / name).touch()
    others.append(".tmpAbC123")
    (pair / others[-1]).write_text("another program's file")
    hub.write_safetensors(weights(), pair / "w")
    (pair / "w").rename(pair / ".tmpXyZ789")  # where the package writes before it renames
    (pair / ".d.0123abcd.tmp").mkdir()
    put(pair / "b.txt")
    assert names(pair) == sorted([*others, ".d.0123abcd.tmp", "a.txt", "b.txt", "config.json"])


def test_file_system_without_locks(pair, monkeypatch):
    if hub.fcntl:
        monkeypatch.setattr(hub.fcntl, "flock", lambda *a: (_ for _ in ()).throw(OSError(9, "Bad file descriptor")))
        (pair / ".a.txt.0123abcd.tmp").touch()  # may be another's
        put(pair / "a.txt")
        assert names(pair) == [".a.txt.0123abcd.tmp", "a.txt", "config.json"]
        (pair / ".a.txt.0123abcd.tmp").unlink()
    monkeypatch.setattr(hub, "fcntl", None)
    with hub.saving(pair):
        put(pair / "a.txt"), put(pair / "config.json")
    assert texts(pair) == NEW


@pytest.mark.parametrize("name", ["../x", "a/b", "/x", "a\\b", "..", ".", "", "x\0"])
def test_plain_name_refuses_ways(name):
    with pytest.raises(ValueError, match="filename_prefix"):
        hub.plain_name("filename_prefix", name)


def test_plain_name():
    assert hub.plain_name("p", "x.y-ä") == "x.y-ä"
    for value in (None, 5, b"x", ["x"], Path("x")):
        with pytest.raises(TypeError, match="filename_prefix"):
            hub.plain_name("filename_prefix", value)


def test_failed_save_keeps_the_old_weights(toy, monkeypatch):
    before = {p.name: p.read_bytes() for p in toy.iterdir()}
    real, calls = hub.write_safetensors, []

    def fails(*args):
        calls.append(1)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        real(*args)

    monkeypatch.setattr(hub, "write_safetensors", fails)
    with pytest.raises(OSError, match="No space"):
        hub.save_tensors({k: t + 1 for k, t in weights().items()}, toy, max_shard_size=300)
    assert {p.name: p.read_bytes() for p in toy.iterdir()} == before


def test_saving_over_a_mapped_model(toy):
    t = hub.read_tensors(toy / "model.safetensors")
    hub.save_tensors({k: x * 0 for k, x in t.items()}, toy)
    assert all(torch.equal(t[k], w) for k, w in weights().items())
    assert all(not x.any() for x in hub.read_tensors(toy / "model.safetensors").values())


# ---- safetensors ----

TYPES = ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool",
         "complex64", "uint16", "uint32", "uint64", "float8_e4m3fn", "float8_e5m2"]


def some_tensors(seed):
    r = random.Random(seed)
    out = {}
    for i in range(r.randint(1, 12)):
        shape = [r.randint(0, 5) for _ in range(r.randint(0, 4))]
        t = torch.tensor([r.randint(0, 1) for _ in range(torch.Size(shape).numel())]).view(shape)
        out[f"t{i}.é" if i == 3 else f"t{i}"] = t.to(getattr(torch, r.choice(TYPES)))
    return out


def same(a, b):
    assert a.keys() == b.keys()
    for k in a:
        x, y = a[k], b[k]
        assert x.dtype == y.dtype and x.shape == y.shape
        assert torch.equal(*(o.contiguous().reshape(-1).view(torch.uint8) for o in (x, y)))


@pytest.mark.parametrize("seed", range(30))
def test_both_ways_with_the_library(tmp_path, seed):
    ts = some_tensors(seed)
    hub.save_tensors(ts, tmp_path / "ours")
    same(load_file(tmp_path / "ours/model.safetensors"), ts)
    save_file(ts, tmp_path / "theirs.safetensors")
    same(hub.read_tensors(tmp_path / "theirs.safetensors"), ts)
    same(hub.read_tensors(tmp_path / "ours/model.safetensors"), ts)
    with safe_open(tmp_path / "ours/model.safetensors", "pt") as f:
        assert f.metadata() == {"format": "pt"}


def test_not_contiguous_and_views(tmp_path):
    x = torch.arange(12.0).view(3, 4)
    ts = {"t": x.t(), "row": x[1], "same": x, "grad": torch.nn.Parameter(x), "step": x[:, ::2]}
    hub.save_tensors(ts, tmp_path)
    got = hub.read_tensors(tmp_path / "model.safetensors")
    assert all(torch.equal(got[k], t) for k, t in ts.items())


def test_no_copy_and_private(tmp_path):
    hub.save_tensors({"w": torch.zeros(1 << 20), "v": torch.ones(8)}, tmp_path)
    path = tmp_path / "model.safetensors"
    before = path.read_bytes()
    a, b = hub.read_tensors(path), hub.read_tensors(path)
    assert abs(a["v"].data_ptr() - a["w"].data_ptr()) in (32, 4 << 20)  # one stretch of memory, laid out as the file
    a["w"].add_(1)
    assert path.read_bytes() == before and not b["w"].any()


def test_training_on_mapped_tensors_leaves_the_file(tmp_path):
    hub.save_tensors({"w": torch.ones(64, 64), "b": torch.zeros(64)}, tmp_path)
    path = tmp_path / "model.safetensors"
    before = path.read_bytes()
    layer = torch.nn.Linear(64, 64)
    for name, t in hub.read_tensors(path).items():
        setattr(layer, {"w": "weight", "b": "bias"}[name], torch.nn.Parameter(t))
    adam = torch.optim.AdamW(layer.parameters(), lr=0.1)
    for _ in range(3):
        layer(torch.ones(2, 64)).square().mean().backward()
        adam.step()
    assert not torch.equal(layer.weight, torch.ones(64, 64)) and path.read_bytes() == before


def test_the_file_may_go_while_it_is_mapped(tmp_path):
    w = torch.arange(1 << 18).float()
    hub.save_tensors({"w": w}, tmp_path)
    got = hub.read_tensors(tmp_path / "model.safetensors")["w"]
    hub.save_tensors({"w": w[:4] * 0}, tmp_path)  # another and a shorter one takes its name
    assert torch.equal(got, w)
    got = hub.read_tensors(tmp_path / "model.safetensors")["w"]
    (tmp_path / "model.safetensors").unlink()
    assert torch.equal(got, torch.zeros(4))


MAPPED = """
import sys, torch, safetensors.torch
import minihf.hub as hub
def peak():
    return int(next(o for o in open("/proc/self/status") if o.startswith("VmHWM")).split()[1]) / 1024
hub.read_tensors(sys.argv[1] + "/small.safetensors")
before = peak()
tensors = hub.read_tensors(sys.argv[1] + "/model.safetensors")
print(peak() - before)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="memory is read from /proc")
def test_mapping_a_large_file_takes_no_memory(tmp_path):
    hub.write_safetensors({"w": torch.zeros(8)}, tmp_path / "small.safetensors")
    hub.save_tensors({f"layer.{i}.w": torch.zeros(1 << 20) for i in range(50)}, tmp_path)  # 200 MB
    done = subprocess.run([sys.executable, "-c", MAPPED, str(tmp_path)], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 20  # MB


def test_numbers_at_odd_places(tmp_path):
    "A header of any length, so that no number lies at a multiple of its size"
    path = tmp_path / "model.safetensors"
    hub.write_safetensors({"w": torch.arange(4.0), "v": torch.arange(3)}, path)
    for pad in range(8):
        odd = path.read_bytes()
        n = int.from_bytes(odd[:8], "little")
        path.write_bytes((n + pad).to_bytes(8, "little") + odd[8 : 8 + n] + b" " * pad + odd[8 + n :])
        got = hub.read_tensors(path)
        assert torch.equal(got["w"] * 2, torch.arange(4.0) * 2) and torch.equal(got["v"], torch.arange(3))


def test_others_may_read_what_the_umask_lets_them(tmp_path):
    for mask, mode in ((0o022, 0o644), (0o077, 0o600)):
        old = os.umask(mask)
        try:
            hub.save_tensors(weights(), tmp_path)
        finally:
            os.umask(old)
        assert (tmp_path / "model.safetensors").stat().st_mode & 0o777 == mode


FULL = """
import os, resource, sys, torch
import minihf.hub as hub
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    hub.save_tensors({"w": torch.zeros(100_000)}, sys.argv[1])
except OSError as e:
    print(e.errno, e.filename.startswith(sys.argv[1]))
"""


@pytest.mark.skipif(os.name == "nt", reason="limits of a process are POSIX")
def test_no_room_for_the_file(toy):
    before = {p.name: p.read_bytes() for p in toy.iterdir()}
    done = subprocess.run([sys.executable, "-c", FULL, str(toy)], capture_output=True, text=True, check=True)
    assert done.stdout == "27 True\n"  # EFBIG
    assert {p.name: p.read_bytes() for p in toy.iterdir()} == before


def test_what_cannot_be_saved_is_refused(tmp_path):
    for t, error in ((torch.zeros(2, dtype=torch.complex128), TypeError), (torch.eye(2).to_sparse(), RuntimeError),
                     (torch.zeros(2, device="meta"), NotImplementedError)):
        with pytest.raises(error):
            hub.save_tensors({"w": t}, tmp_path)
    assert os.listdir(tmp_path) == []


def test_folder_in_place_of_a_file_is_named(tmp_path):
    (tmp_path / "model.safetensors").mkdir()
    with pytest.raises(OSError, match="directory.*model.safetensors"):
        hub.read_tensors(tmp_path / "model.safetensors")
    with pytest.raises(FileNotFoundError, match="nothing.safetensors"):
        hub.read_tensors(tmp_path / "nothing.safetensors")


def edit(raw, **changes):
    "A safetensors file with changed entries"
    n = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + n])
    for k, v in changes.items():
        header["w"][k] = v
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + raw[8 + n :]


def test_malformed_safetensors(tmp_path):
    path = tmp_path / "model.safetensors"
    hub.write_safetensors({"w": torch.arange(4.0), "v": torch.arange(3)}, path)
    raw = path.read_bytes()
    bad = [raw[:k] for k in (0, 1, 7, 8, 20, 100, len(raw) - 1)] + [raw + b"\0", raw[:8] + b"\xff" * 50 + raw[58:]]
    bad += [(2**63).to_bytes(8, "little") + raw[8:], b"\0" * 8 + raw[8:], (3).to_bytes(8, "little") + b"[1]"]
    bad += [edit(raw, **c) for c in [
        {"dtype": "F7"}, {"dtype": 3}, {"dtype": "F64"}, {"shape": [5]}, {"shape": [-2, -2]}, {"shape": None}, {"shape": [2.0, 2]},
        {"data_offsets": [0, 16]}, {"data_offsets": [24, 4000]}, {"data_offsets": [24]}, {"data_offsets": ["a", "b"]},
        {"data_offsets": [-16, 0]}, {"shape": [2**62, 2**62]}]]
    bad += [b"<!doctype html>" + b" " * 100, b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"]
    for data in bad:
        path.write_bytes(data)
        with pytest.raises(hub.FileError, match="model.safetensors"):
            hub.read_tensors(path)
        with pytest.raises((SafetensorError, OSError, ValueError, RuntimeError, OverflowError)):
            load_file(path)


@pytest.mark.parametrize("seed", range(5))
def test_random_damage_never_crashes(tmp_path, seed):
    r = random.Random(seed)
    path = tmp_path / "model.safetensors"
    hub.write_safetensors(some_tensors(seed), path)
    raw = path.read_bytes()
    n = int.from_bytes(raw[:8], "little")
    for _ in range(200):
        data = bytearray(raw)
        for _ in range(r.randint(1, 4)):
            data[r.randrange(8 + n)] = r.randrange(256)
        path.write_bytes(bytes(data[: r.randint(len(data) - 2, len(data))]))
        try:
            got = hub.read_tensors(path)
        except hub.FileError as e:
            assert "model.safetensors" in str(e)
        else:
            for t in got.values():
                t.sum() if t.dtype.is_floating_point and t.element_size() > 1 else t.numel()


def test_git_lfs_pointer_and_web_page_are_recognised(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 100\n")
    with pytest.raises(hub.FileError, match="git lfs pull"):
        hub.read_tensors(path)
    torch.save({"w": torch.zeros(2)}, path)
    with pytest.raises(hub.FileError, match=r"\.bin"):
        hub.read_tensors(path)


# ---- legacy .bin ----


class Payload:
    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("zipped", [True, False])
def test_bin(tmp_path, zipped):
    path = tmp_path / "pytorch_model.bin"
    torch.save(weights(), path, _use_new_zipfile_serialization=zipped)
    assert hub.weight_files(tmp_path) == [str(path)]
    got = hub.read_tensors(path)
    assert all(torch.equal(got[k], t) for k, t in weights().items())


@pytest.mark.parametrize("how", ["zip", "legacy", "bare"])
def test_payload_is_refused_and_not_run(tmp_path, how):
    path, evil = tmp_path / "pytorch_model.bin", Payload()
    evil.path = tmp_path / "owned"
    if how == "bare":
        path.write_bytes(pickle.dumps({"w": evil}))
    else:
        torch.save({"w": evil}, path, _use_new_zipfile_serialization=how == "zip")
    with pytest.raises(hub.FileError, match="pytorch_model.bin.*(system|refused).*safetensors"):
        hub.read_tensors(path)
    assert not evil.path.exists()


@pytest.mark.parametrize("data, remedy", [
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 100\n", "git lfs pull"),
    (b"\n<!DOCTYPE html><html>", "a web page"), (b"\xef\xbb\xbf<html>", "a web page"), (b"PK\x03\x04half", "corrupted.*safetensors"),
    ((8).to_bytes(8, "little") + b"{}      ", "safetensors: give it that extension"), (b"", "damaged.*safetensors"), (b"Entry not found", "safetensors")])
def test_what_is_no_bin_is_recognised(tmp_path, data, remedy):
    (tmp_path / "pytorch_model.bin").write_bytes(data)
    with pytest.raises(hub.FileError, match=f"pytorch_model.bin was not loaded.*{remedy}"):
        hub.read_tensors(hub.weight_files(tmp_path)[0])


@pytest.mark.parametrize("thing", [torch.eye(2).to_sparse(), torch.zeros(2, device="meta"), 3,
                                   torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)])
def test_bin_holds_plain_tensors_only(tmp_path, thing):
    for content in ({"w\x1b[2J": thing}, {5: torch.ones(2)}):
        torch.save(content, tmp_path / "m.bin")
        with pytest.raises(hub.FileError, match="m.bin.*should name a plain tensor") as e:
            hub.read_tensors(tmp_path / "m.bin")
        assert "\x1b" not in str(e.value)


def test_old_torch_reads_no_pickle(tmp_path, monkeypatch):
    torch.save(weights(), tmp_path / "m.bin")
    for version in ("2.5.1+cpu", "1.13.0", "2.4.0a0+git1234"):
        monkeypatch.setattr(torch, "__version__", version)
        with pytest.raises(hub.FileError, match="m.bin is not read.*Upgrade torch"):
            hub.read_tensors(tmp_path / "m.bin")
    for version in ("2.6.0", "2.10.0+cu130", "3.0.0"):
        monkeypatch.setattr(torch, "__version__", version)
        hub.needs_safe_torch("x")


def test_shown():
    assert hub.shown("a\x1b[31m\n\u202e ü 今") == "a\\x1b[31m\\n\\u202e ü 今"
    assert len(hub.shown("x" * 10**6)) == 201 and hub.shown(5) == "5"


def test_damaged_bin(tmp_path):
    path = tmp_path / "pytorch_model.bin"
    torch.save(weights(), path)
    raw = path.read_bytes()
    for data in [b"", b"PK", raw[:100], raw[: len(raw) // 2], raw[:-1], b"<html>", b"\x80\x02."]:
        path.write_bytes(data)
        with pytest.raises(hub.FileError, match="pytorch_model.bin"):
            hub.read_tensors(path)
    for obj in [[1, 2], {"w": "text"}, torch.zeros(2)]:
        torch.save(obj, path)
        with pytest.raises(hub.FileError, match="pytorch_model.bin"):
            hub.read_tensors(path)


# ---- weights: which files, and shards ----


def test_order_of_preference(toy):
    torch.save(weights(), toy / "pytorch_model.bin")
    assert hub.weight_files(toy) == [str(toy / "model.safetensors")]
    hub.save_tensors(weights(), toy, max_shard_size=300)
    assert [Path(f).name for f in hub.weight_files(toy)] == [f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]
    assert hub.weight_files(toy / "pytorch_model.bin") == [str(toy / "pytorch_model.bin")]


def test_old_shards_are_removed(toy):
    (toy / "model_notes.txt").write_text("mine")
    for limit in (300, 600, "50GB", 300):
        written = hub.save_tensors(weights(), toy, max_shard_size=limit)
        assert sorted(os.listdir(toy)) == sorted(written + ["config.json", "model_notes.txt"])
        got = {k: t for f in hub.weight_files(toy) for k, t in hub.read_tensors(f).items()}
        assert got.keys() == weights().keys() and all(torch.equal(got[k], t) for k, t in weights().items())


def test_shards_like_the_reference(tmp_path):
    from huggingface_hub import split_torch_state_dict_into_shards

    ts = {f"t{i}": torch.zeros(random.Random(i).randint(1, 300)) for i in range(40)}
    for limit in (400, 1000, 3000, 10**6):
        plan = split_torch_state_dict_into_shards(ts, max_shard_size=limit)
        hub.save_tensors(ts, tmp_path, max_shard_size=limit)
        if plan.is_sharded:
            index = hub.read_json(tmp_path / "model.safetensors.index.json")
            assert index["metadata"]["total_size"] == plan.metadata["total_size"]
            assert index["weight_map"].keys() == plan.tensor_to_filename.keys()
        for f in hub.weight_files(tmp_path):
            n = sum(t.numel() * 4 for t in hub.read_tensors(f).values())
            assert n <= limit or len(hub.read_tensors(f)) == 1


def test_sharded_bin(tmp_path):
    ts = weights()
    names = {k: f"pytorch_model-0000{i}-of-00003.bin" for i, k in enumerate(ts, 1)}
    for k, f in names.items():
        torch.save({k: ts[k]}, tmp_path / f)
    hub.write_json({"metadata": {}, "weight_map": names}, tmp_path / "pytorch_model.bin.index.json")
    got = {k: t for f in hub.weight_files(tmp_path) for k, t in hub.read_tensors(f).items()}
    assert all(torch.equal(got[k], t) for k, t in ts.items())


@pytest.mark.parametrize("name", ["../secret.safetensors", "/etc/passwd", "a/../../b.safetensors", "..\\b.safetensors", "sub/b.safetensors",
                                  "C:\\b.bin", "", "..", 3, None, "b.py", "b.safetensors\n", "b\0.safetensors", "~/b.bin", ".b.bin"])
def test_index_may_not_point_outside(tmp_path, name):
    (tmp_path / "m").mkdir()
    hub.write_safetensors(weights(), tmp_path / "secret.safetensors")
    hub.write_json({"weight_map": {"w": name}}, tmp_path / "m/model.safetensors.index.json")
    with pytest.raises(hub.FileError, match="index.json"):
        hub.weight_files(tmp_path / "m")


@pytest.mark.parametrize("index", [{}, {"weight_map": []}, {"weight_map": {}}, {"weight_map": None}])
def test_index_without_a_map(tmp_path, index):
    hub.write_json(index, tmp_path / "model.safetensors.index.json")
    with pytest.raises(hub.FileError, match="weight_map"):
        hub.weight_files(tmp_path)


@pytest.mark.parametrize("limit", ["50GB", 300])
def test_variants_like_the_reference(tmp_path, limit):
    import transformers

    config = transformers.GPT2Config(n_layer=1, n_embd=4, n_head=1, vocab_size=9, n_positions=4)
    model = transformers.GPT2Model(config)
    model.save_pretrained(tmp_path / "theirs", variant="fp16", max_shard_size=limit)
    files = [hub.read_tensors(f) for f in hub.weight_files(tmp_path / "theirs", variant="fp16")]
    tensors = {k: t for f in files for k, t in f.items()}
    tensors = {k: tensors[k] for k in model.state_dict()}
    written = hub.save_tensors(tensors, tmp_path / "ours", limit, variant="fp16")
    assert written == names(tmp_path / "ours")
    assert written == [n for n in names(tmp_path / "theirs") if n != "config.json"] and all("fp16" in n for n in written)
    config.save_pretrained(tmp_path / "ours")
    again = transformers.GPT2Model.from_pretrained(tmp_path / "ours", variant="fp16")
    assert all(torch.equal(t, again.state_dict()[k]) for k, t in tensors.items())
    with pytest.raises(FileNotFoundError, match="model.safetensors.*fp16"):
        hub.weight_files(tmp_path / "ours")


def test_variants_beside_each_other(toy):
    for variant in (None, "fp16", "a.b"):
        for limit in (300, "50GB", 600):
            hub.save_tensors(weights(), toy, limit, variant=variant)
    stems = {"model", "model.fp16", "model.a.b"}
    shards = {f"{stem}-0000{i}-of-00002.safetensors" for stem in stems for i in (1, 2)}
    index = {f"model.safetensors.index.{v}json" for v in ("", "fp16.", "a.b.")}
    assert set(names(toy)) == {*shards, *index, "config.json"}
    assert [Path(f).name for f in hub.weight_files(toy, variant="a.b")] == sorted(s for s in shards if "a.b" in s)
    for variant, error in (("../x", ValueError), ("", ValueError), (3, TypeError)):
        with pytest.raises(error, match="variant"):
            hub.save_tensors(weights(), toy, variant=variant)
        with pytest.raises(error, match="variant"):
            hub.weight_files(toy, variant=variant)


def test_use_safetensors_like_the_reference(toy):
    torch.save(weights(), toy / "pytorch_model.bin")
    torch.save(weights(), toy / "pytorch_model.fp16.bin")
    found = lambda **kw: Path(hub.weight_files(toy, **kw)[0]).name
    assert found() == found(use_safetensors=True) == "model.safetensors"
    assert found(use_safetensors=False) == "pytorch_model.bin"
    assert found(variant="fp16") == found(variant="fp16", use_safetensors=False) == "pytorch_model.fp16.bin"
    with pytest.raises(FileNotFoundError, match="model.fp16.safetensors.*without.*use_safetensors.*variant"):
        hub.weight_files(toy, use_safetensors=True, variant="fp16")
    (toy / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="looked for model.safetensors, model.safetensors.index.json"):
        hub.weight_files(toy, use_safetensors=True)


def test_variants_on_the_hub(server, toy):
    hub.save_tensors(weights(), toy, 300, variant="fp16")
    server.add("ada/toy", toy)
    assert len(hub.weight_files("ada/toy", variant="fp16")) == 3 and len(hub.weight_files("ada/toy")) == 1
    with pytest.raises(FileNotFoundError, match="pytorch_model.bin"):
        hub.weight_files("ada/toy", use_safetensors=False)


def test_missing_shard_is_named(toy):
    hub.save_tensors(weights(), toy, max_shard_size=300)
    (toy / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="model-00002-of-00003.safetensors"):
        hub.weight_files(toy)


def test_no_weights(tmp_path, server):
    (tmp_path / "m").mkdir()
    (tmp_path / "m/tf_model.h5").write_text("")
    with pytest.raises(FileNotFoundError, match="looked for model.safetensors.*tf_model.h5 is a format of another"):
        hub.weight_files(tmp_path / "m")
    server.add("ada/empty", {"config.json": "{}"})
    with pytest.raises(FileNotFoundError, match="ada/empty.*pytorch_model.bin"):
        hub.weight_files("ada/empty")


@pytest.mark.parametrize("size", ["", "big", "-1GB", 0, "5PB", None, "1 0GB"])
def test_bad_shard_size(tmp_path, size):
    with pytest.raises(ValueError, match="max_shard_size"):
        hub.save_tensors(weights(), tmp_path, max_shard_size=size)
    assert os.listdir(tmp_path) == []


def test_module_is_light():
    code = "import sys, minihf.hub; bad = {'torch', 'huggingface_hub', 'safetensors', 'numpy'} & set(sys.modules); assert not bad, bad"
    subprocess.run([sys.executable, "-c", code], check=True)


ODD = [None, True, 0, -3, 10**30, 2.5, "", "\x1b[2J", "x" * 300, b"x", [], ["a"], {}, {"a": 1}, np.int64(3), np.zeros(2), torch.zeros(2), object()]
GOOD = {  # function -> arguments that it takes
    "read_json": dict(path="config.json"), "write_json": dict(obj={}, path="new.json", sort_keys=True),
    "read_tensors": dict(path="model.safetensors"), "read_safetensors": dict(path="model.safetensors"), "load_bin": dict(path="m.bin"),
    "write_safetensors": dict(tensors={"w": torch.zeros(2)}, path="new.safetensors", metadata={"format": "pt"}),
    "save_tensors": dict(tensors={"w": torch.zeros(2)}, folder="out", max_shard_size="1MB", metadata={"format": "pt"}, variant="fp16"),
    "separate": dict(tensors={"w": torch.zeros(2)}), "parse_size": dict(size="1MB"), "plan_shards": dict(sizes={"w": 3}, limit=5),
    "split_hub_args": dict(kwargs={}), "local_path": dict(name="toy"), "cache_home": dict(cache_dir="cache"),
    "find_commit": dict(repo="ada/toy", revision="main", cache_dir="cache"), "snapshot": dict(repo="ada/toy", revision="main", cache_dir="cache"),
    "from_cache": dict(repo="ada/toy", file="config.json", revision="main", cache_dir="cache"), "shards_of": dict(index="good.index.json"),
    "pin": dict(path="x", hub={}), "plain_name": dict(argument="name", name="y"), "impostor": dict(path="model.safetensors"),
    "cached_file": dict(name_or_path=".", filename="config.json", required=True, cache_dir="cache", force_download=False, revision="main",
                        token=False, local_files_only=True, subfolder="sub"),
    "weight_files": dict(name_or_path=".", use_safetensors=None, variant=None, subfolder="", revision=None),
    "remove_others": dict(folder="empty", keep=["a"], variant="fp16"),
    "replacing": dict(path="new.txt"), "saving": dict(folder="out"),
}


@pytest.mark.parametrize("function", GOOD)
def test_odd_arguments_are_named(toy, monkeypatch, function):
    "Each argument in turn is anything at all: it is taken, or an error says which one is wrong"
    monkeypatch.chdir(toy)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for d in ("out", "sub", "empty", "cache/models--ada--toy/refs"):
        os.makedirs(d)
    Path("sub/config.json").write_text("{}")
    torch.save(weights(), "m.bin")
    hub.write_json({"weight_map": {"w": "m.bin"}}, "good.index.json")
    for name, values in [(None, {})] + [(k, ODD) for k in GOOD[function]]:
        for value in values or [None]:
            args = GOOD[function] | ({name: value} if name else {})
            try:
                done = getattr(hub, function)(**args)
                if hasattr(done, "__enter__"):
                    with done:
                        pass
            except Exception as e:
                assert isinstance(e, (TypeError, ValueError, OSError)), (name, value, repr(e))
                named = [name, "max_shard_size" if name == "size" else name, repr(value)[1:-1][:20], "No folder", "not in the cache", "JSON serializable"]
                assert name is None and function == "replacing" or any(str(o) in str(e) for o in named), (name, value, repr(e))
                assert "\x1b" not in str(e)


KILLED = """
import os, signal, sys
from minihf import hub
folder, stop = sys.argv[1], int(sys.argv[2])
plain, calls = os.replace, []
def replace(*args):
    if len(calls) == stop:
        os.kill(os.getpid(), signal.SIGKILL)
    calls.append(args)
    plain(*args)
os.replace = replace
with hub.saving(folder) as save:
    for name in ("a", "b", "config.json"):
        with hub.replacing(f"{folder}/{name}") as tmp:
            open(tmp, "w").write("new")
    save.files["old"] = None
"""


@pytest.mark.skipif(hub.fcntl is None, reason="needs a lock")
@pytest.mark.parametrize("stop", range(5))
def test_a_kill_between_two_renames_is_mended_by_the_next_who_looks(tmp_path, stop):
    for name in ("a", "b", "config.json", "old"):
        (tmp_path / name).write_text("before")
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), str(stop)])
    assert done.returncode == (0 if stop == 4 else -9)
    hub.local_path(str(tmp_path))  # as every reader does
    found = {p.name: p.read_text() for p in tmp_path.iterdir() if not p.name.endswith(".tmp")}
    new = dict.fromkeys(("a", "b", "config.json"), "new")
    assert found == (new if stop else {**dict.fromkeys(new, "before"), "old": "before"})
    with hub.saving(tmp_path):
        pass
    assert sorted(found) == sorted(p.name for p in tmp_path.iterdir())


@pytest.mark.parametrize("moves", [{"../x": None}, {"a": "../x"}, {"a": "b"}, {"": None}, {"/etc/x": None}, {"a": 5}])
def test_a_burst_that_leads_outside_is_refused(tmp_path, moves):
    folder = tmp_path / "m"
    folder.mkdir()
    (tmp_path / "x").write_text("mine")
    (folder / hub.BURST).write_text(json.dumps(moves))
    with pytest.raises(hub.FileError, match="no file of this folder"):
        hub.local_path(str(folder))
    assert (tmp_path / "x").read_text() == "mine"
