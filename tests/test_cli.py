"The command line as a user sees it."
import json
import logging
import os
import shutil
import signal
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


# ---- whatever goes wrong is one line ----


@pytest.mark.parametrize("error", [KeyError("model"), RuntimeError("two\nlines"), AttributeError("x"), IndexError(), RecursionError("deep"), MemoryError(),
                                   ImportError("No module named torch"), ZeroDivisionError("by 0"), AssertionError(), UnicodeError("ü"), StopIteration(),
                                   FileNotFoundError(2, "No such file", "a\x1b[31m"), ValueError("a\x1b[31m\nb"), OSError(), RuntimeError("x" * 10**6)])
def test_every_error_is_one_line(error, monkeypatch, capsys):
    def fail(args):
        raise error

    monkeypatch.setattr(cli, "run_command", fail)
    assert cli.main(["tour"]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("minihf: ") and err.count("\n") == 1 and len(err) < 800
    assert "\x1b" not in err and "Traceback" not in err
    assert isinstance(error, (OSError, ValueError)) or type(error).__name__ in err and "MINIHF_TRACEBACK=1" in err
    monkeypatch.setenv("MINIHF_TRACEBACK", "1")
    with pytest.raises(type(error)):
        cli.main(["tour"])


def test_ctrl_c(monkeypatch, capsys):
    def stop(args):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "run_command", stop)
    assert cli.main(["tour"]) == 130 and capsys.readouterr() == ("", "")
    monkeypatch.setattr(cli, "parser", lambda: stop(None))
    assert cli.main(["tour"]) == 130 and capsys.readouterr() == ("", "")


def test_ctrl_c_in_a_terminal():
    code = "import time; from minihf import cli; cli.run_command = lambda args: (print('ready', flush=True), time.sleep(60)); raise SystemExit(cli.main([]))"
    writer = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert writer.stdout.readline() == "ready\n"
    writer.send_signal(signal.SIGINT)
    assert writer.communicate() == ("", "") and writer.returncode == 130


@pytest.mark.skipif(os.name == "nt", reason="a shell's way to close and to fill a stream")
@pytest.mark.parametrize("line, status, said", [
    ("{} tokenize 'a b' | true", 0, ""), ("{} --help | true", 0, ""), ("{} tokenize 'a b' >&-", 0, ""), ("{} --version >&-", 0, None),
    ("{} tokenize 'a b' > /dev/full", 1, "No space left"), ("{} --help > /dev/full", None, None),
    ("(ulimit -f 0; {} tokenize 'a b' > out)", 1, "too large"), ("PYTHONIOENCODING=ascii {} tokenize 'a b'", 0, ""),
    ("{} tokenize $'\\xff\\xfe'", None, None), ("{} fill-mask x 2>&-", 1, ""), ("{} tokenize x --model '' 2> /dev/full", None, ""),
])
def test_streams_that_are_closed_or_full(line, status, said, tmp_path):
    command = line.format(f"{sys.executable} -m minihf")
    if "|" in command:
        command += "; exit ${PIPESTATUS[0]}"
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(p for p in sys.path if p))
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path, env=env)
    assert status is None or done.returncode == status, done
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr and done.stderr.count("\n") <= 1
    assert said is None or said in done.stderr and bool(said) == bool(done.stderr)


