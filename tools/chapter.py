"""Work on a chapter as a text file: python tools/chapter.py 06_attention

`_txt/06_attention.py` (py:percent, git-ignored) -> `nbs/06_attention.ipynb` -> its module -> run -> clean.
A chapter may add to the module of an earlier one with `#| export config` (a family's configuration needs no torch).

    python tools/chapter.py 06_attention            from text to a clean, executed notebook
    python tools/chapter.py 06_attention --no-run   the same without running it
    python tools/chapter.py 06_attention --to-text  write the text file from the notebook
"""
import argparse, re, subprocess, sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def slug(source, used):
    "A readable id for a new cell, from what it defines or says first"
    lines = [o for o in source.splitlines() if o.strip() and not o.startswith("#|")]
    m = re.search(r"^(?:def|class) (\w+)", source, re.M)
    words = re.findall(r"[a-z0-9]+", (m[1] if m else lines[0] if lines else "cell").lower())
    base = ("-".join(words) or "cell")[:40].strip("-")
    name, n = base, 2
    while name in used:
        name, n = f"{base}-{n}", n + 1
    return name


def to_notebook(txt, path):
    "Update the notebook at `path` from `txt`; unchanged cells keep their id and their outputs"
    import jupytext, nbformat
    from jupytext.combine import combine_inputs_with_outputs

    nb = jupytext.read(txt)
    old = nbformat.read(path, as_version=4) if path.exists() else None
    if old:
        nb = combine_inputs_with_outputs(nb, old, fmt="py:percent")
    known = {c.id for c in old.cells} if old else set()
    used = {c.id for c in nb.cells if c.id in known}
    for c in nb.cells:
        if c.id not in known:
            c.id = slug(c.source, used)
            used.add(c.id)
    nb.metadata = dict(kernelspec=dict(display_name="python3", language="python", name="python3"))
    nbformat.write(nb, path)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("name")
    p.add_argument("--to-text", action="store_true")
    p.add_argument("--no-run", action="store_true")
    a = p.parse_args()
    name = re.sub(r"\.(ipynb|py)$", "", Path(a.name).name)
    txt, nb = ROOT / f"_txt/{name}.py", ROOT / f"nbs/{name}.ipynb"
    txt.parent.mkdir(exist_ok=True)
    if a.to_text:
        return subprocess.run(["jupytext", "--to", "py:percent", str(nb), "-o", str(txt)], check=True)
    if txt.exists():
        to_notebook(txt, nb)
    subprocess.run(["nbdev_export"], cwd=ROOT, check=True)  # all: a chapter may add to an earlier one's module
    subprocess.run(["nbdev_clean", "--fname", str(nb)], check=True)
    if not a.no_run:
        sys.exit(subprocess.run([sys.executable, str(ROOT / "tools/nbrun.py"), str(nb)], cwd=ROOT).returncode)


if __name__ == "__main__":
    main()
