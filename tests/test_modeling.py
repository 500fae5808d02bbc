"Outputs, loading, saving, tying, resizing: against transformers, and with damaged or missing files."
import copy
import json
import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
import transformers
from torch import nn

import minihf.loading as loading
import minihf.modeling as modeling
import minihf.modeling_outputs as outputs
from minihf.config import BertConfig, GPT2Config
from minihf.loading import LoadReport, Rule
from minihf.modeling import PreTrainedModel, call_layer
from minihf.modeling_outputs import BaseModelOutput, ModelOutput
from minihf.models.bert import BertForMaskedLM, BertModel

TINY = dict(vocab_size=31, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
            max_position_embeddings=20)


def tiny(cls=BertModel, seed=0, **changes):
    torch.manual_seed(seed)
    return cls(BertConfig(**TINY | changes))


def same(a, b):
    a, b = (x.state_dict() if isinstance(x, nn.Module) else x for x in (a, b))
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) and a[k].dtype == b[k].dtype for k in a)


# outputs

NAMES = [n for n in dir(outputs) if isinstance(getattr(outputs, n), type) and issubclass(getattr(outputs, n), ModelOutput)
         and n != "ModelOutput"]


@pytest.mark.parametrize("name", NAMES)
def test_fields_are_the_references(name):
    import dataclasses
    from transformers import modeling_outputs, models

    files = (modeling_outputs, *(getattr(getattr(models, f), f"modeling_{f}") for f in ("albert", "bert", "electra", "gpt2")))
    theirs = next(getattr(f, name) for f in files if hasattr(f, name))
    assert getattr(outputs, name).fields == tuple(f.name for f in dataclasses.fields(theirs))


def test_output_access():
    x, y = torch.zeros(1), torch.ones(2)
    out = BaseModelOutput(attentions=(y,), last_hidden_state=x)
    assert out.last_hidden_state is out["last_hidden_state"] is out[0] is x
    assert out.hidden_states is None and "hidden_states" not in out and out.get("hidden_states") is None
    assert list(out) == list(out.keys()) == ["last_hidden_state", "attentions"] and len(out) == 2
    assert out[1] is out.attentions and out[:1] == (x,) and out[-1] == (y,) and out.to_tuple() == (x, (y,))
    a, b = out.to_tuple()
    out.hidden_states = (x, y)
    assert out["hidden_states"] == (x, y)
    with pytest.raises(KeyError):
        out["logits"]
    with pytest.raises(AttributeError, match="last_hidden_state"):
        out.logits
    with pytest.raises(TypeError, match="logits"):
        BaseModelOutput(logits=x)
    with pytest.raises(TypeError, match="4 values"):
        BaseModelOutput(x, x, x, x)
    assert isinstance(out, dict) and isinstance(BaseModelOutput({"attentions": 1}), dict)


def test_output_copies():
    out = BaseModelOutput(torch.zeros(1), (torch.ones(2),))
    for other in (copy.copy(out), copy.deepcopy(out), pickle.loads(pickle.dumps(out)), type(out)(out)):
        assert type(other) is BaseModelOutput and torch.equal(other.last_hidden_state, out.last_hidden_state)
    from accelerate.utils import convert_outputs_to_fp32, send_to_device

    assert isinstance(send_to_device(out, "cpu"), BaseModelOutput)
    assert convert_outputs_to_fp32(lambda: BaseModelOutput(torch.zeros(1).half()))().last_hidden_state.dtype is torch.float32


def test_output_is_freed_at_once():
    import gc, weakref

    gc.disable()
    try:
        t = torch.zeros(3)
        ref = weakref.ref(t)
        out = BaseModelOutput(t)
        del out, t
        assert ref() is None
    finally:
        gc.enable()


# first weights

