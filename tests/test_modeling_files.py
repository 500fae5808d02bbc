"Arguments of `from_pretrained` and `save_pretrained` against the reference's, saving against kills, loading without dynamo."
import inspect
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
import transformers

import minihf
from minihf import hub, loading, modeling
from minihf.config import BertConfig, GPT2Config
from minihf.models.bert import BertForMaskedLM, BertModel
from minihf.models.gpt2 import GPT2LMHeadModel

TINY = dict(vocab_size=31, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, max_position_embeddings=20)
TINY_GPT2 = dict(vocab_size=31, n_embd=16, n_layer=2, n_head=2, n_positions=20, bos_token_id=0, eos_token_id=0)


@pytest.fixture
def bert(tmp_path):
    torch.manual_seed(0)
    model = BertModel(BertConfig(**TINY))
    model.save_pretrained(tmp_path)
    return model


@pytest.fixture
def gpt2(tmp_path):
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(**TINY_GPT2)).eval()
    model.save_pretrained(tmp_path)
    return model


def same(a, b):
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def reference_arguments(function):
    "The names that a function of the reference takes, its keyword arguments included"
    source = inspect.getsource(function)
    names = set(re.findall(r'kwargs\.(?:pop|get)\("(\w+)"', source))
    names |= {n for group in re.findall(r"for name in \[(.*?)\]", source, re.S) for n in re.findall(r'"(\w+)"', group)}
    return names | set(inspect.signature(function).parameters) - {"cls", "self", "kwargs", "model_args"}


def test_every_argument_of_loading_is_known():
    names = reference_arguments(transformers.PreTrainedModel.from_pretrained.__func__)
    names |= reference_arguments(transformers.PreTrainedModel._from_config.__func__)
    assert len(names) > 45 and {"tp_plan", "mirror", "variant", "experts_implementation"} <= names
    ours = {*inspect.signature(loading.from_pretrained).parameters, *hub.HUB_ARGS, *loading.IGNORED, *loading.ELSEWHERE, "attn_implementation"}
    assert names - ours == set()


@pytest.mark.parametrize("name", loading.ELSEWHERE)
def test_what_is_not_here_is_refused_by_name(tmp_path, bert, name):
    load = BertModel.from_pretrained
    with pytest.raises(ValueError, match=f"{name}='x' is not in minihf"):
        load(tmp_path, **{name: "x"})
    with pytest.raises(ValueError, match=name):
        minihf.AutoModel.from_pretrained(tmp_path, **{name: {"x": 1}})
    assert same(load(tmp_path, **{name: None}), bert) and same(load(tmp_path, **{name: False}), bert)


def test_arguments_of_old_scripts_have_no_effect(tmp_path, bert):
    assert same(BertModel.from_pretrained(tmp_path, **dict.fromkeys(loading.IGNORED, True)), bert)


def test_unknown_arguments_are_named(tmp_path, bert):
    load = BertModel.from_pretrained
    for name, near in (("dtyp", "dtype"), ("use_safetensor", "use_safetensors"), ("revison", "revision"), ("output_attention", "output_attentions"),
                       ("add_poling_layer", "add_pooling_layer"), ("local_file_only", "local_files_only")):
        with pytest.raises(TypeError, match=f"no argument '{name}'; did you mean '{near}'"):
            load(tmp_path, **{name: True})
    with pytest.raises(TypeError, match="'output_attentions' is the config's"):
        load(tmp_path, config=bert.config, output_attentions=True)
    with pytest.raises(TypeError, match="no argument 'zzz'"):
        BertModel.from_config(bert.config, zzz=1)
    for wrong in ({"a": 5}, {"(": "b"}, {5: "a"}):
        with pytest.raises(ValueError, match="key_mapping: "):
            load(tmp_path, key_mapping=wrong)
    with pytest.raises(TypeError, match=r"state_dict\['a'\] should be a tensor, not int"):
        load(None, config=bert.config, state_dict={"a": 1})
    with pytest.raises(ValueError, match="weights_only=False would run code"):
        load(tmp_path, weights_only=False)


@pytest.mark.parametrize("name, value", [
    ("pretrained_model_name_or_path", 5), ("state_dict", "x"), ("dtype", 32), ("device_map", 1.5), ("max_memory", 3), ("use_safetensors", "yes"),
    ("variant", 16), ("disable_mmap", "no"), ("key_mapping", ["a"]), ("ignore_mismatched_sizes", 1), ("output_loading_info", "x"), ("config", 3.0)])
