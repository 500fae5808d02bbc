"The command line as a user sees it."
import logging
import subprocess
import sys

import pytest

from minihf import __version__, cli


def minihf(*args):
    return subprocess.run([sys.executable, "-m", "minihf", *args], capture_output=True, text=True)


def test_tour():
    done = minihf()
    assert done.returncode == 0, done.stderr
    for part in ("tokens", "hidden states", "nearest", "fill", "continue"):
        assert part in done.stdout
    assert done.stderr == ""


def test_help_is_quick_and_names_the_commands():
    done = minihf("--help")
    assert done.returncode == 0
    assert all(c in done.stdout for c in ("tour", "tokenize", "embed", "fill-mask", "generate", "lab"))


def test_fill_mask_knows_python():
    assert cli.fill_mask("the for [MASK] is used to iterate", k=1)[0][0] == "statement"
    words = [w for w, p in cli.fill_mask("The for [MASK] is used to iterate over the elements of a sequence.")]
    assert words[0] == "statement"


def test_tokenize_in_a_pipe_has_no_colour_codes():
    done = minihf("tokenize", "Unfamiliar words.")
    assert done.returncode == 0 and "\033" not in done.stdout and " · " in done.stdout


def test_embed_gives_cosines(capsys):
    assert cli.main(["embed", "Return a list.", "Returns a list."]) == 0
    rows = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert float(rows[0][0]) == pytest.approx(1, abs=1e-3)
    assert 0.5 < float(rows[0][1]) < 1


def test_main_leaves_the_log_level_as_it_was(capsys):
    level = logging.getLogger("minihf").level
    cli.main(["fill-mask", "no mask"])
    assert logging.getLogger("minihf").level == level


def test_generate_repeats_itself_under_one_seed(capsys):
    texts = []
    for seed in ("1", "1", "2"):
        assert cli.main(["generate", "The for statement", "--seed", seed, "--tokens", "12"]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] != texts[2]
    assert texts[0].startswith("The for statement")


@pytest.mark.parametrize(
    "args, status, said",
    [
        (["fill-mask", "no mask"], 1, "[MASK]"),
        (["tokenize", "a", "--model", "/nowhere/at/all"], 1, "/nowhere/at/all"),
        (["embed", "one text"], 1, "two or more"),
        (["fill-mask", "the [MASK]", "-k", "0"], 2, "1 or more"),
        (["generate", "two", "words"], 2, "quotes"),
        (["paint"], 2, "fill-mask"),
    ],
)
def test_mistakes_are_one_line(args, status, said):
    done = minihf(*args)
    assert done.returncode == status
    assert said in done.stderr and len(done.stderr.splitlines()) <= 2 and "Traceback" not in done.stderr


def test_lab_opens_the_index_or_says_what_is_missing(monkeypatch, capsys):
    ran = []
    monkeypatch.setattr(cli, "find_spec", lambda name: object())
    monkeypatch.setattr(cli.subprocess, "run", lambda command, check: ran.append(command))
    assert cli.main(["lab"]) == 0
    assert ran[0][1:3] == ["-m", "jupyterlab"] and ran[0][3].name == "index.ipynb" and ran[0][3].exists()
    monkeypatch.setattr(cli, "find_spec", lambda name: None)
    assert cli.main(["lab"]) == 1 and "pip install jupyterlab" in capsys.readouterr().err
    monkeypatch.setattr(cli, "find_spec", lambda name: object())
    monkeypatch.setattr("minihf.__file__", "/nowhere/minihf/__init__.py")
    assert cli.main(["lab"]) == 1 and "clone" in capsys.readouterr().err


@pytest.mark.parametrize("text, said", [("no mask here", "mask"), ("[MASK] and [MASK]", "2 masks")])
def test_fill_mask_wants_one_mask(text, said, capsys):
    assert cli.main(["fill-mask", text]) == 1
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1


def test_version():
    assert minihf("--version").stdout == f"minihf {__version__}\n"


def test_embed_takes_any_model(capsys):
    assert cli.main(["embed", "a list", "a tuple", "--model", "minihf/tiny-gpt2"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_a_reader_may_stop_reading():
    writer = subprocess.Popen([sys.executable, "-m", "minihf"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    writer.stdout.close()
    assert writer.stderr.read() == ""
    writer.wait()
