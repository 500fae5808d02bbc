"Checkpoints that are broken, of another model, or made to do harm: named before the first step, with nothing changed."
import copy
import json
import multiprocessing
import os
import pickle
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

import minihf.trainer as T
from minihf.config import GPT2Config
from minihf.hub import FileError
from minihf.models.gpt2 import GPT2LMHeadModel

SIZES = dict(vocab_size=20, n_embd=8, n_layer=1, n_head=2, n_positions=16, bos_token_id=0, eos_token_id=0)
IDS = [[(i * 7 + j * 3) % 19 + 1 for j in range(6)] for i in range(32)]
ROWS = [dict(input_ids=o, labels=o) for o in IDS]
FIXTURES = Path(__file__).parent / "fixtures"


def make(folder, cls=T.Trainer, model=None, data=ROWS, **kw):
    torch.manual_seed(0)
    base = dict(use_cpu=True, max_steps=8, save_steps=4, logging_steps=2, per_device_train_batch_size=4, learning_rate=1e-2,
                disable_tqdm=True)
    return cls(model or GPT2LMHeadModel(GPT2Config(**SIZES)), T.TrainingArguments(str(folder), **base | kw), train_dataset=data,
               eval_dataset=ROWS[:4])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    "A folder with the checkpoints 4 and 8"
    home = tmp_path_factory.mktemp("trained")
    make(home).train()
    return home


@pytest.fixture
def broken(trained, tmp_path):
    "A copy of it to be broken"
    return Path(shutil.copytree(trained, tmp_path / "run"))


def everything(trainer, folder):
    "Model, optimizer, randomness and files, as they are"
    files = {str(p.relative_to(folder)): p.read_bytes() for p in sorted(Path(folder).rglob("*")) if p.is_file()}
    optimizer = trainer.optimizer and trainer.optimizer.state_dict()
    return copy.deepcopy([trainer.model.state_dict(), trainer.model.config.to_dict(), optimizer, T.rng_state(), files])


def assert_refused(trainer, folder, *says, kind=FileError):
    before = everything(trainer, folder)
    with pytest.raises(kind) as e:
        trainer.train(resume_from_checkpoint=str(folder / "checkpoint-4"))
    for text in says:
        assert text in str(e.value), str(e.value)
    assert len(str(e.value)) < 900 and str(e.value).isprintable()
    after = everything(trainer, folder)
    before[2] = after[2] if before[2] is None else before[2]  # a new optimizer may have been made: it remembers nothing
    assert before[2] is None or trainer.optimizer is None or after[2] == before[2] or not after[2]["state"]
    same = lambda a, b: (a.keys() == b.keys() and all(same(a[k], b[k]) for k in a) if isinstance(a, dict)
                         else len(a) == len(b) and all(map(same, a, b)) if isinstance(a, (list, tuple))
                         else bool((a == b).all()) if hasattr(a, "shape") else a == b)
    for i in (0, 1, 3, 4):
        assert same(before[i], after[i])
    assert trainer.state.global_step == 0


ODD = [None, 5, "x", [], [1], {}, {"a": 1}, (1, 2), float("nan"), True, torch.zeros(3), [{}], {"state": {}, "param_groups": []}]


@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "rng_state.pth"])
@pytest.mark.parametrize("content", ODD, ids=repr)
def test_files_of_another_kind(broken, name, content):
    torch.save(content, broken / "checkpoint-4" / name)
    assert_refused(make(broken), broken, name, "resume from an earlier")


@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", "config.json",
                                  "generation_config.json", "model.safetensors", "training_args.json"])
