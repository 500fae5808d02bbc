"Two processes on a CPU, started by torchrun: the same weights as one process with batches of twice the size."
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = r'''
import json, sys, torch
import minihf.trainer as T
from minihf.config import BertConfig, GPT2Config
from minihf.models.bert import BertForSequenceClassification
from minihf.models.gpt2 import GPT2LMHeadModel

torch.set_num_threads(1)
out, rows_per_process = sys.argv[1], int(sys.argv[2])
g = torch.Generator().manual_seed(0)
rows = []
for i in range(60):
    ids = torch.randint(5, 50, (8,), generator=g).tolist()
    rows.append(dict(input_ids=ids, labels=int(ids[0] % 2), attention_mask=[1] * 8))
written = [dict(input_ids=o["input_ids"], labels=o["input_ids"][:3 + i % 5] + [-100] * (5 - i % 5)) for i, o in enumerate(rows)]

def accuracy(p):
    return {"accuracy": float((p.predictions.argmax(-1) == p.label_ids).mean()), "n": len(p.label_ids)}

def go(name, model, rows, **kw):
    args = T.TrainingArguments(f"{out}/{name}", use_cpu=True, per_device_train_batch_size=rows_per_process, max_steps=6,
                               per_device_eval_batch_size=rows_per_process, logging_steps=2, save_steps=3, learning_rate=1e-2, disable_tqdm=True, **kw)
    metrics = accuracy if name == "classifier" else None
    trainer = T.Trainer(model, args, train_dataset=rows, eval_dataset=rows[:21], compute_metrics=metrics)
    trainer.train()
    again = T.Trainer(model, args, train_dataset=rows, eval_dataset=rows[:21], compute_metrics=metrics)
    again.train(resume_from_checkpoint=f"{out}/{name}/checkpoint-3")
    found = again.evaluate()
    if args.process_index == 0:
        torch.save(model.state_dict(), f"{out}/{name}.pt")
        log = [o["loss"] for o in again.state.log_history if "loss" in o]
        json.dump(dict(log=log, world=args.world_size, **found), open(f"{out}/{name}.json", "w"))

sizes = dict(vocab_size=50, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)
torch.manual_seed(0)
go("classifier", BertForSequenceClassification(BertConfig(**sizes)), rows)
torch.manual_seed(0)
gpt2 = GPT2Config(vocab_size=50, n_embd=16, n_layer=2, n_head=2, n_positions=16, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0)
go("causal", GPT2LMHeadModel(gpt2), written)
if torch.distributed.is_initialized():
    torch.distributed.destroy_process_group()
'''


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    "The folders of a run with one process and of one with two"
    home = tmp_path_factory.mktemp("processes")
    (home / "script.py").write_text(SCRIPT)
    env = {**os.environ, "OMP_NUM_THREADS": "1", "TRANSFORMERS_VERBOSITY": "error"}
    two = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=0", "--standalone"]
    for name, how, rows in (("one", [sys.executable], 6), ("two", two, 3)):
        (home / name).mkdir()
        done = subprocess.run([*how, str(home / "script.py"), str(home / name), str(rows)], env=env,
                              capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr[-3000:]
    return home


@pytest.mark.parametrize("name", ["classifier", "causal"])
def test_two_processes_train_as_one(runs, name):
    import json

    one, two = (json.loads((runs / k / f"{name}.json").read_text()) for k in ("one", "two"))
    assert (one["world"], two["world"]) == (1, 2)
    assert two["log"] == pytest.approx(one["log"], rel=1e-4)
    assert two["eval_loss"] == pytest.approx(one["eval_loss"], rel=0.05)  # means of other groups of rows
    if name == "classifier":
        assert two["eval_accuracy"] == one["eval_accuracy"] and two["eval_n"] == one["eval_n"] == 21
    a, b = (torch.load(runs / k / f"{name}.pt", weights_only=True) for k in ("one", "two"))
    for key in a:
        torch.testing.assert_close(a[key], b[key], atol=2e-4, rtol=1e-3)


def test_checkpoint_of_two_processes_is_whole(runs):
    folder = runs / "two/classifier/checkpoint-6"
    names = {p.name for p in Path(folder).iterdir()}
    assert {"rng_state_0.pth", "rng_state_1.pth", "model.safetensors", "trainer_state.json"} <= names
    assert not [p for p in (runs / "two/classifier").iterdir() if p.name.startswith(".")]
