"""The text that the bundled models are trained on: it ships with every Python.

`python_docs` of `minihf.data` is the language reference as plain text (what `help("for")` prints); the docstrings are
those of the standard library. Together about 2 MB of English. The text differs a little from one Python release to the next.
"""
import sysconfig
from pathlib import Path

from minihf.data import docstrings_in, paragraphs, python_docs

SKIP = {"site-packages", "test", "tests", "idle_test", "lib2to3", "__pycache__"}


def documentation() -> list[str]:
    "The language reference, as paragraphs"
    return [row["text"] for row in python_docs()]


def docstrings() -> list[str]:
    "Every docstring of the standard library's Python sources, in the order of the files, each once, as paragraphs"
    root, found = Path(sysconfig.get_paths()["stdlib"]), {}
    for f in sorted(root.rglob("*.py")):
        if SKIP & set(f.relative_to(root).parts):
            continue
        try:
            texts = docstrings_in(f.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        found.update(dict.fromkeys(p for t in texts for p in paragraphs(t)))
    return list(found)