def test_wrong_types_are_named(tmp_path, bert, name, value):
    with pytest.raises(TypeError, match=f"from_pretrained: {name} should be"):
        BertModel.from_pretrained(**{"pretrained_model_name_or_path": tmp_path, name: value})


def test_which_files(tmp_path, bert):
    load = BertModel.from_pretrained
    torch.save({k: t + 1 for k, t in bert.state_dict().items()}, tmp_path / "pytorch_model.bin")
    plus = {k: t + 1 for k, t in bert.state_dict().items()}
    assert same(load(tmp_path), bert) and same(load(tmp_path, use_safetensors=True), bert)
    by_bin = load(tmp_path, use_safetensors=False).state_dict()
    assert all(torch.equal(by_bin[k], plus[k]) for k in plus)
    half = load(tmp_path, dtype="float16")
    written = half.save_pretrained(tmp_path, variant="fp16")
    assert "model.fp16.safetensors" in os.listdir(tmp_path) and written is None
    assert same(load(tmp_path, variant="fp16", dtype="float16"), half)
    theirs = transformers.BertModel.from_pretrained(tmp_path, variant="fp16", dtype=torch.float16)
    assert all(torch.equal(t, half.state_dict()[k]) for k, t in theirs.state_dict().items())
    os.remove(tmp_path / "model.safetensors")
    with pytest.raises(FileNotFoundError, match="model.safetensors"):
        load(tmp_path, use_safetensors=True)
    with pytest.raises(FileNotFoundError, match="fp32"):
        load(tmp_path, variant="fp32")


def test_a_file_in_place_of_a_folder(tmp_path, gpt2):
    file = str(tmp_path / "model.safetensors")
    with pytest.raises(OSError, match="give the folder"):
        GPT2LMHeadModel.from_pretrained(file)
    assert same(GPT2LMHeadModel.from_pretrained(file, config=gpt2.config), gpt2)
    with pytest.raises(ValueError, match="needs config= and state_dict="):
        GPT2LMHeadModel.from_pretrained(None)


@pytest.mark.parametrize("dtype", [torch.int8, "int8", torch.bool, torch.complex64])
def test_weights_are_floats(tmp_path, bert, dtype):
    with pytest.raises(ValueError, match=r"dtype=torch\.\w+: weights are loaded as floats"):
        BertModel.from_pretrained(tmp_path, dtype=dtype)
    with pytest.raises(ValueError, match=r"dtype=torch\.\w+: weights are loaded as floats"):
        BertModel.from_config(bert.config, dtype=dtype)


def test_quantised_checkpoints_are_refused(tmp_path, bert):
    data = json.loads((tmp_path / "config.json").read_text()) | {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}
    (tmp_path / "config.json").write_text(json.dumps(data))
    for load in (BertModel.from_pretrained, minihf.AutoModel.from_pretrained):
        with pytest.raises(ValueError, match="quantised.*bitsandbytes"):
            load(tmp_path)


def test_names_are_mapped_as_in_the_reference(tmp_path, bert):
    strange = {f"old.{k}".replace("encoder.layer", "blocks"): t.clone() for k, t in bert.state_dict().items()}
    hub.save_tensors(strange, tmp_path)
    mapping = {r"^old\.": "", r"blocks\.(\d+)": r"encoder.layer.\1"}
    theirs = transformers.BertModel.from_pretrained(tmp_path, key_mapping=mapping)
    ours, info = BertModel.from_pretrained(tmp_path, key_mapping=mapping, output_loading_info=True)
    assert same(ours, bert) and same(ours, theirs) and not info["missing_keys"] and not info["unexpected_keys"]


def test_memory_mapping_can_be_switched_off(tmp_path, bert):
    def mapped(model):
        p = model.embeddings.word_embeddings.weight.data_ptr()
        spans = (line.split() for line in open("/proc/self/maps") if "model.safetensors" in line)
        return any(int(a, 16) <= p < int(b, 16) for a, b in (s[0].split("-") for s in spans))

    assert mapped(BertModel.from_pretrained(tmp_path)) and not mapped(BertModel.from_pretrained(tmp_path, disable_mmap=True))


def test_settings_for_writing(tmp_path, gpt2):
    config = minihf.GenerationConfig(max_new_tokens=3, eos_token_id=5)
    model = GPT2LMHeadModel.from_pretrained(tmp_path, generation_config=config)
    assert model.generation_config.max_new_tokens == 3 and model.generation_config is not config
    assert model.generate(torch.tensor([[1, 2]]), pad_token_id=0).shape[1] <= 5
    with pytest.raises(ValueError, match="can't write"):
        BertModel.from_pretrained("minihf/tiny-bert", generation_config=config)


