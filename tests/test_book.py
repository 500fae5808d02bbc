"The notebooks as a book: each has a title, pictures, checks and exercises, short cells, outputs; the map lists them all."
import json
import re
from pathlib import Path

import pytest
import yaml

import minihf.book as book

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = sorted((ROOT / "nbs").glob("[0-9]*.ipynb"))
PAGES = sorted(p for p in (ROOT / "nbs").glob("[a-z]*.ipynb") if p.stem != "index")  # without a number
by_name = pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
by_page = pytest.mark.parametrize("path", CHAPTERS + PAGES, ids=lambda p: p.stem)


def cells(path, kind=None):
    nb = json.loads(path.read_text(encoding="utf-8"))
    for c in nb["cells"]:
        if kind in (None, c["cell_type"]):
            c["source"] = "".join(c["source"])
            yield c


@by_page
def test_begins_with_title_and_summary(path):
    first = next(cells(path, "markdown"))["source"]
    assert re.match(r"# .+\n\n> .+", first)


@by_page
def test_cells_are_short_and_ran(path):
    for c in cells(path, "code"):
        lines = [o for o in c["source"].splitlines() if not o.startswith("#|")]
        is_class = re.search(r"^class ", c["source"], re.M)
        assert len(lines) <= (150 if is_class else 35), c["id"]
        assert not any(o["output_type"] == "error" for o in c["outputs"]), c["id"]
        assert c["execution_count"] is None, "run nbdev_clean"


def is_picture(cell):
    return any("image/png" in o.get("data", {}) for o in cell["outputs"])


@by_name
def test_has_prose_pictures_and_exercises(path):
    markdown, code = list(cells(path, "markdown")), list(cells(path, "code"))
    assert len(markdown) >= 0.65 * len(code)
    exercises = sum("> **Exercise" in c["source"] for c in markdown)
    solutions = sum("#| solution" in c["source"] for c in code)
    assert 3 <= exercises <= 6 and solutions >= exercises - 1  # a question may have no code


@by_name
def test_pictures_have_captions(path):
    strip, *pictures = (c["source"] for c in cells(path, "code") if is_picture(c))
    assert "strip(" in strip and pictures  # the path with this chapter's place, then what the text can't show
    for source in pictures:
        assert re.search(r"^#\| label: fig-[\w-]+$", source, re.M) and "#| fig-cap: " in source


SHOWN = re.compile(r"\b(assert|check|test_\w+)\b")


@by_name
def test_a_taught_definition_is_shown_at_work_at_once(path):
    "What a chapter teaches (`exports`): within two code cells there is a result or a check; plumbing is tested in `tests/`"
    code = list(cells(path, "code"))
    for i, c in enumerate(code):
        if re.search(r"^#\| ?exports\b", c["source"], re.M) and re.search(r"^(class|def) ", c["source"], re.M):
            assert any(n["outputs"] or SHOWN.search(n["source"]) for n in code[i + 1 : i + 3]), c["id"]


@by_page
def test_links_lead_somewhere(path):
    names = {p.name for p in (ROOT / "nbs").glob("*.ipynb")}
    for c in cells(path, "markdown"):
        for target in re.findall(r"\]\(([\w./]+\.ipynb)", c["source"]):
            assert target in names, (c["id"], target)


def test_map_lists_every_chapter_and_then_every_page():
    parts = yaml.safe_load((ROOT / "nbs/sidebar.yml").read_text())["website"]["sidebar"]["contents"]
    listed = [f for p in parts if isinstance(p, dict) for f in p["contents"]]
    n = len(CHAPTERS)
    assert listed[:n] == [p.name for p in CHAPTERS]
    assert sorted(listed[n:]) == [p.name for p in PAGES]


BORROWED = {(f"models.{family}", "generation.generate") for family in ("bert", "roberta", "electra")}  # as writers they inherit `generate`; the chapters say so


def test_modules_follow_their_chapters():
    "A chapter is named after the module that it exports, and imports only from chapters above it"
    order = {p.stem.split("_", 1)[1]: p.stem for p in CHAPTERS}
    order |= dict.fromkeys((p.stem for p in PAGES), "")  # pages of reference are beside the path
    for path in CHAPTERS:
        if not any("#| default_exp" in c["source"] for c in cells(path, "code")):
            continue  # a chapter that only shows
        name = path.stem.split("_", 1)[1]
        module = ROOT / "minihf" / (name.replace(".", "/") + ".py")
        text = module.read_text(encoding="utf-8")
        assert f"nbs/{path.name}" in text
        package = ["minihf", *name.split(".")[:-1]]
        for dots, target in re.findall(r"^from (\.*)([\w.]+) import", text, re.M):
            full = ".".join([*package[: len(package) + 1 - len(dots)], target]) if dots else target
            if full.startswith("minihf."):
                used = full.removeprefix("minihf.")
                early = order[used] < path.stem or (name, used) in BORROWED
                assert early, f"{name} imports {used}, which comes later"


def test_course_names_exercises_that_exist():
    asked = re.compile(r"> \*\*Exercise (\d+\.\d+)\.\*\*")
    there = {n for p in CHAPTERS for c in cells(p, "markdown") for n in asked.findall(c["source"])}
    course = ROOT / "nbs" / "course.ipynb"
    named = {n for c in cells(course, "markdown") for n in re.findall(r"\b\d{1,2}\.\d\b", c["source"])}
    assert len(named) > 40 and named <= there, named - there


def test_the_chinese_index_has_the_same_commands_and_the_same_example():
    def shown(name):
        path = ROOT / "nbs" / name
        shell = [b for c in cells(path, "markdown") for b in re.findall(r"```sh\n(.*?)```", c["source"], re.S)]
        code = [c["source"] for c in cells(path, "code") if "#| hide" not in c["source"]]
        return shell, code

    assert shown("index.ipynb") == shown("index_zh.ipynb")


def test_check_tells_open_wrong_and_right():
    def nothing(x): ...
    def wrong(x): return x
    def right(x): return x + 1

    cases = dict(like=lambda x: x + 1, hint="add")
    assert "still open" in repr(book.check(nothing, (1,), **cases)) and not book.check(nothing, (1,), **cases)
    said = repr(book.check(wrong, (1,), **cases))
    assert "expected 2" in said and "hint: add" in said
    assert book.check(right, (1,), (2,), **cases)


def test_same_compares_arrays_and_containers():
    np = pytest.importorskip("numpy")
    assert book.same(np.ones(3), np.ones(3)) and not book.same(np.ones(3), np.ones(4))
    assert book.same({"a": [1.0]}, {"a": (1.0 + 1e-7,)}) and not book.same({"a": 1}, {"b": 1})
    assert book.same(float("nan"), float("nan")) and not book.same(True, "True")


def test_strip_refuses_an_unknown_stage():
    with pytest.raises(ValueError):
        book.strip("nowhere")
