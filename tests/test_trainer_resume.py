"Checkpoints: whole or not there at all, and a run that goes on from one ends as if it had never stopped."
import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as hf

import minihf.trainer as T
import minihf.training.parts as parts
from minihf.config import BertConfig
from minihf.models.bert import BertForMaskedLM

SIZES = dict(vocab_size=60, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
             max_position_embeddings=32)  # with dropout
g = random.Random(0)
ROWS = [dict(input_ids=[g.randint(5, 59) for _ in range(g.randint(3, 12))]) for _ in range(90)]
KILLS = int(os.environ.get("MINIHF_KILLS", 4))  # 20 for the long form of the test


def collate(rows):
    "Masks with all three sources of randomness"
    most = max(len(o["input_ids"]) for o in rows)
    ids = torch.tensor([o["input_ids"] + [0] * (most - len(o["input_ids"])) for o in rows])
    chosen = torch.rand(ids.shape) < 0.3
    chosen |= torch.from_numpy(np.random.rand(*ids.shape) < 0.1)
    chosen[:, random.randrange(most)] = True
    return dict(input_ids=ids.masked_fill(chosen, 3), labels=ids.masked_fill(~chosen, -100))


def make(folder, callbacks=None, data=ROWS, **kw):
    torch.manual_seed(0)
    base = dict(use_cpu=True, disable_tqdm=True, per_device_train_batch_size=8, num_train_epochs=3, logging_steps=4,
                learning_rate=3e-3, warmup_steps=5, save_steps=5)
    return T.Trainer(BertForMaskedLM(BertConfig(**SIZES)), T.TrainingArguments(str(folder), **base | kw),
                     data_collator=collate, train_dataset=data, eval_dataset=ROWS[:20], callbacks=callbacks)


class Stop(T.TrainerCallback):
    "Ctrl-C after a step"

    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise KeyboardInterrupt


def run(folder, stop=None, resume=None, **kw):
    trainer = make(folder, [Stop(stop)] if stop else None, **kw)
    if stop:
        with pytest.raises(KeyboardInterrupt):
            trainer.train(resume_from_checkpoint=resume)
    else:
        trainer.train(resume_from_checkpoint=resume)
    return trainer


def history(trainer):
    "The log without what a clock said"
    timed = ("runtime", "per_second", "train_loss")
    return [{k: v for k, v in o.items() if not any(t in k for t in timed)} for o in trainer.state.log_history]


def assert_same(a, b):
    assert history(a) == history(b)
    for x, y in zip(a.model.state_dict().values(), b.model.state_dict().values()):
        assert torch.equal(x, y)


@pytest.mark.parametrize("kw,stops", [
    ({}, (6, 13, 35)),
    (dict(gradient_accumulation_steps=3, save_steps=1), (2, 5, 9)),  # unequal pieces at the end of an epoch
    (dict(train_sampling_strategy="group_by_length"), (8,)),  # the order comes from the global randomness
    (dict(eval_strategy="epoch", save_steps=1), (13,)),  # killed between the last step and the end of the epoch
    (dict(save_strategy="epoch", logging_strategy="epoch"), (20,)),
    (dict(eval_strategy="steps", eval_steps=3, save_steps=3, load_best_model_at_end=True), (16,)),
], ids=["steps", "accumulation", "by length", "end of epoch", "epochs", "best"])
def test_resumed_run_equals_an_uninterrupted_one(tmp_path, kw, stops):
    whole = run(tmp_path / "whole", **kw)
    for stop in stops:
        run(tmp_path / str(stop), stop=stop, **kw)
        assert_same(whole, run(tmp_path / str(stop), resume=True, **kw))


def test_stream_resumes(tmp_path):
    class Stream(torch.utils.data.IterableDataset):
        __iter__ = lambda self: iter(ROWS)
    kw = dict(data=Stream(), max_steps=20)
    whole = run(tmp_path / "a", **kw)
    run(tmp_path / "b", stop=16, **kw)
    assert_same(whole, run(tmp_path / "b", resume=True, **kw))