def test_state_dicts_there_and_back():
    torch.manual_seed(0)
    ours = GPT2LMHeadModel(GPT2Config(**TINY_GPT2))
    theirs = transformers.GPT2LMHeadModel(transformers.GPT2Config(**TINY_GPT2))
    a, b = ours.state_dict(), theirs.state_dict()
    assert {k: t.shape for k, t in a.items()} == {k: t.shape for k, t in b.items()}
    ours.load_state_dict(b)
    assert same(ours, theirs)
    theirs.load_state_dict(a)
    for p in ours.parameters():
        torch.nn.init.normal_(p)
    theirs.load_state_dict(ours.state_dict())
    assert same(ours, theirs)


# device maps

def test_device_maps_with_devices_can_be_saved(tmp_path, bert):
    cpu, x = torch.device("cpu"), torch.arange(6)[None]
    parts = {"embeddings": cpu, "encoder": "cpu", "pooler": cpu}
    for i, where in enumerate([cpu, {"": cpu}, parts, {**parts, "encoder": "disk"}]):
        model = BertModel.from_pretrained(tmp_path, device_map=where, offload_folder=tmp_path / "aside")
        assert torch.equal(model(x)[0], bert.eval()(x)[0])
        model.save_pretrained(tmp_path / str(i))
        assert same(BertModel.from_pretrained(tmp_path / str(i)), bert)
    with pytest.raises(ValueError, match="meta.*no numbers"):
        BertModel.from_pretrained(tmp_path, device_map="meta").save_pretrained(tmp_path / "meta")
    assert not (tmp_path / "meta").exists()


# arguments of saving

def test_every_argument_of_saving_is_known():
    names = reference_arguments(transformers.PreTrainedModel.save_pretrained)
    assert {"distributed_checkpoint", "variant", "repo_id", "create_pr"} <= names
    assert names - {*inspect.signature(loading.save_pretrained).parameters, *loading.UPLOADS} == set()


def test_saving_refuses_by_name(tmp_path, bert):
    before = {n: (tmp_path / n).read_bytes() for n in os.listdir(tmp_path)}
    for error, match, how in [
            (TypeError, "is_main_proces'; did you mean 'is_main_process'", dict(is_main_proces=False)), (TypeError, "no argument 'zzz'", dict(zzz=1)),
            (ValueError, "distributed_checkpoint", dict(distributed_checkpoint=True)), (ValueError, "push_to_hub", dict(push_to_hub=True)),
            (TypeError, r"state_dict\['a'\] should be a tensor, not int", dict(state_dict={"a": 1})), (TypeError, "state_dict should be", dict(state_dict=[1])),
            (ValueError, "variant", dict(variant="../x")), (ValueError, "max_shard_size", dict(max_shard_size="many")), (TypeError, "max_shard_size", dict(max_shard_size=[1]))]:
        with pytest.raises(error, match=match):
            bert.save_pretrained(tmp_path, **how)
    for wrong in (None, 5, ["x"]):
        with pytest.raises(TypeError, match="save_directory should be"):
            bert.save_pretrained(wrong)
    bert.save_pretrained(tmp_path, **dict.fromkeys(loading.UPLOADS, "x"))
    assert {n: (tmp_path / n).read_bytes() for n in os.listdir(tmp_path) if n in before} == before


def test_names_of_the_file_or_of_the_model(tmp_path):
    class Renamed(BertModel):
        weight_rules = (loading.Rule("old", "pooler"),)

    model = Renamed(BertConfig(**TINY))
    for original, name in ((True, "old.dense.weight"), (False, "pooler.dense.weight")):
        model.save_pretrained(tmp_path, save_original_format=original)
        assert name in hub.read_tensors(tmp_path / "model.safetensors")
        assert same(Renamed.from_pretrained(tmp_path), model)


# saving is one burst