@pytest.mark.parametrize("name", ["BertModel", "BertForMaskedLM"])
@pytest.mark.parametrize("changes", [{}, dict(num_hidden_layers=1, initializer_range=0.3), dict(tie_word_embeddings=False)])
def test_first_weights_are_the_references(name, changes):
    import minihf.models.bert as bert

    torch.manual_seed(7)
    ours = getattr(bert, name)(BertConfig(**TINY | changes))
    torch.manual_seed(7)
    theirs = getattr(transformers, name)(transformers.BertConfig(**TINY | changes))
    assert same(ours, theirs.state_dict())


def test_init_law():
    m = tiny(hidden_size=64, vocab_size=500, initializer_range=0.05)
    for name, p in m.named_parameters():
        if "LayerNorm" in name:
            assert bool((p == (1 if name.endswith("weight") else 0)).all())
        elif name.endswith("bias"):
            assert not p.any()
        elif p.numel() > 1000:
            assert abs(p.std().item() - 0.05) < 0.005 and abs(p.mean().item()) < 0.005
    assert not m.embeddings.word_embeddings.weight[0].any()


# there and back

GRID = [dict(), dict(num_hidden_layers=3, type_vocab_size=1), dict(hidden_size=24, num_attention_heads=3, tie_word_embeddings=False)]


@pytest.mark.parametrize("changes", GRID)
@pytest.mark.parametrize("name", ["BertModel", "BertForMaskedLM"])
def test_both_ways(tmp_path, name, changes):
    import minihf.models.bert as bert

    cls, ref = getattr(bert, name), getattr(transformers, name)
    ours, theirs = tiny(cls, 1, **changes), ref(transformers.BertConfig(**TINY | changes))
    theirs.load_state_dict(ours.state_dict())
    ours.save_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs")
    nothing = dict(missing_keys=set(), unexpected_keys=set(), mismatched_keys=set(), error_msgs=[])
    loaded, info = ref.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert same(loaded.state_dict(), ours) and info == nothing
    loaded, info = cls.from_pretrained(tmp_path / "theirs", output_loading_info=True)
    assert same(loaded, theirs.state_dict()) and info == nothing
    assert not loaded.training and loaded.load_report.clean
    a, b = (Path(tmp_path, w, "config.json").read_text() for w in ("ours", "theirs"))
    assert a == b and sorted(os.listdir(tmp_path / "ours")) == ["config.json", "model.safetensors"]
    from minihf.hub import read_tensors

    assert same(*(read_tensors(str(tmp_path / w / "model.safetensors")) for w in ("ours", "theirs")))


def test_base_into_head_and_back(tmp_path, caplog):
    base, head = tiny(), tiny(BertForMaskedLM, 5)
    base.save_pretrained(tmp_path / "base")
    head.save_pretrained(tmp_path / "head")
    with caplog.at_level(logging.WARNING, "minihf"):
        torch.manual_seed(3)
        m, info = BertForMaskedLM.from_pretrained(tmp_path / "base", output_loading_info=True)
    torch.manual_seed(3)
    ref, there = transformers.BertForMaskedLM.from_pretrained(tmp_path / "base", output_loading_info=True)
    assert info == there and same(m, ref.state_dict())
    assert "newly initialised" in caplog.text and "cls.predictions.transform.dense.weight" in caplog.text
    m, info = BertModel.from_pretrained(tmp_path / "head", output_loading_info=True)
    ref, there = transformers.BertModel.from_pretrained(tmp_path / "head", output_loading_info=True)
    assert info == there
    assert not any(bool(p.isnan().any()) for p in m.parameters())
    assert all(torch.equal(p, head.bert.state_dict()[k]) for k, p in m.state_dict().items() if "pooler" not in k)
    assert BertModel.from_pretrained(tmp_path / "head", add_pooling_layer=False).pooler is None


def test_clean_load_is_silent(tmp_path, caplog):
    tiny().save_pretrained(tmp_path)
    with caplog.at_level(logging.DEBUG, "minihf"):
        BertModel.from_pretrained(tmp_path)
    assert not caplog.text