def test_checkpoint_is_readable_and_runs_nothing(tmp_path):
    trainer = run(tmp_path, stop=6)
    folder = tmp_path / "checkpoint-5"
    assert {p.name for p in folder.iterdir()} >= {"config.json", "model.safetensors", "optimizer.pt", "scheduler.pt",
                                                  "rng_state.pth", "trainer_state.json", "training_args.json"}
    assert json.loads((folder / "training_args.json").read_text())["learning_rate"] == 3e-3
    state = json.loads((folder / "trainer_state.json").read_text())
    assert state["global_step"] == 5 and state["log_history"][0]["step"] == 4
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
        torch.load(folder / name, weights_only=True)  # plain data, even for torch's strictest reading
    model = BertForMaskedLM.from_pretrained(folder)
    assert model.config.vocab_size == trainer.model.config.vocab_size
    assert hf.BertForMaskedLM.from_pretrained(folder)
    hf.trainer_callback.TrainerState.load_from_json(str(folder / "trainer_state.json"))


class Evil:
    def __reduce__(self):
        return os.mkdir, (str(Path(os.environ["EVIL"])),)


def test_poisoned_checkpoint_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("EVIL", str(tmp_path / "harm"))
    run(tmp_path / "a", stop=6)
    torch.save({"state": Evil()}, tmp_path / "a/checkpoint-5/optimizer.pt")
    with pytest.raises(OSError, match="optimizer.pt can't be read"):
        make(tmp_path / "a").train(resume_from_checkpoint=True)
    assert not (tmp_path / "harm").exists()


def test_checkpoints_go_over_to_the_reference_and_back(tmp_path):
    def theirs(folder):
        torch.manual_seed(0)
        args = hf.TrainingArguments(str(folder), use_cpu=True, disable_tqdm=True, per_device_train_batch_size=8,
                                    num_train_epochs=3, logging_steps=4, learning_rate=3e-3, warmup_steps=5, save_steps=10,
                                    report_to="none")
        model = hf.BertForMaskedLM(hf.BertConfig(**SIZES, ))
        return hf.Trainer(model, args, data_collator=collate, train_dataset=ROWS)
    whole = run(tmp_path / "ours", save_steps=10)
    a, b = theirs(tmp_path / "theirs"), make(tmp_path / "back", save_steps=10)
    a.train(resume_from_checkpoint=str(tmp_path / "ours/checkpoint-30"))  # theirs goes on from ours
    b.train(resume_from_checkpoint=str(tmp_path / "theirs/checkpoint-36"))  # ours reads theirs: it's at its end
    assert a.state.global_step == b.state.global_step == 36
    assert whole.state.log_history[6]["loss"] == pytest.approx(a.state.log_history[6]["loss"], rel=1e-6)
    for x, y in zip(a.model.state_dict().values(), b.model.state_dict().values()):
        assert torch.equal(x, y)


def test_other_model_or_batch_is_told(tmp_path, caplog):
    run(tmp_path, stop=6)
    trainer = make(tmp_path, per_device_train_batch_size=9)
    trainer.train(resume_from_checkpoint=True)
    assert "batches of 8 rows, now 9" in caplog.text
    trainer.model.bert.encoder = torch.nn.Identity()
    with pytest.raises(ValueError, match="are not of this BertForMaskedLM"):
        trainer.train(resume_from_checkpoint=True)


def test_save_only_model_cannot_be_resumed(tmp_path):
    run(tmp_path, stop=6, save_only_model=True)
    with pytest.raises(FileNotFoundError, match="was written with save_only_model"):
        make(tmp_path).train(resume_from_checkpoint=True)


# --- what can go wrong while writing ----------------------------------------------------------
@pytest.mark.parametrize("what", ["safetensors", "optimizer", "json", "rename"])
def test_full_disk_leaves_the_last_checkpoint_whole(tmp_path, monkeypatch, what):
    full = OSError(28, "No space left on device")
    real = dict(safetensors=parts.save_files, optimizer=torch.save, json=parts.write_json, rename=os.replace)[what]

    def fail(*args, **kwargs):
        if (tmp_path / "checkpoint-5").exists():
            if what == "safetensors":
                real(*args, **kwargs)  # some of it is written
            raise full
        return real(*args, **kwargs)

    where = dict(safetensors=(parts, "save_files"), optimizer=(torch, "save"), json=(parts, "write_json"),
                 rename=(os, "replace"))[what]
    monkeypatch.setattr(*where, fail)
    with pytest.raises(OSError, match="checkpoint-10 was not written.*whole and usable: checkpoint-5") as e:
        make(tmp_path).train()
    assert e.value.errno == 28
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint-5"]
    assert_same(run(tmp_path / "whole"), run(tmp_path, resume=True))