PAIRS = """
import os, random, sys, time, torch
torch.set_num_threads(1)
from minihf.config import BertConfig
from minihf.models.bert import BertForMaskedLM
folder = sys.argv[1]
def make(n):
    m = BertForMaskedLM(BertConfig(vocab_size=31, hidden_size=16 * n, num_hidden_layers=n, num_attention_heads=2, intermediate_size=24, number=n))
    for p in m.parameters():
        torch.nn.init.constant_(p, n)
    return m
models = {n: make(n) for n in (1, 2, 3)}
def save(n):
    models[n].save_pretrained(folder, max_shard_size=["50GB", "2KB", "9KB"][n - 1])
def check():
    m, info = BertForMaskedLM.from_pretrained(folder, output_loading_info=True)
    assert not any(info.values()) and {p.unique().item() for p in m.parameters()} == {m.config.number}, info
def child(work):
    pid = os.fork()
    if not pid:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return pid
save(1)
def for_ever():
    while True:
        for n in models:
            save(n)
"""
KILLS = PAIRS + """
r = random.Random(0)
for i in range(25):
    pid = child(for_ever)
    time.sleep(r.uniform(0.005, 0.1))
    os.kill(pid, 9)
    assert os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    check()
save(2)
check()
print(*sorted(o for o in os.listdir(folder) if o.endswith(".tmp")))
"""
TURNS = PAIRS + """
def twenty(first):
    for i in range(20):
        save((first + i) % 3 + 1)
pids = [child(lambda: twenty(first)) for first in (0, 1)]
assert [os.waitpid(p, 0)[1] for p in pids] == [0, 0]
check()
"""


@pytest.mark.parametrize("script", [KILLS, TURNS], ids=["kills", "turns"])
def test_a_folder_holds_one_model(tmp_path, script):
    "Killed at any moment, or written by two processes: config, index and shards belong together"
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert not done.stdout.strip()  # nothing that the killed ones left


# starting

COLD = """
import sys
from minihf import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
from minihf.models.gpt2 import GPT2LMHeadModel
for name, auto in (("minihf/tiny-gpt2", AutoModelForCausalLM), ("minihf/tiny-bert", AutoModelForSequenceClassification)):
    tokenizer, model = AutoTokenizer.from_pretrained(name), auto.from_pretrained(name)
    batch = tokenizer("a first text", return_tensors="pt")
    model.generate(**batch, max_new_tokens=3) if model.can_generate() else model(**batch)
GPT2LMHeadModel.from_config(model.config.__class__ and __import__("minihf").GPT2Config(n_layer=1, n_embd=8, n_head=2, vocab_size=20))
print(sorted(m for m in sys.modules if m in ("torch._dynamo", "torch._inductor", "sympy")))
"""