def test_minilm(minilm):
    ours, theirs = BertModel.from_pretrained(minilm), transformers.BertModel.from_pretrained(minilm)
    assert same(ours, theirs.state_dict()) and ours.num_parameters() == theirs.num_parameters() == 22713216
    for kw in (dict(exclude_embeddings=True), dict(only_trainable=True)):
        assert ours.num_parameters(**kw) == theirs.num_parameters(**kw)


def test_legacy_names(tmp_path):
    from minihf.hub import read_tensors, save_tensors

    m = tiny(BertForMaskedLM)
    m.save_pretrained(tmp_path)
    t = {k.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): v.clone()
         for k, v in read_tensors(str(tmp_path / "model.safetensors")).items()}
    t["bert.embeddings.position_ids"] = torch.arange(20)[None]
    assert any("gamma" in k for k in t)
    save_tensors(t, str(tmp_path))
    loaded, info = BertForMaskedLM.from_pretrained(tmp_path, output_loading_info=True)
    assert same(loaded, m) and not info["missing_keys"] and not info["unexpected_keys"]
    torch.save(t, tmp_path / "pytorch_model.bin")
    os.remove(tmp_path / "model.safetensors")
    assert same(BertForMaskedLM.from_pretrained(tmp_path), m)


class Toy(PreTrainedModel):
    "Renames, a buffer that is not saved, a plain tensor, a parameter without an init rule"
    config_class = BertConfig
    weight_rules = (Rule("old", "new"),)

    def __init__(self, config):
        super().__init__(config)
        self.new = nn.Linear(3, 4)
        self.scale = nn.Parameter(torch.full((2,), 2.5))
        self.register_buffer("ramp", torch.arange(4), persistent=False)
        self.register_buffer("kept", torch.arange(3))
        self.plain = torch.ones(2)
        self.post_init()


def test_renames(tmp_path):
    m = Toy(BertConfig())
    m.save_pretrained(tmp_path)
    from minihf.hub import read_tensors

    t = read_tensors(str(tmp_path / "model.safetensors"))
    assert set(t) == {"old.weight", "old.bias", "scale", "kept"}
    back = Toy.from_pretrained(tmp_path)
    assert same(back, m) and torch.equal(back.ramp, torch.arange(4)) and torch.equal(back.plain, torch.ones(2))


def test_own_state_dict(tmp_path):
    m = Toy(BertConfig())
    assert same(Toy.from_pretrained(None, config=BertConfig(), state_dict=m.state_dict()), m)
    torch.save(m.state_dict(), tmp_path / "pytorch_model.bin")
    m.config.save_pretrained(tmp_path)
    assert same(Toy.from_pretrained(tmp_path), m)


def test_new_head_builds_no_second_model(tmp_path, monkeypatch):
    tiny().save_pretrained(tmp_path)
    builds, init = [], BertForMaskedLM.__init__
    monkeypatch.setattr(BertForMaskedLM, "__init__", lambda self, *a: (builds.append(1), init(self, *a))[1])
    BertForMaskedLM.from_pretrained(tmp_path)
    assert len(builds) == 1


def test_what_no_rule_fills_comes_from_the_constructor():
    m = Toy.from_pretrained(None, config=BertConfig(), state_dict={})
    assert torch.equal(m.scale, torch.full((2,), 2.5)) and torch.equal(m.kept, torch.arange(3))
    assert not any(t.is_meta for t in m.state_dict().values()) and m.scale.requires_grad


def test_constructor_that_reads_numbers(tmp_path):
    class Stepwise(Toy):
        def __init__(self, config):
            super().__init__(config)
            self.rates = [x.item() for x in torch.linspace(0, 1, 3)]

    Toy(BertConfig()).save_pretrained(tmp_path)
    assert Stepwise.from_pretrained(tmp_path).rates == [0, 0.5, 1]


def test_empty_building_leaves_other_threads_alone():
    seen, own = [], nn.Linear.reset_parameters
    with loading.Blank(), modeling.Typed(torch.float16):
        t = threading.Thread(target=lambda: seen.append(nn.Linear(3, 3).weight))
        t.start()
        t.join()
        here = nn.Linear(3, 3).weight
        assert here.is_meta and here.dtype is torch.float16 and nn.Linear.reset_parameters is own and torch.get_default_dtype() is torch.float32
    assert not seen[0].is_meta and seen[0].dtype is torch.float32 and 0 < seen[0].abs().max() < 1 and not nn.Linear(3, 3).weight.is_meta