@pytest.mark.parametrize("how", ["empty", "half", "noise"])
def test_files_cut_short(broken, name, how):
    path = broken / "checkpoint-4" / name
    data = path.read_bytes()
    path.write_bytes({"empty": b"", "half": data[: len(data) // 2], "noise": os.urandom(200)}[how])
    assert_refused(make(broken), broken, name)


@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "trainer_state.json", "config.json", "generation_config.json",
                                  "model.safetensors"])
def test_files_that_are_gone(broken, name):
    (broken / "checkpoint-4" / name).unlink()
    assert_refused(make(broken), broken, name, "checkpoint-4", kind=OSError)


# --- trainer_state.json -----------------------------------------------------------------------
def changed(path, change):
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


@pytest.mark.parametrize("key,value", [
    ("global_step", None), ("global_step", -1), ("global_step", 2.5), ("global_step", "4"), ("global_step", 10**400), ("log_history", "x"),
    ("log_history", None), ("log_history", [3]), ("log_history", [{"loss": 1}]), ("save_steps", 0), ("save_steps", None),
    ("save_steps", -5), ("logging_steps", "x"), ("logging_steps", [1]), ("eval_steps", 0), ("epoch", "x"), ("epoch", float("inf")),
    ("max_steps", {}), ("num_train_epochs", "3"), ("train_batch_size", 0), ("best_metric", "high"), ("best_global_step", 1.5),
    ("best_model_checkpoint", 7), ("stateful_callbacks", []), ("stateful_callbacks", {"TrainerControl": 3}),
    ("stateful_callbacks", {"TrainerControl": {"args": 1, "attributes": {}}}), ("total_flos", "x"), ("is_world_process_zero", 1),
    ("trial_params", 4), ("trial_name", 4), ("num_input_tokens_seen", None),
])
def test_states_that_make_no_sense(broken, key, value):
    changed(broken / "checkpoint-4/trainer_state.json", lambda d: d.update({key: value}))
    assert_refused(make(broken), broken, "trainer_state.json", key, "should be")


@pytest.mark.parametrize("content", ["null", "5", "[]", "{}", '{"a": 1}', "[" * 5000, '"x"'])
def test_states_of_another_kind(broken, content):
    (broken / "checkpoint-4/trainer_state.json").write_text(content)
    assert_refused(make(broken), broken, "trainer_state.json")


class Counter(T.TrainerCallback, T.ExportableState):
    def __init__(self, start=0):
        self.n = self.start = start

    def on_step_end(self, args, state, control, **kwargs):
        self.n += 1

    def state(self):
        return {"args": {"start": self.start}, "attributes": {"n": self.n}}


@pytest.mark.parametrize("state,says", [
    ({"args": {"start": 0}, "attributes": {"n": "x"}}, "n should be like 0"),
    ({"args": {"start": 0}, "attributes": {}}, "a dict with 'n'"),
    ({"args": {}, "attributes": {"n": 1}}, "a dict with 'start'"),
    ({"args": {"start": 0}}, "stateful_callbacks should be"),
])
def test_states_of_callbacks(broken, state, says):
    changed(broken / "checkpoint-4/trainer_state.json", lambda d: d["stateful_callbacks"].update(Counter=state))
    trainer = make(broken)
    trainer.add_callback(Counter)
    assert_refused(trainer, broken, says)


def test_a_callback_takes_nothing_from_a_file_but_its_state(broken):
    state = {"args": {"start": 1}, "attributes": {"n": 5, "on_step_end": 7, "on_log": None}}
    changed(broken / "checkpoint-4/trainer_state.json", lambda d: d["stateful_callbacks"].update(Counter=state))
    trainer, counter = make(broken), Counter()
    trainer.add_callback(counter)
    trainer.train(resume_from_checkpoint=str(broken / "checkpoint-4"))
    assert counter.n == 9 and vars(counter).keys() == {"n", "start"}


def test_a_file_names_no_folder_but_one_beside_it(broken, tmp_path, caplog):
    "best_model_checkpoint leads to a folder of checkpoints that was moved, and nowhere else"
    secret = shutil.copytree(broken / "checkpoint-8", tmp_path / "elsewhere" / "checkpoint-99")
    path = broken / "checkpoint-4/trainer_state.json"
    for best, found in ((str(secret), None), ("/old/place/checkpoint-8", str(broken / "checkpoint-8")), ("..", None),
                        ("\x1b[31m" * 99, None)):
        changed(path, lambda d: d.update(best_model_checkpoint=best))
        trainer = make(broken, save_strategy="no")
        saved = T.read_checkpoint(trainer, str(broken / "checkpoint-4"))
        assert T.find_best(trainer, saved) == found
        if found is None:
            assert "is not here" in caplog.text and "\x1b" not in caplog.text and len(caplog.text) < 400
        caplog.clear()


# --- weights, config --------------------------------------------------------------------------
def test_weights_of_another_model_change_nothing(broken, tmp_path):
    assert_refused(make(broken, model=GPT2LMHeadModel(GPT2Config(**SIZES | dict(n_embd=4)))), broken, "are not of this GPT2LMHeadModel: of another shape", kind=ValueError)
    tensors = T.read_tensors(str(broken / "checkpoint-4/model.safetensors"))
    tensors = {k: v.clone() for k, v in tensors.items()}
    tensors["transformer.ln_f.weight"][0] = float("nan")
    T.save_tensors(tensors, broken / "checkpoint-4")
    assert_refused(make(broken), broken, "not finite ['transformer.ln_f.weight']", kind=ValueError)
    del tensors["transformer.ln_f.weight"]
    T.save_tensors(tensors, broken / "checkpoint-4")
    assert_refused(make(broken), broken, "missing ['transformer.ln_f.weight']", kind=ValueError)


def test_config_of_another_model(broken):
    changed(broken / "checkpoint-4/config.json", lambda d: d.update(model_type="bert"))
    assert_refused(make(broken), broken, "config.json", "model_type should be 'gpt2'")


# --- optimizer.pt -----------------------------------------------------------------------------
def saved_optimizer(broken, change):
    path = broken / "checkpoint-4/optimizer.pt"
    data = torch.load(path, weights_only=True)
    change(data)
    torch.save(data, path)


def each(name, value):
    def change(data):
        for o in data["state"].values():
            o[name] = value(o[name]) if callable(value) else value
    return change


def option(name, value):
    return lambda data: data["param_groups"][1].update({name: value})


@pytest.mark.parametrize("change,says", [
    (each("exp_avg", torch.zeros(3)), "'exp_avg' should be finite numbers for a parameter of the shape"),
    (each("exp_avg", lambda x: x[..., :1]), "'exp_avg'"),  # killed the process: the fused kernel doesn't look
    (each("exp_avg", lambda x: x * float("nan")), "'exp_avg'"),
    (each("exp_avg_sq", lambda x: -x - 1), "'exp_avg_sq'"),
    (each("exp_avg_sq", lambda x: x + float("inf")), "'exp_avg_sq'"),
    (each("exp_avg", lambda x: x.to_sparse()), "'exp_avg'"),
    (each("exp_avg", lambda x: x.long()), "'exp_avg'"),
    (each("exp_avg", lambda x: x.to("meta")), "'exp_avg'"),
    (each("exp_avg", None), "'exp_avg'"),
    (each("exp_avg", "x"), "'exp_avg'"),
    (each("step", -1), "'step'"),
    (each("step", torch.tensor(float("nan"))), "'step'"),
    (each("step", torch.zeros(2)), "'step'"),
    (each("step", "x"), "'step'"),
    (lambda d: [o.pop("exp_avg") for o in d["state"].values()], "a dict with 'exp_avg'"),
    (lambda d: d["state"].clear(), "'state' should be"),
    (lambda d: d["state"].update({0: 5}), "parameter 0"),
    (lambda d: d["state"].update({999: {}}), "a parameter should be one of the model's"),
    (lambda d: d["state"].update({"x": {}}), "a parameter should be one of the model's"),
    (lambda d: d["param_groups"].pop(), "number of parameters in each group"),
    (lambda d: d["param_groups"][0]["params"].pop(), "number of parameters in each group"),
    (lambda d: d["param_groups"][0]["params"].__setitem__(0, 1), "all different"),
    (option("params", "x"), "param_groups"),
    (option("lr", float("inf")), "'lr'"), (option("lr", -1.0), "'lr'"), (option("lr", "x"), "'lr'"), (option("lr", None), "'lr'"),
    (option("initial_lr", float("nan")), "'initial_lr'"),
    (option("betas", (0.9, 1.5)), "'betas'"), (option("betas", 3), "'betas'"), (option("betas", (0.9,)), "'betas'"),
    (option("eps", float("nan")), "'eps'"), (option("weight_decay", float("inf")), "'weight_decay'"),
    (option("amsgrad", "yes"), "'amsgrad'"), (option("amsgrad", True), "max_exp_avg_sq"),
    (lambda d: d["param_groups"][0].pop("betas"), "'betas'"),
])
def test_optimizers_that_do_not_fit(broken, change, says):
    saved_optimizer(broken, change)
    trainer = make(broken)
    assert_refused(trainer, broken, "optimizer.pt", says)
    (broken / "checkpoint-4/optimizer.pt").unlink()
    assert trainer.train().global_step == 8  # and the Trainer is as good as new


def test_a_second_run_of_a_trainer_keeps_its_optimizer(broken):
    trainer = make(broken, save_strategy="no")
    trainer.train()
    before = copy.deepcopy(trainer.optimizer.state_dict())
    saved_optimizer(broken, option("lr", float("inf")))
    with pytest.raises(FileError, match="'lr'"):
        trainer.train(resume_from_checkpoint=str(broken / "checkpoint-4"))
    after = trainer.optimizer.state_dict()
    assert before["param_groups"] == after["param_groups"]
    assert all(torch.equal(before["state"][k]["exp_avg"], after["state"][k]["exp_avg"]) for k in before["state"])


def test_harmless_differences_are_taken(broken):
    "Other ways to compute, strides, steps as numbers, options that this torch doesn't know"
    def change(data):
        data["param_groups"][0] |= dict(fused=None, foreach=True, capturable=True, differentiable=True, later=3)
        for o in data["state"].values():
            o["step"] = float(o["step"])
            if o["exp_avg"].ndim == 2:
                o["exp_avg"] = o["exp_avg"].t().contiguous().t()
    whole = make(broken, save_strategy="no")
    whole.train(resume_from_checkpoint=str(broken / "checkpoint-4"))
    saved_optimizer(broken, change)
    changed_run = make(broken, save_strategy="no")
    changed_run.train(resume_from_checkpoint=str(broken / "checkpoint-4"))
    assert all(torch.equal(a, b) for a, b in zip(whole.model.parameters(), changed_run.model.parameters()))


@pytest.mark.parametrize("name,extra", [("sgd", None), ("sgd", "momentum=0.9"), ("adagrad", None), ("rmsprop", "momentum=0.5,centered=True"),
                                        ("adamw_torch", "amsgrad=True")])
def test_other_optimizers_resume(tmp_path, name, extra):
    kw = dict(optim=name, optim_args=extra)
    whole = make(tmp_path, **kw)
    whole.train()
    again = make(tmp_path, **kw)
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))
    assert all(torch.equal(a, b) for a, b in zip(whole.model.parameters(), again.model.parameters()))
    if extra:
        saved = torch.load(tmp_path / "checkpoint-4/optimizer.pt", weights_only=True)
        key = [k for k in saved["state"][0] if k != "step"][-1]
        saved["state"][0][key] = torch.full_like(saved["state"][0][key], float("nan"))
        torch.save(saved, tmp_path / "checkpoint-4/optimizer.pt")
        assert_refused(make(tmp_path, **kw), tmp_path, "optimizer.pt", repr(key))