def test_torch_reports_a_full_disk_in_its_own_way(tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "save", lambda *a: (_ for _ in ()).throw(RuntimeError("PytorchStreamWriter failed")))
    with pytest.raises(OSError, match="checkpoint-5 was not written: PytorchStreamWriter failed.*no other yet"):
        make(tmp_path).train()
    assert list(tmp_path.iterdir()) == []


def test_unwritable_folder_is_told_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    trainer = make(tmp_path / "file" / "below")
    with pytest.raises(OSError, match="output_dir can't be written to"):
        trainer.train()
    assert trainer.state.global_step == 0


def test_half_done_folders_are_cleared_away(tmp_path):
    run(tmp_path, stop=11)
    shutil.copytree(tmp_path / "checkpoint-10", tmp_path / ".checkpoint-15.tmp")
    os.rename(tmp_path / "checkpoint-10", tmp_path / ".checkpoint-10.old")  # killed between two renames
    shutil.copytree(tmp_path / "checkpoint-5", tmp_path / ".checkpoint-5.old")
    T.tidy(str(tmp_path))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-5"]
    assert_same(run(tmp_path / "whole"), run(tmp_path, resume=True))


def test_limit_keeps_the_newest_and_the_best(tmp_path):
    for n in (5, 10, 15, 20):
        (tmp_path / f"checkpoint-{n}").mkdir()
        os.utime(tmp_path / f"checkpoint-{n}", ns=(n, n))
    T.rotate_checkpoints(str(tmp_path), 2, os.path.relpath(tmp_path / "checkpoint-5"))  # spelt differently
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint-20", "checkpoint-5"]
    T.rotate_checkpoints(str(tmp_path), None)
    assert len(list(tmp_path.iterdir())) == 2


# --- kill -9 ----------------------------------------------------------------------------------
LONG = dict(save_steps=2, save_total_limit=2, eval_strategy="steps", eval_steps=6, num_train_epochs=4)


def child(folder):
    "Train in a process of its own; its number"
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        sys.stdout = sys.stderr = open(os.devnull, "w")
        trainer = make(folder, **LONG)
        trainer.train(resume_from_checkpoint=T.get_last_checkpoint(str(folder)) is not None)
        code = 0
    finally:
        os._exit(code)


def assert_loadable(folder):
    "Every checkpoint that has its name is whole"
    for path in T.checkpoints(str(folder)):
        BertForMaskedLM.from_pretrained(path)
        for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
            T.load_pt(os.path.join(path, name))
        T.TrainerState.load_from_json(os.path.join(path, "trainer_state.json"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_random_moments(tmp_path):
    start = time.perf_counter()
    whole = make(tmp_path / "whole", **LONG)
    whole.train()
    length, r, kills = time.perf_counter() - start, random.Random(KILLS), 0
    while True:
        pid = child(tmp_path / "killed")
        if kills < KILLS:
            time.sleep(r.uniform(0.02, 0.6) * length)
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        assert_loadable(tmp_path / "killed")
        if os.WIFSIGNALED(status):
            kills += 1
        elif kills >= KILLS:
            assert os.WEXITSTATUS(status) == 0
            break
        else:  # it was quicker than the kill: once more from the beginning
            assert os.WEXITSTATUS(status) == 0
            shutil.rmtree(tmp_path / "killed")
    last = T.get_last_checkpoint(str(tmp_path / "killed"))
    model = BertForMaskedLM.from_pretrained(last)
    for x, y in zip(whole.model.state_dict().values(), model.state_dict().values()):
        assert torch.equal(x, y)
    state = T.TrainerState.load_from_json(os.path.join(last, "trainer_state.json"))
    drop = lambda h: [{k: v for k, v in o.items() if "runtime" not in k and "per_second" not in k} for o in h]
    assert drop(state.log_history) == drop(whole.state.log_history)[:-1]  # the last line is written after it
    assert not [p for p in (tmp_path / "killed").iterdir() if p.name.startswith(".")]