def wrong_layers(stop):
    "What is wrong with layers made in a loop until `stop` is set"
    wrong, n = set(), 0
    while not stop.is_set() or n < 100:
        for layer in (nn.Linear(16, 16), nn.Embedding(9, 16), nn.LayerNorm(16)):
            w, n = layer.weight.detach(), n + 1
            filled = (w == 1).all() if type(layer) is nn.LayerNorm else not w.isnan().any() and 0.01 < w.float().std() < 2
            wrong |= {f"{layer}: {w.dtype}"} if w.dtype is not torch.float32 else set()
            wrong |= {f"{layer}: unfilled"} if w.is_meta or not filled else set()
    return wrong


def test_loading_leaves_the_layers_of_other_threads_alone(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    tiny(BertModel).save_pretrained(tmp_path)
    stop = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        makers = [pool.submit(wrong_layers, stop) for _ in range(2)]
        try:
            for _ in range(40):
                m = BertForMaskedLM.from_pretrained(tmp_path, dtype=torch.bfloat16)
                fresh = BertModel.from_config(BertConfig(**TINY), dtype=torch.bfloat16)
                assert {p.dtype for p in (*m.parameters(), *fresh.parameters())} == {torch.bfloat16}
        finally:
            stop.set()
        assert [m.result() for m in makers] == [set(), set()]


@pytest.mark.parametrize("name", ["BertModel", "BertForMaskedLM"])
def test_first_weights_of_another_type_are_the_references(name):
    import minihf.models.bert as bert

    torch.manual_seed(7)
    ours = getattr(bert, name).from_config(BertConfig(**TINY), dtype="bfloat16")
    torch.manual_seed(7)
    theirs = getattr(transformers, name)._from_config(transformers.BertConfig(**TINY), dtype=torch.bfloat16)
    assert same(ours, theirs.state_dict())


# types, devices, arguments

def test_dtypes(tmp_path):
    m = tiny()
    m.save_pretrained(tmp_path)
    load = BertModel.from_pretrained
    assert load(tmp_path).dtype is torch.float32
    for kw in (dict(dtype="float16"), dict(torch_dtype=torch.float16), dict(dtype=torch.float16, torch_dtype="float32")):
        half = load(tmp_path, **kw)
        assert {p.dtype for p in half.parameters()} == {torch.float16} and half.config.dtype is torch.float16
    half.save_pretrained(tmp_path / "half")
    for dtype in (None, "auto"):
        assert load(tmp_path / "half", dtype=dtype).dtype is transformers.BertModel.from_pretrained(tmp_path / "half", dtype=dtype).dtype is torch.float16
    config = json.loads((tmp_path / "half/config.json").read_text())
    del config["dtype"]
    (tmp_path / "half/config.json").write_text(json.dumps(config))
    assert load(tmp_path / "half").dtype is torch.float16
    assert load(tmp_path / "half", dtype="float32").dtype is torch.float32
    with pytest.raises(ValueError, match="float23"):
        load(tmp_path, dtype="float23")
    with pytest.raises(TypeError, match="dtype"):
        load(tmp_path, dtype=32)
    assert torch.get_default_dtype() is torch.float32


def test_from_config():
    m = BertModel._from_config(BertConfig(**TINY), dtype="bfloat16", attn_implementation="eager")
    assert m.dtype is torch.bfloat16 and m.config._attn_implementation == "eager" and m.training
    assert torch.get_default_dtype() is torch.float32
    torch.manual_seed(2)
    a = BertModel.from_config(BertConfig(**TINY))
    torch.manual_seed(2)
    assert same(a, transformers.BertModel._from_config(transformers.BertConfig(**TINY)).state_dict())


def test_config_arguments(tmp_path):
    tiny().save_pretrained(tmp_path)
    load = BertModel.from_pretrained
    m = load(tmp_path, output_attentions=True, attn_implementation="eager", cache_dir=None)
    assert m.config.output_attentions and m.config._attn_implementation == "eager"
    given = BertConfig.from_pretrained(tmp_path, output_hidden_states=True)
    m = load(tmp_path, config=given)
    assert m.config.output_hidden_states and m.config is not given and given.dtype is torch.float32
    assert load(tmp_path, config=str(tmp_path)).num_parameters() == m.num_parameters()
    with pytest.raises(TypeError, match="nonsense"):
        load(tmp_path, nonsense=3)
    assert load(tmp_path, low_cpu_mem_usage=True, trust_remote_code=False).name_or_path == str(tmp_path)


def test_state_dict_argument(tmp_path):
    a, b = tiny(seed=1), tiny(seed=2)
    a.save_pretrained(tmp_path)
    assert same(BertModel.from_pretrained(tmp_path, state_dict=b.state_dict()), b)
    assert same(BertModel.from_pretrained(None, config=b.config, state_dict=b.state_dict()), b)


def test_device_maps(tmp_path):
    tiny().save_pretrained(tmp_path)
    x = torch.arange(6)[None]
    want = BertModel.from_pretrained(tmp_path)(x)[0]
    for where in ("cpu", torch.device("cpu"), {"": "cpu"}, "auto", {"embeddings": "cpu", "encoder": "cpu", "pooler": "cpu"}):
        m = BertModel.from_pretrained(tmp_path, device_map=where)
        assert torch.equal(m(x)[0], want)
    meta = BertModel.from_pretrained(tmp_path, device_map="meta")
    assert meta.device.type == "meta"
    for wrong in ("toaster", "", -1, 10**30, {"": "toaster"}):
        with pytest.raises(ValueError, match=r"device_map=.* is no device"):
            BertModel.from_pretrained(tmp_path, device_map=wrong)


# shapes

def test_mismatch(tmp_path, caplog):
    tiny(BertForMaskedLM).save_pretrained(tmp_path)
    with pytest.raises(RuntimeError, match=r"(?s)word_embeddings.weight is \[31, 16\] in the file, \[40, 16\].*ignore_mismatched_sizes"):
        BertForMaskedLM.from_pretrained(tmp_path, vocab_size=40)
    torch.manual_seed(0)
    m, info = BertForMaskedLM.from_pretrained(tmp_path, vocab_size=40, ignore_mismatched_sizes=True, output_loading_info=True)
    torch.manual_seed(0)
    ref, there = transformers.BertForMaskedLM.from_pretrained(tmp_path, vocab_size=40, ignore_mismatched_sizes=True, output_loading_info=True)
    assert info["mismatched_keys"] == {(k, tuple(a), tuple(b)) for k, a, b in there["mismatched_keys"]}
    assert same(m, ref.state_dict()) and m.get_output_embeddings().weight is m.get_input_embeddings().weight


def test_two_that_should_be_one(tmp_path, caplog):
    from minihf.hub import read_tensors, save_tensors

    m = tiny(BertForMaskedLM)
    m.save_pretrained(tmp_path)
    t = {k: v.clone() for k, v in read_tensors(str(tmp_path / "model.safetensors")).items()}
    word, head = "bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight"
    save_tensors(t | {head: t[word].clone()}, str(tmp_path))
    loaded = BertForMaskedLM.from_pretrained(tmp_path)
    assert loaded.get_output_embeddings().weight is loaded.get_input_embeddings().weight and loaded.load_report.clean
    save_tensors(t | {head: t[word] + 1}, str(tmp_path))
    with caplog.at_level(logging.WARNING, "minihf"):
        loaded = BertForMaskedLM.from_pretrained(tmp_path)
    assert "tie_word_embeddings=False" in caplog.text and torch.equal(loaded.get_output_embeddings().weight, t[word] + 1)
    loaded.save_pretrained(tmp_path / "again")
    assert head in read_tensors(str(tmp_path / "again/model.safetensors"))
    only = {k: v for k, v in t.items() if k != word} | {head: t[word]}
    save_tensors(only, str(tmp_path))
    assert same(BertForMaskedLM.from_pretrained(tmp_path), m)


# the file and the memory

def test_training_leaves_the_file_alone(tmp_path):
    tiny().save_pretrained(tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()
    m = BertModel.from_pretrained(tmp_path).train()
    old = {k: v.clone() for k, v in m.state_dict().items()}
    opt = torch.optim.SGD(m.parameters(), lr=1.0)
    m(torch.arange(6)[None])[1].sum().backward()
    opt.step()
    assert not torch.equal(m.embeddings.word_embeddings.weight, old["embeddings.word_embeddings.weight"])
    assert (tmp_path / "model.safetensors").read_bytes() == before
    assert same(BertModel.from_pretrained(tmp_path), old)


def test_saving_over_the_folder_it_came_from(tmp_path):
    tiny().save_pretrained(tmp_path)
    m, untouched = (BertModel.from_pretrained(tmp_path) for _ in range(2))
    old = {k: v.clone() for k, v in untouched.state_dict().items()}
    with torch.no_grad():
        m.embeddings.word_embeddings.weight.add_(1)
    m.save_pretrained(tmp_path)
    assert same(BertModel.from_pretrained(tmp_path), m) and same(untouched, old)
    for p in tmp_path.iterdir():
        p.unlink()
    assert same(untouched, old)


def test_nothing_is_copied(tmp_path):
    tiny().save_pretrained(tmp_path)
    from minihf.hub import read_tensors

    tensors = read_tensors(str(tmp_path / "model.safetensors"))
    m = BertModel.from_pretrained(None, config=BertConfig(**TINY), state_dict=tensors)
    assert all(p.data_ptr() == tensors[k].data_ptr() for k, p in m.named_parameters())


def test_copies_of_parts_are_small(tmp_path):
    tiny().save_pretrained(tmp_path)
    m = BertModel.from_pretrained(tmp_path)
    part = copy.deepcopy(m.pooler)
    assert part.dense.bias.untyped_storage().nbytes() == 16 * 4
    assert same(copy.deepcopy(m), m) and same(pickle.loads(pickle.dumps(m)), m)


def test_shards(tmp_path):
    m = tiny(BertForMaskedLM)
    m.save_pretrained(tmp_path)
    m.save_pretrained(tmp_path, max_shard_size="4KB")
    files = sorted(os.listdir(tmp_path))
    assert "model.safetensors" not in files and "model.safetensors.index.json" in files and len(files) > 4
    assert same(BertForMaskedLM.from_pretrained(tmp_path), m)
    assert same(transformers.BertForMaskedLM.from_pretrained(tmp_path).state_dict(), m)
    m.save_pretrained(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["config.json", "model.safetensors"]


KILLED = """
import sys, os, torch
import minihf.hub as hub
from minihf.models.bert import BertForMaskedLM
m = BertForMaskedLM.from_pretrained(sys.argv[1])
torch.nn.init.zeros_(m.get_input_embeddings().weight)
write = hub.write_safetensors
def dying(tensors, path, *rest):
    write(tensors, path, *rest)
    os.truncate(path, os.path.getsize(path) * int(sys.argv[2]) // 100)
    os.kill(os.getpid(), 9)
hub.write_safetensors = dying
m.save_pretrained(sys.argv[1])
"""


@pytest.mark.parametrize("when", [1, 60])  # percent of the file
def test_killed_while_saving(tmp_path, when):
    m = tiny(BertForMaskedLM)
    m.save_pretrained(tmp_path)
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), str(when)])
    assert done.returncode == -signal.SIGKILL
    assert same(BertForMaskedLM.from_pretrained(tmp_path), m)