# --- scheduler.pt, rng_state.pth --------------------------------------------------------------
def saved_file(broken, name, change):
    path = broken / "checkpoint-4" / name
    data = T.load_pt(path)
    change(data)
    torch.save(data, path)


@pytest.mark.parametrize("key,value", [
    ("base_lrs", [float("inf")] * 2), ("base_lrs", [0.1]), ("base_lrs", 3), ("base_lrs", [-0.1] * 2), ("_last_lr", [float("nan")] * 2),
    ("_last_lr", []), ("last_epoch", -1), ("last_epoch", "x"), ("last_epoch", None), ("_step_count", 1.5), ("lr_lambdas", [None]),
    ("lr_lambdas", "xx"), ("lr_lambdas", [1, 2]),
])
def test_schedules_that_do_not_fit(broken, key, value):
    saved_file(broken, "scheduler.pt", lambda d: d.update({key: value}))
    assert_refused(make(broken), broken, "scheduler.pt", key)


def test_a_schedule_takes_nothing_that_it_has_not(broken):
    saved_file(broken, "scheduler.pt", lambda d: d.update(step=5, get_lr="x", optimizer=None, verbose=False))
    trainer = make(broken)
    trainer.train(resume_from_checkpoint=str(broken / "checkpoint-4"))
    assert callable(trainer.lr_scheduler.step) and trainer.lr_scheduler.optimizer is trainer.optimizer


