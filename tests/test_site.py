"The built site: every link and picture leads somewhere, nothing comes from elsewhere, and a browser has no complaints."
import functools
import html
import http.server
import json
import re
import shutil
import subprocess
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

SITE = Path(__file__).resolve().parents[1] / "docs/_site"
if not (SITE / "index.html").exists():
    pytest.skip("the site isn't built: python tools/build_docs.py", allow_module_level=True)
PAGES = sorted(p for p in SITE.glob("*.html"))
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
by_page = pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
LOADS = {"img": "src", "script": "src", "link": "href", "source": "src", "iframe": "src"}


class Page(HTMLParser):
    "What a page loads, where it links, and the anchors that it has"

    def __init__(self, path):
        super().__init__()
        self.loads, self.links, self.anchors = [], [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.anchors |= {attrs.get("id"), attrs.get("name")}
        if tag == "a" and attrs.get("href"):
            self.links.append(attrs["href"])
        quiet = tag == "link" and not set((attrs.get("rel") or "").split()) & {"stylesheet", "icon", "preload"}
        if tag in LOADS and attrs.get(LOADS[tag]) and not quiet:
            self.loads.append(attrs[LOADS[tag]])


read = functools.lru_cache(maxsize=None)(Page)


@by_page
def test_links_and_pictures_lead_somewhere(page):
    for url in (*read(page).links, *read(page).loads):
        if re.match(r"(https?|mailto|data|javascript):", url):
            continue
        target, anchor = urldefrag(unquote(url.split("?")[0] if "?" in url else url))
        path = (page.parent / target) if target else page
        assert path.exists(), url
        if anchor and path.suffix == ".html":
            assert anchor in read(path).anchors, url


@by_page
def test_nothing_is_loaded_from_another_host(page):
    assert not [u for u in read(page).loads if re.match(r"(https?:)?//", u)]


def test_styles_load_nothing_from_another_host():
    for style in SITE.rglob("*.css"):
        assert not re.findall(r"""(?:url\(|@import)\s*["']?(?:https?:)?//[^"')]*""", style.read_text(encoding="utf-8")), style


PHONE = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><body><pre id="wide"></pre><script>
const frame = document.createElement('iframe'), wide = {}
frame.width = 390; frame.height = 800; document.body.append(frame)
const scrolls = (e, top) => e !== top && (getComputedStyle(e).overflowX !== 'visible' || scrolls(e.parentElement, top))
async function measure(page) {
  await new Promise(done => { frame.onload = done; frame.src = page })
  const doc = frame.contentDocument, article = doc.querySelector('article') || doc.body
  const out = [...article.querySelectorAll('*')].filter(e => e.getBoundingClientRect().right > 391
    && e.getClientRects().length && !scrolls(e, article)).map(e => e.outerHTML.slice(0, 120))
  if (doc.documentElement.scrollWidth > 390) out.push('the page itself scrolls')
  if (out.length) wide[page] = out.slice(0, 3)
}
(async () => { for (const page of PAGES) await measure(page); document.getElementById('wide').textContent = JSON.stringify(wide) })()
</script>"""


class Handler(http.server.SimpleHTTPRequestHandler):
    "The site, and a page that looks at all others through a frame as wide as a phone"

    def log_message(self, *args): ...

    def do_GET(self):
        if self.path != "/phone":
            return super().do_GET()
        text = PHONE.replace("PAGES", json.dumps([p.name for p in PAGES])).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(text)


@pytest.fixture(scope="module")
def served():
    "The site on a port of this machine"
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(SITE)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def visit(url, profile, budget=8000):
    "The page as a browser has it after its scripts ran, and what it complained about"
    if BROWSER is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", f"--user-data-dir={profile}",
               "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1", f"--virtual-time-budget={budget}", "--dump-dom", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    chat = r'"(\[PST\]|Got invalid theme mode)'  # the theme tells what it does
    said = [line for line in done.stderr.splitlines() if "CONSOLE" in line and not re.search(chat, line)]
    return done.stdout, said


@by_page
def test_a_browser_has_no_complaints(page, served, tmp_path):
    dom, said = visit(f"{served}/{page.name}", tmp_path)
    assert "</html>" in dom and not said


def test_search_finds_attend(served, tmp_path):
    dom, said = visit(f"{served}/search.html?q=attend", tmp_path)
    assert re.search(r'<ul[^>]* class="search">.*href="attention\.html', dom, re.S) and not said


def test_nothing_sticks_out_of_a_phone(served, tmp_path):
    dom, said = visit(f"{served}/phone", tmp_path, budget=120_000)
    wide = re.search(r'<pre id="wide">(.*?)</pre>', dom, re.S)
    assert not said and json.loads(html.unescape(wide[1])) == {}
