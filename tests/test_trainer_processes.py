"Two processes on a CPU, by torchrun and by accelerate, with whole models and with shared ones: the same weights as one process."
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from minihf import AutoModel

SCRIPT = r'''
import json, sys, torch
import minihf.trainer as T
from minihf.config import BertConfig, GPT2Config
from minihf.models.bert import BertForSequenceClassification
from minihf.models.gpt2 import GPT2LMHeadModel

torch.set_num_threads(1)
out, rows_per_process = sys.argv[1], int(sys.argv[2])
fsdp = dict(fsdp=True) if "fsdp" in sys.argv else {}
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
                               per_device_eval_batch_size=rows_per_process, logging_steps=2, save_steps=3, learning_rate=1e-2, disable_tqdm=True, **kw, **fsdp)
    metrics = accuracy if name == "classifier" else None
    trainer = T.Trainer(model, args, train_dataset=rows, eval_dataset=rows[:21], compute_metrics=metrics)
    trainer.train()
    again = T.Trainer(model, args, train_dataset=rows, eval_dataset=rows[:21], compute_metrics=metrics)
    again.train(resume_from_checkpoint=f"{out}/{name}/checkpoint-3")
    found = again.evaluate()
    found["pieces"] = any(hasattr(p, "full_tensor") for p in again.model.parameters())
    again.save_model(f"{out}/{name}/saved")  # all take part
    if args.process_index == 0:
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


GO_ON = r'''
args = T.TrainingArguments(out, use_cpu=True, per_device_train_batch_size=6, max_steps=6, logging_steps=2, learning_rate=1e-2,
                           disable_tqdm=True, save_strategy="no")
model = GPT2LMHeadModel.from_pretrained(sys.argv[3])
trainer = T.Trainer(model, args, train_dataset=written)
trainer.train(resume_from_checkpoint=sys.argv[3])
print(json.dumps([o["loss"] for o in trainer.state.log_history if "loss" in o]))
'''
CONFIG = """
compute_environment: LOCAL_MACHINE
distributed_type: FSDP
fsdp_config:
  fsdp_version: 2
  fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP
  fsdp_transformer_layer_cls_to_wrap: BertLayer,GPT2Block
  fsdp_reshard_after_forward: true
  fsdp_state_dict_type: FULL_STATE_DICT
num_machines: 1
num_processes: 2
mixed_precision: 'no'
use_cpu: false
"""
SEVERAL = ("two", "launched", "fsdp", "launched-fsdp")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    "The folders of a run with one process and of runs with two"
    home = tmp_path_factory.mktemp("processes")
    (home / "script.py").write_text(SCRIPT)
    env = {**os.environ, "OMP_NUM_THREADS": "1", "TRANSFORMERS_VERBOSITY": "error"}
    (home / "fsdp.yaml").write_text(CONFIG)
    two = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=0", "--standalone"]
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--main_process_port=0"]
    plain = [*launch, "--multi_gpu", "--num_processes=2", "--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no"]
    ways = [("one", [sys.executable], 6, []), ("two", two, 3, []), ("launched", plain, 3, []), ("fsdp", two, 3, ["fsdp"]),
            ("launched-fsdp", [*launch, f"--config_file={home / 'fsdp.yaml'}"], 3, [])]
    for name, how, rows, more in ways:
        (home / name).mkdir()
        done = subprocess.run([*how, str(home / "script.py"), str(home / name), str(rows), *more], env=env,
                              capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr[-3000:]
    return home


@pytest.mark.parametrize("way", SEVERAL)
@pytest.mark.parametrize("name", ["classifier", "causal"])
def test_two_processes_train_as_one(runs, name, way):
    one, two = (json.loads((runs / k / f"{name}.json").read_text()) for k in ("one", way))
    assert (one["world"], two["world"]) == (1, 2)
    assert two["pieces"] == ("fsdp" in way) and not one["pieces"]
    assert two["log"] == pytest.approx(one["log"], rel=1e-4)
    assert two["eval_loss"] == pytest.approx(one["eval_loss"], rel=0.05)  # means of other groups of rows
    if name == "classifier":
        assert two["eval_accuracy"] == one["eval_accuracy"] and two["eval_n"] == one["eval_n"] == 21
    a, b = (AutoModel.from_pretrained(runs / k / name / "saved").state_dict() for k in ("one", way))
    for key in a:
        torch.testing.assert_close(a[key], b[key], atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("way", SEVERAL)
def test_checkpoint_of_two_processes_is_whole(runs, way):
    folder = runs / way / "classifier/checkpoint-6"
    names = {p.name for p in Path(folder).iterdir()}
    assert {"rng_state_0.pth", "rng_state_1.pth", "model.safetensors", "trainer_state.json"} <= names
    assert not [p for p in folder.parent.iterdir() if p.name.startswith(".")]
    for name, kind in (("classifier", "BertForSequenceClassification"), ("causal", "GPT2LMHeadModel")):
        for part in ("checkpoint-6", "saved"):
            one, two = (runs / k / name / part for k in ("one", way))
            assert json.loads((two / "config.json").read_text()) == json.loads((one / "config.json").read_text())
            assert json.loads((two / "config.json").read_text())["architectures"] == [kind]
            a, b = (load_file(k / "model.safetensors") for k in (one, two))
            assert a.keys() == b.keys() and all(a[k].shape == b[k].shape for k in a)


@pytest.mark.parametrize("way", SEVERAL)
def test_a_run_of_two_processes_goes_on_in_one(runs, way, tmp_path):
    "Optimizer, schedule and weights are whole tensors, whoever reads them"
    import shutil

    folder = shutil.copytree(runs / way / "causal/checkpoint-3", tmp_path / "checkpoint-3")
    torch.load(folder / "optimizer.pt", weights_only=True)
    script = runs / "script.py"
    code = script.read_text().split("def go(")[0] + GO_ON
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path), "6", str(folder)], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    log = json.loads(done.stdout.splitlines()[-1])
    whole = json.loads((runs / "one/causal.json").read_text())["log"]
    assert log[-1] == pytest.approx(whole[-1], rel=1e-4)  # the line before has what each process had seen of it