@pytest.mark.parametrize("file, text", [
    ("config.json", "{}"), ("config.json", "[]"), ("config.json", '{"model_type": ["bert"]}'), ("config.json", '{"model_type": "bert", "id2label": 5}'),
    ("config.json", '{"model_type": "bert", "num_hidden_layers": 1000000}'), ("config.json", '{"model_type": "bert", "to_dict": 1}'),
    ("config.json", '{"model_type": "\\u001b[31m"}'), ("config.json", '{"model_type": "bert", "hidden_size": 7}'),
    ("config.json", '{"model_type": "bert", "pad_token_id": 10000000}'), ("config.json", '{"x": ' + "[" * 600 + "]" * 600 + "}"),
    ("vocab.txt", ""), ("tokenizer_config.json", '{"tokenizer_class": 5}'), ("tokenizer.json", '{"model": null}'), ("model.safetensors", "<html>"),
])
def test_damaged_folders(file, text, tmp_path, capsys):
    from minihf.hub import local_path

    folder = tmp_path / "model"
    shutil.copytree(local_path(cli.BERT), folder)
    (folder / file).write_text(text)
    if file == "vocab.txt":
        for name in ("tokenizer.json",):
            (folder / name).unlink(missing_ok=True)
    assert cli.main(["fill-mask", "a [MASK]", "--model", str(folder)]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and len(err) < 800 and "\x1b" not in err


def test_tokens_cannot_command_the_terminal(tmp_path, capsys):
    evil = "\x1b[2Jx\x9b"
    assert "\x1b" not in cli.colour([evil], on=False) and cli.colour([evil]).count("\x1b") == 2 and "\x9b" not in cli.colour([evil])
    assert r"\x1b[2Jx\x9b" in cli.colour([evil])
    words = "[PAD] [UNK] [CLS] [SEP] [MASK] a".split() + ["\x1b[2j"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    cli.main(["tokenize", "a \x1b[2j \x1b", "--model", str(tmp_path)])
    cli.main(["embed", "\x1b[2J", "b"])
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err and r"\x1b[2J" in out
    with pytest.raises(SystemExit):
        cli.main(["generate", "a", "\x1b[2J"])
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.parametrize("args, said", [
    (["fill-mask", "a [MASK]", "-k", "9" * 5000], "1 or more"), (["generate", "a", "--tokens", "-3"], "1 or more"), (["generate", "a", "--tokens", "1.5"], "1 or more"),
    (["generate", "a", "--seed", "x"], "2^64"), (["generate", "a", "--seed", "9" * 30], "2^64"), (["generate", "a", "--seed", "1.5"], "2^64"),
    (["generate", "a", "--seed", "9" * 5000], "2^64"), (["generate"], "text"), (["tokenize", "a", "--model"], "--model")])
def test_numbers_on_the_line(args, said, capsys):
    with pytest.raises(SystemExit) as e:
        cli.main(args)
    err = capsys.readouterr().err
    assert e.value.code == 2 and said in err and err.count("\n") == 1 and len(err) < 300
    assert cli.a_seed("-1") == -1 and cli.a_seed(str(2**64 - 1)) == 2**64 - 1


WRONG = [None, 5, 2.5, ["a"], {"a": 1}, b"x", True, object()]


@pytest.mark.parametrize("wrong", WRONG)
def test_arguments_of_the_wrong_kind(wrong):
    calls = [(cli.load_pair, "name", ["x", "Model"], 0), (cli.load_pair, "task", ["x", "Model"], 1), (cli.colour, "on", [["a"], True], 1), (cli.embed, "model", ["a", "x"], 1),
             (cli.fill_mask, "text", ["a"], 0), (cli.fill_mask, "model", ["a", "x"], 1), (cli.fill_mask, "k", ["a", cli.BERT, 1], 2),
             (cli.continue_text, "text", ["a"], 0), (cli.continue_text, "model", ["a", "x"], 1), (cli.continue_text, "tokens", ["a", cli.GPT2, 1], 2),
             (cli.continue_text, "seed", ["a", cli.GPT2, 1, 1], 3), (cli.tour_encode, "text", ["a"], 0), (cli.run_command, "args", ["a"], 0),
             (cli.unit_mean, "hidden", [0, 0], 0), (cli.load_encoder, "name", ["x"], 0)]
    calls += [(cli.colour, "tokens", [["a"]], 0), (cli.embed, "texts", ["a"], 0), (cli.main, "argv", [[]], 0)] if wrong != ["a"] else []
    right = {"on": (True,), "k": (5,), "tokens": (5,), "seed": (None, 5), "argv": (None,)}
    for call, name, valid, i in calls:
        if any(wrong is o or wrong == o and type(wrong) is type(o) for o in right.get(name, ())) and call != cli.colour or wrong is True and name == "on":
            continue
        with pytest.raises(TypeError, match=f"{name} should be"):
            call(*valid[:i], wrong, *valid[i + 1:])


def test_values_that_make_no_sense():
    for call in (lambda: cli.load_pair(cli.BERT, "Nonsense"), lambda: cli.continue_text("a", seed=2**64), lambda: cli.continue_text("a", tokens=0), lambda: cli.continue_text("a", tokens=-5),
                 lambda: cli.fill_mask("a [MASK]", k=0), lambda: cli.fill_mask("a [MASK]", k=-1), lambda: cli.embed([])):
        with pytest.raises(ValueError):
            call()
    with pytest.raises(TypeError):
        cli.embed([5])