def test_a_cold_start_loads_no_compiler():
    done = subprocess.run([sys.executable, "-c", COLD], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and done.stdout.strip() == "[]", done.stdout + done.stderr


def test_constructors_may_calculate():
    "What a model computes while it is made is there at once, of the right type, without a second model"
    class Rotary(modeling.PreTrainedModel):
        config_class, built = BertConfig, 0

        def __init__(self, config):
            super().__init__(config)
            type(self).built += 1
            self.words = torch.nn.Embedding(5, 4)
            self.register_buffer("speed", 1 / 10 ** (torch.arange(0, 4, 2) / 4), persistent=False)
            self.scale = torch.nn.Parameter(torch.ones(3) * 2)
            self.steps = (torch.eye(2) + 1).tril()
            self.post_init()

    def build(dtype):
        return Rotary.from_pretrained(None, config=BertConfig(), state_dict={"words.weight": torch.zeros(5, 4)}, dtype=dtype)

    for dtype in (torch.float32, torch.bfloat16):
        m = build(dtype)
        assert {t.dtype for t in (m.speed, m.scale, m.steps, m.words.weight)} == {dtype}
        assert torch.allclose(m.speed.float(), torch.tensor([1, 10**-0.5]), rtol=0.01) and torch.equal(m.scale, torch.full((3,), 2.0, dtype=dtype))
        assert m.scale.requires_grad and torch.equal(m.steps, torch.tensor([[2.0, 0], [1, 2]], dtype=dtype))
    assert Rotary.built == 2


# sizes

@pytest.mark.parametrize("changes", [dict(num_hidden_layers=10**6), dict(vocab_size=10**12), dict(hidden_size=10**7)], ids=str)
def test_huge_models_are_refused_at_once(tmp_path, bert, changes):
    config = BertConfig(**TINY | changes)
    for build in (BertModel, BertModel.from_config, minihf.AutoModel.from_config):
        with pytest.raises(ValueError, match=next(iter(changes))):
            build(config)
    with pytest.raises(ValueError, match=next(iter(changes))):
        BertModel.from_pretrained(tmp_path, **changes)
    with torch.device("meta"):
        assert BertModel(BertConfig(**TINY | dict(vocab_size=10**9))).embeddings.word_embeddings.weight.shape == (10**9, 16)


# odd calls

def encoded(**how):
    return minihf.AutoTokenizer.from_pretrained("minihf/tiny-bert")("a", **how)


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_inputs_of_the_wrong_kind_are_named(family):
    model = BertModel(BertConfig(vocab_size=5000, **{k: v for k, v in TINY.items() if k != "vocab_size"})) if family == "bert" else \
        GPT2LMHeadModel(GPT2Config(**TINY_GPT2))
    model.eval()
    ids = torch.tensor([[1, 2, 3]])
    cases = [((x,), {}, rf"input_ids.*{kind}.*return_tensors") for x, kind in (("a text", "str"), (5, "int"), ([[1, 2]], "list"), (np.array([[1, 2]]), "ndarray"),
                                                                            (encoded(), "BatchEncoding"), ({"input_ids": ids}, "dict"))]
    cases += [((), encoded(), r"should be Tensor or None, not .*\(list\).*return_tensors"),
              ((ids.float(),), {}, r"input_ids .*torch.float32.*input_ids.long\(\)"), ((ids == 1,), {}, r"input_ids .*torch.bool.*input_ids.long\(\)"),
              ((ids,), dict(token_type_ids=ids * 0.0), r"token_type_ids .*torch.float32.*token_type_ids.long\(\)"), ((ids,), dict(attention_mask=[[1, 1, 1]]), "attention_mask.*return_tensors"),
              ((), dict(inputs_embeds=[[1.0]]), r"inputs_embeds should be Tensor or None, not .*torch.tensor\(inputs_embeds\)"), ((ids,), dict(position_ids="x"), "position_ids")]
    for args, kwargs, match in cases:
        with torch.no_grad(), pytest.raises(TypeError, match=f"(?s){match}"):
            model(*args, **kwargs)
    with pytest.raises((TypeError, ValueError), match=r"input_ids.*\(3,\).*input_ids\[None\]"):
        model(ids[0])
    with pytest.raises(ValueError, match="give input_ids or inputs_embeds"):
        model()
    with pytest.raises(TypeError, match="unexpected keyword argument 'zzz'"):
        model(ids, zzz=1)


def test_a_call_can_be_compiled():
    model = BertModel(BertConfig(**TINY)).eval()
    ids = torch.tensor([[1, 2, 3]])
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    with torch.no_grad():
        assert torch.equal(compiled(ids)[0], model(ids)[0])


@pytest.mark.parametrize("wrong", ["10", 10.5, True, [3], -1, 0, 10**13])
def test_resizing_refuses_by_name(bert, wrong):
    with pytest.raises((TypeError, ValueError), match="new_num_tokens|vocab_size"):
        bert.resize_token_embeddings(wrong)
    if wrong != 10**13:
        with pytest.raises((TypeError, ValueError), match="pad_to_multiple_of"):
            bert.resize_token_embeddings(40, pad_to_multiple_of=wrong) if wrong != -1 else bert.resize_token_embeddings(40, -1)
    assert bert.config.vocab_size == 31


def test_sizes_may_be_numpys(bert):
    assert bert.resize_token_embeddings(np.int64(33)).num_embeddings == 33
    assert bert.resize_token_embeddings(torch.tensor(35), np.int32(8)).num_embeddings == 40 and type(bert.config.vocab_size) is int


@pytest.mark.parametrize("how", [None, {}, {"use_reentrant": False}, {"use_reentrant": True}, {"preserve_rng_state": False}])
def test_how_to_checkpoint(how):
    torch.manual_seed(0)
    model = BertModel(BertConfig(**TINY | dict(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0))).train()
    grads, ids = [], torch.arange(6)[None]
    for on in (False, True):
        model.zero_grad()
        if on:
            model.gradient_checkpointing_enable(how)
        model(ids)[1].sum().backward()
        grads.append([p.grad.clone() for p in model.parameters()])
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(*grads))


def test_checkpointing_refuses_by_name(bert):
    for wrong in ("x", 5, [], True):
        with pytest.raises(TypeError, match="gradient_checkpointing_kwargs should be dict"):
            bert.gradient_checkpointing_enable(wrong)
    with pytest.raises(ValueError, match="has 'foo'.*use_reentrant"):
        bert.gradient_checkpointing_enable({"foo": 1})
    for wrong in ("x", None, 5, {}):
        with pytest.raises(TypeError, match="config"):
            BertModel.from_config(wrong)