NUMPY = np.random.RandomState(0).get_state()


@pytest.mark.parametrize("key,value", [
    ("python", None), ("python", (3, (1, 2), None)), ("python", (3, tuple(range(624)) + (700,), None)), ("python", (3, tuple(range(625)), "x")),
    ("numpy", None), ("numpy", ("MT19937", [1, 2], 3, 0, 0.0)), ("numpy", ("MT19937", [0] * 624, 10**6, 0, 0.0)),
    ("numpy", ("MT19937", [0.5] * 624, 3, 0, 0.0)), ("numpy", ("PCG64", [0] * 624, 3, 0, 0.0)), ("numpy", ("MT19937", [-1] * 624, 3, 0, 0.0)),
    ("cpu", None), ("cpu", torch.zeros(5, dtype=torch.uint8)), ("cpu", torch.zeros(5056)), ("cpu", torch.zeros(5056, dtype=torch.uint8)),
    ("epoch_start", {}), ("pending", 3), ("loop", {}), ("loop", None), ("loop", dict(sum="x", since=0, last=(0, 0), ended=True, place=(0, 0))),
    ("loop", dict(sum=0.0, since=0, last=3, ended=True, place=(0, 0))),
])
def test_randomness_that_makes_no_sense(broken, key, value):
    saved_file(broken, "rng_state.pth", lambda d: d.update({key: value}))
    assert_refused(make(broken), broken, "rng_state.pth", "should be")


