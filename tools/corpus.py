"""The text that the bundled models are trained on: it ships with every Python.

`pydoc_data.topics` is the language reference as plain text (what `help("for")` prints); the docstrings are those of the
standard library. Together about 2 MB of English. The text differs a little from one Python release to the next.
"""
import ast
import re
import sysconfig
from pathlib import Path

SKIP = {"site-packages", "test", "tests", "idle_test", "lib2to3", "__pycache__"}


def paragraphs(text: str) -> list[str]:
    "Prose paragraphs of a plain-text document, one line each: no headings, no code, no marks around names"
    found = []
    for block in re.split(r"\n\s*\n", text):
        lines = [o.strip() for o in block.splitlines()]
        indented = all(o.startswith("   ") for o in block.splitlines() if o.strip())
        line = " ".join(lines)
        words = re.findall(r"[A-Za-z]{2,}", line)
        is_code = ">>>" in block or "::=" in block or (indented and re.search(r"[=(\[{]", line))
        is_rule = re.fullmatch(r"[=*\-~^\s]+", lines[-1]) is not None
        if is_code or is_rule or len(words) < 6:
            continue
        line = re.sub(r"[\"*`]{1,2}([^\"*`\n]{1,60})[\"*`]{1,2}", r"\1", line)
        found.append(re.sub(r"\s+", " ", line))
    return found


def documentation() -> list[str]:
    "The language reference, as paragraphs"
    from pydoc_data.topics import topics

    return [p for name in sorted(topics) for p in paragraphs(topics[name])]


def docstrings() -> list[str]:
    "Every docstring of the standard library's Python sources, in the order of the files, each once, as paragraphs"
    root, found = Path(sysconfig.get_paths()["stdlib"]), {}
    for f in sorted(root.rglob("*.py")):
        if SKIP & set(f.relative_to(root).parts):
            continue
        try:
            tree = ast.parse(f.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        texts = (ast.get_docstring(o) for o in ast.walk(tree) if isinstance(o, kinds))
        found.update(dict.fromkeys(p for t in texts if t for p in paragraphs(t)))
    return list(found)
