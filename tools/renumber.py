"""Give the chapters the numbers that their order in nbs/sidebar.yml says, everywhere: python tools/renumber.py

To put a chapter between 7 and 8, name its notebook `08a_models.by_hand.ipynb` (any number will do), list it in nbs/sidebar.yml where it belongs
and run this. Notebooks are renamed; links to them, the numbers in the words of a link, "chapter 9", "Exercise 9.2" and the map follow.
Run nbdev_export and tools/build_readme.py afterwards.
"""
import json
import re
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
NBS = ROOT / "nbs"
NUMBER = re.compile(r"^(\d+)[a-z]*_(.*)$")


def order():
    "Old name -> new name, for every chapter in the side bar, and old number -> new number"
    bar = yaml.safe_load((NBS / "sidebar.yml").read_text(encoding="utf-8"))["website"]["sidebar"]["contents"]
    listed = [f for part in bar if isinstance(part, dict) for f in part["contents"]]
    chapters = [f for f in listed if NUMBER.match(f)]
    names = {old: f"{i:02}_{NUMBER.match(old)[2]}" for i, old in enumerate(chapters)}
    plain = lambda f: re.match(r"\d+(?=_)", f)
    return names, {int(old[:2]): int(new[:2]) for old, new in names.items() if plain(old)}


def renumbered(text, names, numbers):
    "`text` with new file names and numbers"
    new = lambda n: str(numbers.get(int(n), n))

    def link(m):
        words, file, anchor = m.groups()
        old = NUMBER.match(file)
        if file not in names or not old:
            return m[0]
        words = re.sub(rf"(?<![\d.]){int(old[1])}(?![\d%])", lambda _: str(int(names[file][:2])), words)
        return f"\0{words}]({names[file]}{anchor})"

    text = re.sub(r"\[([^\]\[]*)\]\(([\w.]+\.ipynb)(#[^)]*)?\)", lambda m: link(re.match(r"\[([^\]\[]*)\]\(([\w.]+\.ipynb)((?:#[^)]*)?)\)", m[0])), text)
    bare = r"(?<!\0)\b([Cc]hapters? )(\d+)((?:(?:, | and | or )\d+)*)(?![\d.\]]|\S*\]\(| \")"
    text = re.sub(bare, lambda m: m[1] + new(m[2]) + re.sub(r"\d+", lambda n: new(n[0]), m[3]), text)
    exercise = r"\b([Ee]xercises? )(\d+)(\.\d+)"
    return re.sub(exercise, lambda m: m[1] + new(m[2]) + m[3], text).replace("\0", "[")


def course(text, numbers):
    "The course names exercises by number alone, as 13.5"
    return re.sub(r"(?<![\d.\w])(\d{1,2})(\.\d)(?![\d.%])", lambda m: f"{numbers.get(int(m[1]), m[1])}{m[2]}", text)


def main():
    names, numbers = order()
    for path in sorted(NBS.glob("*.ipynb")):
        nb = json.loads(path.read_text(encoding="utf-8"))
        for c in nb["cells"]:
            source = "".join(c["source"])
            if c["cell_type"] == "markdown":
                source = renumbered(source, names, numbers)
                if path.name in names:  # its own exercises
                    source = re.sub(r"(\*\*Exercise )\d+(\.\d+)", rf"\g<1>{int(names[path.name][:2])}\2", source)
                if path.name == "course.ipynb":
                    source = course(source, numbers)
            else:
                source = re.sub(r"\b\d\d[a-z]*_[\w.]+\.ipynb", lambda m: names.get(m[0], m[0]), source)
            c["source"] = source.splitlines(keepends=True)
        path.write_text(json.dumps(nb, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    moves = [(old, new) for old, new in names.items() if old != new]
    for old, _ in moves:
        subprocess.run(["git", "mv", old, f"tmp_{old}"], cwd=NBS, check=True)
    for old, new in moves:
        subprocess.run(["git", "mv", f"tmp_{old}", new], cwd=NBS, check=True)
    bar, picture = NBS / "sidebar.yml", NBS / "images/path.svg"
    bar.write_text(re.sub(r"\b\d\d[a-z]*_[\w.]+\.ipynb", lambda m: names.get(m[0], m[0]), bar.read_text(encoding="utf-8")), encoding="utf-8")
    bold = lambda m: f'{m[1]}{numbers.get(int(m[2]), m[2])}<'
    picture.write_text(re.sub(r'(font-weight="700">)(\d+)<', bold, picture.read_text(encoding="utf-8")), encoding="utf-8")
    for old, new in moves:
        print(f"{old} -> {new}")


if __name__ == "__main__":
    main()