def test_failing_save_leaves_the_old_files(tmp_path, monkeypatch):
    m = tiny()
    m.save_pretrained(tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    monkeypatch.setattr("minihf.hub.write_safetensors", lambda *a: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        m.save_pretrained(tmp_path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


# damage

def test_missing_and_damaged(tmp_path):
    with pytest.raises(OSError, match="config.json"):
        BertModel.from_pretrained(tmp_path)
    tiny().save_pretrained(tmp_path)
    data = (tmp_path / "model.safetensors").read_bytes()
    for bad in (data[:-7], data[:100], b"", b"\xff" * 50, data + b"more"):
        (tmp_path / "model.safetensors").write_bytes(bad)
        with pytest.raises(OSError, match="model.safetensors"):
            BertModel.from_pretrained(tmp_path)
    os.remove(tmp_path / "model.safetensors")
    with pytest.raises(OSError, match="model.safetensors"):
        BertModel.from_pretrained(tmp_path)


def test_bad_places_to_save(tmp_path):
    (tmp_path / "file").write_text("x")
    m = tiny()
    with pytest.raises(NotADirectoryError, match="file"):
        m.save_pretrained(tmp_path / "file")
    with pytest.raises(OSError):
        m.save_pretrained("/proc/nothing")
    for kw in (dict(push_to_hub=True), dict(safe_serialization=False)):
        with pytest.raises(ValueError, match="safetensors"):
            m.save_pretrained(tmp_path, **kw)
    m.save_pretrained(tmp_path / "new", is_main_process=False)
    assert not (tmp_path / "new").exists()


def test_not_a_config():
    with pytest.raises(TypeError, match=r"BertModel.from_pretrained"):
        BertModel("bert-base-uncased")
    with pytest.raises(ValueError, match="hidden_size"):
        c = BertConfig(**TINY)
        c.hidden_size = 15
        BertModel(c)
    with pytest.raises(TypeError, match="config_class"):
        PreTrainedModel.from_pretrained("nowhere")


# vocabulary

@pytest.mark.parametrize("cls", [BertModel, BertForMaskedLM])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("n, multiple", [(40, None), (20, None), (31, None), (33, 8), (None, 16), (None, None)])
def test_resize(cls, tied, n, multiple):
    ref_cls = getattr(transformers, cls.__name__)
    ours = tiny(cls, 4, tie_word_embeddings=tied)
    theirs = ref_cls(transformers.BertConfig(**TINY | dict(tie_word_embeddings=tied)))
    theirs.load_state_dict(ours.state_dict())
    theirs.tie_weights()
    before = ours.state_dict()
    with torch.no_grad():  # a bias worth keeping
        for m in (ours, theirs):
            if cls is BertForMaskedLM:
                m.cls["predictions"].bias.copy_(torch.arange(31.0)) if m is ours else m.cls.predictions.bias.copy_(torch.arange(31.0))
    torch.manual_seed(0)
    e = ours.resize_token_embeddings(n, pad_to_multiple_of=multiple)
    torch.manual_seed(0)
    f = theirs.resize_token_embeddings(n, pad_to_multiple_of=multiple)
    assert e is ours.get_input_embeddings() and e.num_embeddings == f.num_embeddings == ours.config.vocab_size
    a, b = ours.state_dict(), theirs.state_dict()
    assert {k: v.shape for k, v in a.items()} == {k: v.shape for k, v in b.items()}
    for k in a:
        assert torch.allclose(a[k][:20], b[k][:20]), k
    assert torch.allclose(e.weight, f.weight, atol=1e-4)
    if cls is BertForMaskedLM:
        assert (ours.get_output_embeddings().weight is e.weight) == tied
        assert ours.get_output_embeddings().out_features == e.num_embeddings
    out = ours(torch.arange(5)[None])
    assert (out[0].shape[-1] == ours.config.vocab_size) == (cls is BertForMaskedLM)


def test_resize_options():
    m = tiny(hidden_size=8)
    mean = m.get_input_embeddings().weight.mean(0)
    new = m.resize_token_embeddings(50).weight[31:]
    assert torch.allclose(new, mean.expand_as(new), atol=1e-4)
    new = m.resize_token_embeddings(4000, mean_resizing=False).weight[50:]
    assert abs(new.std().item() - 0.02) < 0.002
    m.get_input_embeddings().weight.requires_grad_(False)
    assert not m.resize_token_embeddings(60).weight.requires_grad
    with pytest.raises(ValueError, match="new_num_tokens"):
        m.resize_token_embeddings(0)


def test_tying_follows_the_embedding():
    m = tiny(BertForMaskedLM)
    new = nn.Embedding(31, 16)
    m.set_input_embeddings(new)
    m.tie_weights()
    assert m.get_output_embeddings().weight is new.weight
    loose = tiny(BertForMaskedLM, tie_word_embeddings=False)
    assert loose.get_output_embeddings().weight is not loose.get_input_embeddings().weight


# training

def test_gradient_checkpointing():
    x, grads = torch.arange(12).reshape(2, 6), []
    for on in (False, True):
        m = tiny(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0).train()
        calls = []
        m.encoder["layer"][0].register_forward_pre_hook(lambda *a: calls.append(1))
        m.gradient_checkpointing_enable() if on else m.gradient_checkpointing_disable()
        m(x)[1].sum().backward()
        grads.append({k: p.grad for k, p in m.named_parameters() if p.grad is not None})
        assert len(calls) == 1 + on
    assert grads[0].keys() == grads[1].keys() and all(torch.allclose(grads[0][k], grads[1][k], atol=1e-6) for k in grads[0])
    m.gradient_checkpointing_enable({"use_reentrant": False})
    m.gradient_checkpointing_disable()
    assert m.gradient_checkpointing is False
    with pytest.raises(ValueError, match="call_layer"):
        Toy(BertConfig()).gradient_checkpointing_enable()


def test_facts():
    m = tiny(BertForMaskedLM)
    assert m.base_model is m.bert and m.bert.base_model is m.bert and m.device.type == "cpu" and m.dtype is torch.float32
    assert m.get_input_embeddings() is m.bert.embeddings.word_embeddings and not m.can_generate()
    for p in m.bert.parameters():
        p.requires_grad_(False)
    ref = transformers.BertForMaskedLM(transformers.BertConfig(**TINY))
    for p in ref.bert.parameters():
        p.requires_grad_(False)
    for kw in ({}, dict(only_trainable=True), dict(exclude_embeddings=True)):
        assert m.num_parameters(**kw) == ref.num_parameters(**kw)


def test_report_reads_well():
    r = LoadReport("M", "x")
    r.unexpected = [f"a.layer.{i}.w" for i in range(12)] + ["b.w"]
    r.missing = ["c.0.w", "c.1.w"]
    assert "a.layer.{0..11}.w" in repr(r) and "c.{0, 1}.w" in repr(r) and "b.w" in repr(r) and not r.clean


def test_no_work_quadratic_in_names():
    "Ten times as many names are about ten times as many calls, not a hundred"
    def count(n):
        class Many(nn.Module):
            base_model_prefix, config, weight_rules = "base", None, (Rule("nothing", None), Rule("x", "y"))

        m = Many()
        m.l = nn.ModuleList(nn.LayerNorm(2) for _ in range(n))
        tensors, calls = {f"base.{k}": v for k, v in m.state_dict().items()}, [0]

        def one_more(*event):
            calls[0] += 1

        sys.setprofile(one_more)
        try:
            found = loading.sort_tensors(m, tensors, LoadReport("", ""))
        finally:
            sys.setprofile(None)
        assert len(found) == 2 * n
        return calls[0]

    assert count(1000) < 12 * count(100)


@pytest.mark.parametrize("name, remedy", [("generate", "AutoModelForCausalLM"), ("chat", "generate"), ("nothing", "no attribute")])
def test_missing_methods_say_what_to_do(name, remedy):
    model = BertModel(BertConfig(hidden_size=8, num_attention_heads=2, num_hidden_layers=1, intermediate_size=8))
    assert not hasattr(model, name)
    with pytest.raises(AttributeError, match=remedy):
        getattr(model, name)