def archive(path, payload: bytes):
    "A file as `torch.save` writes it, with a pickle of one's own"
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("rng_state/data.pkl", payload)
        z.writestr("rng_state/version", "3\n")
        z.writestr("rng_state/byteorder", "little")


def text(s):
    return b"X" + struct.pack("<I", len(s)) + s.encode()


def raw(data):
    "Bytes in protocol 2: by way of the one codec that is let through"
    return b"c_codecs\nencode\n" + text(data.decode("latin1")) + text("latin1") + b"\x86R"


def dtype(kind):
    return b"cnumpy\ndtype\n" + text(kind) + b"\x89\x88\x87R(K\x03" + text("|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb"


POINTERS = raw(struct.pack("<Q", 0x4141414141414141) * 624)
HOSTILE = {
    "pointers by the constructor": b"cnumpy\nndarray\n(M\x70\x02\x85" + dtype("O8") + POINTERS + b"tR",
    "pointers by a state": (b"cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + raw(b"b") + b"\x87R(K\x01M\x70\x02\x85"
                            + dtype("O8") + b"\x89" + POINTERS + b"tb"),
    "strings": (b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + raw(b"b") + b"\x87R(K\x01M\x70\x02\x85"
                + dtype("U1") + b"\x89" + POINTERS + b"tb"),
    "a longer shape": (b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + raw(b"b") + b"\x87R(K\x01J\xff\xff\xff\x7f\x85"
                       + dtype("u4") + b"\x89" + raw(b"abcd") + b"tb"),
    "a bare constructor": b"cnumpy\nndarray\nM\x70\x02\x85\x85R",
    "a type": dtype("O8"),
}
PROBE = r'''
import sys, gc, torch
import minihf.trainer as T
try:
    found = T.load_pt(sys.argv[1])
    T.check_randomness(sys.argv[1], found)
except OSError as e:
    print("refused:", e)
gc.collect()
'''


@pytest.mark.parametrize("name", HOSTILE)
def test_arrays_of_pointers_are_refused(broken, tmp_path, name):
    "In a process of its own: NumPy's own constructor, let through, would follow the pointers and die"
    state = (b"\x80\x02}(" + text("python") + b"N" + text("cpu") + b"N" + text("numpy") + b"(" + text("MT19937") + HOSTILE[name]
             + b"K\x01K\x00G" + struct.pack(">d", 0.0) + b"tu.")
    archive(broken / "checkpoint-4/rng_state.pth", state)
    done = subprocess.run([sys.executable, "-c", PROBE, str(broken / "checkpoint-4/rng_state.pth")], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("refused:"), done.stderr
    assert_refused(make(broken), broken, "rng_state.pth")


def test_the_hostile_files_are_real(tmp_path):
    "Without the stand-in the very same file makes an array over its own bytes"
    archive(tmp_path / "x.pt", b"\x80\x02" + HOSTILE["pointers by the constructor"].replace(dtype("O8"), dtype("i8")) + b".")
    array = [np.ndarray, np.dtype, type(np.dtype("i8"))]
    with torch.serialization.safe_globals(array):
        found = torch.load(tmp_path / "x.pt", weights_only=True)
    assert found.dtype == np.int64 and (found == 0x4141414141414141).all()
    with pytest.raises(FileError, match="rng_state|x.pt"):
        T.check_randomness("x.pt", T.load_pt(tmp_path / "x.pt"))


def test_an_old_torch_is_refused(broken, monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.5.1")
    assert_refused(make(broken), broken, "Upgrade torch")


# --- checkpoints of the reference -------------------------------------------------------------
@pytest.mark.parametrize("version", ["4.57.6", "5.23.0"])
def test_runs_of_the_reference_go_on(tmp_path, version):
    "The folders were written by fixtures/checkpoints.py, which also noted how the run went on there"
    folder = shutil.copytree(FIXTURES / f"checkpoint-{version}", tmp_path / "checkpoint-4")
    trainer = make(tmp_path)
    trainer.train(resume_from_checkpoint=str(folder))
    losses = [o["loss"] for o in trainer.state.log_history if "loss" in o]
    expected = json.loads((FIXTURES / "checkpoints.json").read_text())[version]
    assert losses == pytest.approx(expected, abs=6e-5)  # 4.57 rounds to four digits


# --- one folder, two runs ---------------------------------------------------------------------
def test_a_folder_in_use_is_told(tmp_path):
    inner = []

    class Second(T.TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 5:
                trainer.save_model()  # the run's own files are free to be written
                with pytest.raises(BlockingIOError, match="output_dir is in use: another Trainer") as e:
                    make(tmp_path).train()
                assert str(tmp_path) in str(e.value)
                inner.append(make(tmp_path, save_strategy="no").train().global_step)

    trainer = make(tmp_path)
    trainer.add_callback(Second)
    assert trainer.train().global_step == 8 and inner == [8]
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_dir() or p.name.startswith(".")) == ["checkpoint-4", "checkpoint-8"]
    assert make(tmp_path).train().global_step == 8  # it is free again


def hold(folder, ready):
    class Wait(T.TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            ready.set()
            time.sleep(60)
    trainer = make(folder)
    trainer.add_callback(Wait)
    trainer.train()


def test_a_kill_frees_the_folder(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=hold, args=(str(tmp_path), ready))
    process.start()
    assert ready.wait(60)
    with pytest.raises(BlockingIOError, match="in use"):
        make(tmp_path).train()
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert make(tmp_path).train().global_step == 8
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint-4", "checkpoint-8"]


# --- a full disk ------------------------------------------------------------------------------
FULL = r'''
import resource, signal, sys
sys.path.insert(0, sys.argv[1])
from test_trainer_checkpoints import *
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
torch.set_num_threads(1)  # as the tests: sums in the same order

class Fill(T.TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 7:  # from now on no file may be larger than this
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)

trainer = make(sys.argv[2])
trainer.add_callback(Fill)
try:
    trainer.train()
except OSError as e:
    print(e.errno, e)
try:
    trainer.save_model(sys.argv[2] + "/model")
except OSError as e:
    print(e.errno, e)
'''


@pytest.mark.parametrize("limit,fails", [(16000, "optimizer.pt"), (2000, "model.safetensors")])
def test_a_full_disk_is_named_and_leaves_nothing_half_done(tmp_path, limit, fails):
    done = subprocess.run([sys.executable, "-c", FULL, str(Path(__file__).parent), str(tmp_path / "run"), str(limit)],
                          capture_output=True, text=True)
    lines = done.stdout.splitlines()
    first = next(o for o in lines if "checkpoint-8" in o)
    assert first.startswith("27 ") and "File too large" in first and "whole and usable: checkpoint-4" in first, done.stdout + done.stderr
    assert "MB left" in first and str(tmp_path / "run") in first and "inline_container" not in done.stdout
    left = sorted(p.name for p in (tmp_path / "run").iterdir())
    if fails == "model.safetensors":
        assert "model was not written: File too large" in done.stdout and not any((tmp_path / "run/model").iterdir())
        shutil.rmtree(tmp_path / "run/model")
    assert sorted(set(left) - {"model"}) == ["checkpoint-4"]
    again = make(tmp_path / "run")
    again.train(resume_from_checkpoint=True)
    whole = make(tmp_path / "whole")
    whole.train()
    assert all(torch.equal(a, b) for a, b in zip(whole.model.parameters(), again.model.parameters()))
