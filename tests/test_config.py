"Configs against transformers: values, files both ways, labels, types, damage."
import json
import logging
import math
import random
import subprocess
import sys

import pytest
import transformers

from minihf.config import (BertConfig, DistilBertConfig, GPT2Config, PreTrainedConfig, PretrainedConfig, check_heads, check_quantized,
                           fits_memory, check_sizes, count_parameters, machine_memory, too_deep)

PAIRS = [(BertConfig, transformers.BertConfig), (DistilBertConfig, transformers.DistilBertConfig),
         (GPT2Config, transformers.GPT2Config)]
families = pytest.mark.parametrize("ours, theirs", PAIRS, ids=lambda c: c.__name__)


def random_values(cls, seed):
    "Some fields changed, a few general ones, and a key that nobody knows"
    r = random.Random(seed)
    heads = r.choice([1, 2, 4])
    values = {"hidden_size": heads * r.randint(1, 9), "num_attention_heads": heads, "num_hidden_layers": r.randint(1, 5),
              "vocab_size": r.randint(60000, 99999), "initializer_range": r.random(), "extra": {"a": [1, None, "ü"]}}
    values |= r.choice([{}, {"num_labels": r.randint(2, 6)}, {"id2label": {0: "no", 1: "yes"}, "label2id": {"no": 0, "yes": 1}}])
    values |= r.choice([{}, {"output_hidden_states": True}, {"return_dict": False}, {"dtype": "bfloat16"}])
    values |= r.choice([{}, {"problem_type": "regression"}, {"architectures": ["X"]}, {"tie_word_embeddings": False}])
    keep = r.sample(sorted(values), r.randint(0, len(values)))
    if ("hidden_size" in keep) != ("num_attention_heads" in keep):
        keep = [k for k in keep if k not in ("hidden_size", "num_attention_heads")]
    if ("id2label" in keep) != ("label2id" in keep):
        keep = [k for k in keep if k not in ("id2label", "label2id")]
    return {k: values[k] for k in keep}


@families
def test_same_values_and_text(ours, theirs):
    for seed in range(40):
        values = random_values(ours, seed)
        a, b = ours(**values), theirs(**values)
        assert a.to_dict() == b.to_dict(), values
        assert a.to_diff_dict() == b.to_diff_dict()
        assert a.to_json_string() == b.to_json_string()
        assert a.to_json_string(use_diff=False) == b.to_json_string(use_diff=False)
        assert repr(a) == repr(b)


@families
def test_files_both_ways(ours, theirs, tmp_path):
    for seed in range(20):
        values = random_values(ours, seed)
        ours(**values).save_pretrained(tmp_path)
        written = (tmp_path / "config.json").read_text(encoding="utf-8")
        assert theirs.from_pretrained(tmp_path).to_json_string() == written.replace("ü", "\\u00fc")
        theirs(**values).save_pretrained(tmp_path)
        assert ours.from_pretrained(tmp_path) == ours(**values)
        assert ours.from_pretrained(tmp_path / "config.json") == ours(**values)
        assert ours.from_json_file(tmp_path / "config.json") == ours(**values)


def test_one_class_two_names():
    assert PretrainedConfig is PreTrainedConfig


def test_no_torch():
    code = "import sys, minihf.config; minihf.config.BertConfig(dtype='float16'); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def test_second_names():
    c = GPT2Config(hidden_size=48, num_attention_heads=4)
    assert (c.n_embd, c.hidden_size, c.max_position_embeddings) == (48, 48, 1024)
    c.num_hidden_layers = 3
    assert c.n_layer == 3 and "num_hidden_layers" not in c.to_dict()
    assert DistilBertConfig(dim=24, n_heads=2).num_attention_heads == 2
    with pytest.raises(AttributeError, match="n_embed"):
        c.n_embed


def test_labels():
    c = BertConfig(id2label={"0": "a", "1": "b", "2": "c"})
    assert c.num_labels == 3 and c.id2label[2] == "c" and c.label2id == {"a": 0, "b": 1, "c": 2}
    c.num_labels = 3
    assert c.id2label[2] == "c"
    c.num_labels = 2
    assert c.id2label == {0: "LABEL_0", 1: "LABEL_1"} and c.label2id == {"LABEL_0": 0, "LABEL_1": 1}
    assert BertConfig(num_labels=2, id2label={0: "a", 1: "b"}).id2label == {0: "a", 1: "b"}


@pytest.mark.parametrize("given", [
    dict(num_labels=50, id2label={"0": "a", "1": "b"}, label2id={"a": 0, "b": 1}), dict(num_labels=3, id2label={0: "a", 1: "b"}),
    dict(num_labels=1, id2label={0: "a", 1: "b"}), dict(num_labels=0, id2label={0: "a"}), dict(num_labels=2, id2label={"1": "b", "0": "a"})])
@pytest.mark.parametrize("way", ["constructor", "dict", "file"])
def test_labels_that_disagree(given, way, tmp_path, caplog):
    "What checkpoints of the 2.x years have: num_labels beside the two default names"
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", **given}))
    make = {"constructor": lambda c: c(**given), "dict": lambda c: c.from_dict(dict(given)), "file": lambda c: c.from_pretrained(tmp_path)}[way]
    theirs = make(transformers.BertConfig)
    with caplog.at_level(logging.WARNING, "minihf"):
        ours = make(BertConfig)
    assert ours.id2label == theirs.id2label and ours.num_labels == theirs.num_labels == given["num_labels"]
    assert ours.label2id == {name: i for i, name in ours.id2label.items()}
    assert (f"num_labels={given['num_labels']}, but id2label names" in caplog.text) == (given["num_labels"] != len(given["id2label"]))


@pytest.mark.parametrize("n, error", [(-1, ValueError), (10**8, ValueError), (10**30, ValueError), (3.0, TypeError), ("3", TypeError), (True, TypeError)])
def test_odd_numbers_of_labels(n, error):
    with pytest.raises(error, match="num_labels"):
        BertConfig(num_labels=n)
    config = BertConfig()
    with pytest.raises(error, match="num_labels"):
        config.num_labels = n
    with pytest.raises(error, match="num_labels"):
        BertConfig.from_dict({}, num_labels=n)


def test_numbers_from_numpy_and_torch(tmp_path):
    import numpy as np
    import torch

    c = BertConfig(num_labels=np.int64(3), hidden_size=np.int32(24), hidden_dropout_prob=np.float32(0.5), eos_token_id=torch.tensor(4), use_cache=np.bool_(False))
    assert (c.num_labels, c.hidden_size, c.hidden_dropout_prob, c.eos_token_id, c.use_cache) == (3, 24, 0.5, 4, False)
    assert type(c.hidden_size) is type(c.eos_token_id) is int and type(c.use_cache) is bool
    c.save_pretrained(tmp_path)
    assert BertConfig.from_pretrained(tmp_path) == c


def test_labels_on_loading(tmp_path):
    BertConfig(id2label={0: "no", 1: "yes"}).save_pretrained(tmp_path)
    load = BertConfig.from_pretrained
    assert load(tmp_path).id2label == load(tmp_path, num_labels=2).id2label == {0: "no", 1: "yes"}
    theirs = transformers.BertConfig.from_pretrained(tmp_path, num_labels=3)
    assert load(tmp_path, num_labels=3).id2label == theirs.id2label and load(tmp_path, num_labels=3).label2id == theirs.label2id
    three = load(tmp_path, id2label={0: "a", 1: "b", 2: "c"})
    assert three.num_labels == 3 and three.label2id["c"] == 2
    assert load(tmp_path, num_labels=None).id2label == {0: "no", 1: "yes"}


def test_labels_given_twice_on_loading(tmp_path, caplog):
    BertConfig().save_pretrained(tmp_path)
    theirs, ours = (c.from_pretrained(tmp_path, num_labels=4, id2label={0: "a", 1: "b", 2: "c"}) for c in (transformers.BertConfig, BertConfig))
    assert ours.id2label == theirs.id2label and ours.num_labels == 3 and ours.label2id == {"a": 0, "b": 1, "c": 2}
    assert "num_labels=4, but id2label names 3" in caplog.text


@pytest.mark.parametrize("values, word", [
    (dict(hidden_size="768"), "hidden_size"), (dict(hidden_size=7.0), "hidden_size"), (dict(hidden_size=True), "hidden_size"),
    (dict(vocab_size=None), "vocab_size"), (dict(hidden_act=3), "hidden_act"), (dict(use_cache=1), "use_cache"),
    (dict(hidden_dropout_prob="0.1"), "hidden_dropout_prob"), (dict(id2label=None, problem_type=3), "problem_type"),
])
def test_wrong_types(values, word):
    with pytest.raises(TypeError, match=word):
        BertConfig(**values)


@pytest.mark.parametrize("values, words", [
    (dict(problem_type="ranking"), "ranking.*regression"),
    (dict(problem_type="single_label_classification", num_labels=1), "regression"),
    (dict(dtype="float23"), "float23"), (dict(attn_implementation="magic"), "magic.*sdpa"),
])
def test_wrong_values(values, words):
    with pytest.raises(ValueError, match=words):
        BertConfig(**values)
    with pytest.raises(ValueError):
        BertConfig.from_dict({}, **values)


def test_family_names_in_errors():
    with pytest.raises(ValueError, match="n_embd=100.*n_head=12"):
        check_heads(GPT2Config(n_embd=100))
    with pytest.raises(ValueError, match="hidden_size=10.*num_attention_heads=3"):
        check_heads(BertConfig(hidden_size=10, num_attention_heads=3))
    with pytest.raises(ValueError, match="num_attention_heads=0"):
        check_heads(BertConfig(num_attention_heads=0))


def test_head_dim_frees_the_heads():
    check_heads(PretrainedConfig(hidden_size=10, num_attention_heads=3, head_dim=4))


def test_changes_and_unused(tmp_path):
    BertConfig(note=1).save_pretrained(tmp_path)
    ours = BertConfig.from_pretrained(tmp_path, hidden_size=24, num_attention_heads=2, note=2, other=3, output_attentions=True,
                                      attn_implementation="eager", return_unused_kwargs=True, cache_dir=None)
    theirs = transformers.BertConfig.from_pretrained(tmp_path, hidden_size=24, num_attention_heads=2, note=2, other=3, output_attentions=True,
                                                     attn_implementation="eager", return_unused_kwargs=True, cache_dir=None)
    assert ours[1] == theirs[1] == {"other": 3}
    assert ours[0].to_dict() == theirs[0].to_dict()
    assert ours[0]._attn_implementation == "eager" and "_attn_implementation" not in ours[0].to_dict()
    assert BertConfig.from_pretrained(tmp_path, to_dict=1, return_unused_kwargs=True)[1] == {"to_dict": 1}


def test_dtype_names(tmp_path):
    import torch

    for c in (BertConfig(dtype="float16"), BertConfig(torch_dtype=torch.float16), BertConfig(dtype=torch.float16, torch_dtype="float32")):
        assert c.dtype is c.torch_dtype is torch.float16 and c.to_dict()["dtype"] == "float16"
    c.torch_dtype = "bfloat16"
    assert c.dtype is torch.bfloat16
    c.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "bfloat16"
    assert BertConfig.from_pretrained(tmp_path, dtype="auto").dtype is torch.bfloat16
    assert BertConfig.from_pretrained(tmp_path, torch_dtype=torch.float32).dtype is torch.float32
    (tmp_path / "config.json").write_text('{"model_type": "bert", "torch_dtype": "float16"}')
    assert BertConfig.from_pretrained(tmp_path).dtype is torch.float16


def test_other_ways(tmp_path):
    c = BertConfig()
    c.update({"hidden_size": 24, "num_attention_heads": 4})
    assert c.hidden_size == 24
    c.update({"num_attention_heads": 5})  # half changed: only a model minds
    with pytest.raises(ValueError, match="heads"):
        check_heads(c)
    c.update({"num_attention_heads": 4})
    d = c.to_dict()
    d["id2label"][0] = "changed"
    assert c.id2label[0] == "LABEL_0"
    assert BertConfig() == BertConfig() and BertConfig() != BertConfig(note=1) and BertConfig() != GPT2Config()
    assert c.use_return_dict is True and BertConfig(return_dict=False).use_return_dict is False
    two = BertConfig(), BertConfig()
    two[0].id2label[7] = "x"
    assert 7 not in two[1].id2label


def test_infinity(tmp_path):
    BertConfig(limit=math.inf, low=[-math.inf]).save_pretrained(tmp_path)
    assert "Infinity" in (tmp_path / "config.json").read_text()
    json.loads((tmp_path / "config.json").read_text(), parse_constant=lambda x: pytest.fail(x))
    for cls in (BertConfig, transformers.BertConfig):
        c = cls.from_pretrained(tmp_path)
        assert c.limit == math.inf and c.low == [-math.inf]


def test_old_generation_keys(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2", "max_length": 30, "do_sample": True,
                                                      "task_specific_params": {"text-generation": {"max_length": 50}}}))
    c = GPT2Config.from_pretrained(tmp_path)
    c.save_pretrained(tmp_path)
    assert transformers.GPT2Config.from_pretrained(tmp_path).task_specific_params == c.task_specific_params


class OldStyle(PretrainedConfig):
    model_type = "old"
    attribute_map = {"hidden_size": "width"}

    def __init__(self, width=4, heads=2, pad_token_id=0, **kwargs):
        super().__init__(pad_token_id=pad_token_id, **kwargs)
        self.width, self.heads = width, heads


class NewStyle(BertConfig):
    model_type = "new"
    hidden_size: int = 96
    mode: str = "a"


def test_subclasses(tmp_path):
    c = OldStyle(width=6, num_labels=3, eos_token_id=2)
    c.save_pretrained(tmp_path)
    back = OldStyle.from_pretrained(tmp_path, heads=3)
    assert (back.width, back.hidden_size, back.heads, back.num_labels, back.eos_token_id) == (6, 6, 3, 3, 2)
    assert '"model_type": "old"' in (tmp_path / "config.json").read_text()
    c = NewStyle(mode="b")
    assert c.hidden_size == 96 and BertConfig().hidden_size == 768 and c.to_dict()["mode"] == "b"
    with pytest.raises(TypeError, match="NewStyle.mode"):
        NewStyle(mode=1)


def test_another_family_warns(tmp_path, caplog):
    BertConfig(hidden_size=24).save_pretrained(tmp_path)
    with caplog.at_level(logging.WARNING, "minihf"):
        assert GPT2Config.from_pretrained(tmp_path).hidden_size == 24
    assert "'bert'" in caplog.text and "'gpt2'" in caplog.text


@pytest.mark.parametrize("text, words", [
    ("{", "not valid JSON"), ("[1, 2]", "JSON object"), ("", "JSON"), ('{"hidden_size": "big"}', "hidden_size"),
    ('{"id2label": {"zero": "a"}}', "zero"), ('{"id2label": ["a", "b"]}', "id2label"), ('{"id2label": {"0": ["a"]}}', "id2label"),
    ('{"label2id": 5}', "label2id"), ('{"num_labels": 50000000}', "num_labels=50000000.*1,000,000"), ('{"num_labels": "3"}', "num_labels"),
    ('{"attribute_map": {"hidden_size": "x"}}', "'attribute_map'.*[Rr]ename"), ('{"use_return_dict": false}', "'use_return_dict'"),
    ('{"to_dict": 1}', "'to_dict'"), ('{"save_pretrained": null}', "'save_pretrained'"), ('{"from_pretrained": 1}', "'from_pretrained'"),
    ('{"__class__": 1}', "__class__"), ('{"__dict__": {}}', "__dict__"), ('{"update": {}}', "'update'"),
    ('{"x": ' + "[" * 600 + "]" * 600 + "}", "config.json.*64 deep"), ('{"x": ' + "[" * 99999 + "]" * 99999 + "}", "config.json"),
    ('{"x": ' + '{"a": ' * 70 + "1" + "}" * 70 + "}", "64 deep"), ('{"eos_token_id": 2.5}', "eos_token_id.*2.5"), ('{"eos_token_id": [1, 2.5]}', "eos_token_id.*2.5"),
    ('{"eos_token_id": [true]}', "eos_token_id.*True"), ('{"dtype": {"a": 1}}', "dtype"), ('{"_name_or_path": 5}', "_name_or_path"),
])
def test_damaged_files(tmp_path, text, words):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises((OSError, ValueError, TypeError), match=words):
        BertConfig.from_pretrained(tmp_path)


def test_nothing_there(tmp_path):
    with pytest.raises(OSError, match="config.json"):
        BertConfig.from_pretrained(tmp_path)
    with pytest.raises(TypeError, match="dict"):
        BertConfig.from_dict([1])


def test_saving_refusals(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotADirectoryError, match="file"):
        BertConfig().save_pretrained(tmp_path / "file")
    BertConfig(note=1).save_pretrained(tmp_path)
    with pytest.raises(TypeError, match="note"):
        BertConfig(note={1, 2}).save_pretrained(tmp_path)
    assert BertConfig.from_pretrained(tmp_path).note == 1 and sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "file"]
    with pytest.raises(ValueError, match="push_to_hub"):
        BertConfig().save_pretrained(tmp_path, push_to_hub=True)


def test_attributes_added_later(tmp_path):
    c = BertConfig()
    c.my_key = {"nested": [1, 2]}
    c.save_pretrained(tmp_path)
    assert BertConfig.from_pretrained(tmp_path).my_key == {"nested": [1, 2]}


# ---- sizes that no machine has ----


@pytest.mark.parametrize("sizes, words", [
    (dict(num_hidden_layers=10**6), "num_hidden_layers=1000000: at most 2048"),
    (dict(num_hidden_layers=10**6, hidden_size=4, num_attention_heads=1, intermediate_size=4), "at most 2048"),
    (dict(hidden_size=768_000), "hidden_size=768000.*GB of memory"), (dict(vocab_size=10**12), "vocab_size=1000000000000.*GB"),
    (dict(max_position_embeddings=10**30), "GB"), (dict(intermediate_size=10**12), "GB"), (dict(type_vocab_size=10**12), "GB"),
])
def test_sizes_that_no_machine_has(sizes, words):
    config = BertConfig(**sizes)  # to describe such a model costs nothing
    with pytest.raises(ValueError, match=words):
        fits_memory(config, memory=64 * 2**30)


def test_names_of_the_family_in_size_errors():
    with pytest.raises(ValueError, match="GPT2Config with n_layer=12, n_embd=768000, vocab_size=50257"):
        fits_memory(GPT2Config(n_embd=768_000), memory=2**30)
    with pytest.raises(ValueError, match="n_layers=5000"):
        fits_memory(DistilBertConfig(n_layers=5000))


def test_large_models_that_exist():
    llama = dict(hidden_size=8192, num_hidden_layers=80, intermediate_size=28672, vocab_size=128256, max_position_embeddings=8192)
    fits_memory(PretrainedConfig(**llama, dtype="bfloat16"), memory=160 * 10**9)
    with pytest.raises(ValueError, match="GB"):
        fits_memory(PretrainedConfig(**llama), memory=160 * 10**9)
    fits_memory(PretrainedConfig(**llama, dtype="float8_e4m3fn"), memory=80 * 10**9)
    for config in (BertConfig(), DistilBertConfig(), GPT2Config(n_embd=1600, n_layer=48, n_head=25), PretrainedConfig()):
        fits_memory(config)
    assert 2**28 < machine_memory() <= 2**62


@families
def test_the_estimate_is_near_the_truth(ours, theirs):
    import torch

    model = {"bert": transformers.BertModel, "distilbert": transformers.DistilBertModel, "gpt2": transformers.GPT2Model}[ours.model_type]
    with torch.device("meta"):
        true = model(theirs()).num_parameters()
    assert abs(count_parameters(ours()) / true - 1) < 0.01


# ---- values that would hide the class, or recurse ----


def test_keys_that_shadow_the_class():
    for name in ("attribute_map", "use_return_dict", "to_dict", "save_pretrained", "update", "__class__", "__init__"):
        with pytest.raises(ValueError, match=name):
            BertConfig(**{name: 1})
        with pytest.raises(ValueError, match=name):
            BertConfig().update({name: 1})

    class Own(PretrainedConfig):
        width = 3  # a plain class attribute is a default, not a part of the machinery

    assert Own(width=4).width == 4 and BertConfig(padding_row=1).padding_row == 1


def test_depth():
    deep, ring = [], []
    for _ in range(70):
        deep = [deep]
    ring += [ring, ring]
    for value in (deep, ring, {"a": deep}):
        with pytest.raises(ValueError, match="64 deep"):
            BertConfig(note=value)
        config = BertConfig()
        config.note = value
        for call in (config.to_dict, config.to_json_string, lambda: repr(config), lambda: config.update({})):
            with pytest.raises(ValueError, match="'note'.*64 deep"):
                call()
    assert not too_deep({"a": [[1] * 1000] * 1000})


def test_terminal_sequences_are_shown_escaped(tmp_path, caplog, capsys):
    evil = "\x1b[31mred\x07"
    config = BertConfig(_name_or_path=evil, **{evil: evil})
    assert "\x1b" not in repr(config) and "\x07" not in repr(config)
    put = lambda **data: (tmp_path / "config.json").write_text(json.dumps(data))
    put(model_type=evil)
    BertConfig.from_pretrained(tmp_path, **{evil: 1})
    assert "\x1b" not in caplog.text and "\\x1b[31mred" in caplog.text
    for data in ({"hidden_size": evil}, {"problem_type": evil}, {"dtype": evil}, {"_attn_implementation": evil}, {"id2label": {"0": evil, "x": evil}},
                 {"quantization_config": {"quant_method": evil}}, {"__" + evil: 1}):
        put(**data)
        with pytest.raises((ValueError, TypeError), match="x1b") as e:
            check_quantized(BertConfig.from_pretrained(tmp_path))
        assert "\x1b" not in str(e.value)


# ---- what a model checks before it is built ----


def test_padding_row():
    "As in the reference: torch refuses it for BERT, GPT-2 has no such row"
    import torch

    sizes = dict(vocab_size=12, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    for pad, right in ((None, True), (0, True), (11, True), (-1, True), (-12, True), (12, False), (-13, False)):
        with torch.device("meta"):
            if right:
                transformers.BertModel(transformers.BertConfig(pad_token_id=pad, **sizes))
                check_sizes(BertConfig(pad_token_id=pad, **sizes))
            else:
                with pytest.raises(AssertionError):
                    transformers.BertModel(transformers.BertConfig(pad_token_id=pad, **sizes))
                with pytest.raises(ValueError, match=f"pad_token_id={pad}.*vocab_size=12"):
                    check_sizes(BertConfig(pad_token_id=pad, **sizes))
    check_sizes(GPT2Config(pad_token_id=60000))


@pytest.mark.parametrize("config, words", [
    (BertConfig(num_hidden_layers=-1), "num_hidden_layers=-1"), (GPT2Config(n_layer=-1), "n_layer=-1"), (GPT2Config(n_inner=0), "n_inner=0"),
    (DistilBertConfig(hidden_dim=-5), "hidden_dim=-5"), (BertConfig(initializer_range=math.inf), "initializer_range=inf"),
    (BertConfig(initializer_range=math.nan), "initializer_range=nan"), (BertConfig(vocab_size=0), "vocab_size=0")])
def test_sizes_that_are_none(config, words):
    with pytest.raises(ValueError, match=words):
        check_sizes(config)
    check_sizes(BertConfig(num_hidden_layers=0))


def test_quantised_checkpoints_say_so():
    check_quantized(BertConfig(quantization_config=None))
    with pytest.raises(ValueError, match="quantised.*'gptq'.*float16"):
        check_quantized(BertConfig(quantization_config={"quant_method": "gptq", "bits": 4}))


# ---- every argument of the reference ----


def test_arguments_of_reading(tmp_path, caplog):
    import inspect

    BertConfig().save_pretrained(tmp_path)
    theirs = inspect.signature(transformers.BertConfig.from_pretrained).parameters
    usual = {k: p.default for k, p in theirs.items() if p.default is not p.empty} | dict(
        subfolder="", proxies=None, return_unused_kwargs=False, trust_remote_code=True, gguf_file=None, _from_auto=True, _from_pipeline=None)
    for name, value in usual.items():
        assert BertConfig.from_pretrained(tmp_path, **{name: value}) == BertConfig()
    assert caplog.text == ""
    with pytest.raises(ValueError, match="gguf_file"):
        BertConfig.from_pretrained(tmp_path, gguf_file="model.gguf")
    (tmp_path / "sub").mkdir()
    BertConfig(note=1).save_pretrained(tmp_path / "sub")
    assert BertConfig.from_pretrained(tmp_path, subfolder="sub").note == 1
    BertConfig.from_pretrained(tmp_path, num_label=3)
    assert "does not know 'num_label', so it has no effect. Did you mean num_labels?" in caplog.text


@pytest.mark.parametrize("more", [dict(push_to_hub=True), dict(repo_id="a/b"), dict(config_file_name="../x"), dict(token="x"), dict(use_diff=False)])
def test_arguments_of_saving(tmp_path, more):
    with pytest.raises(ValueError, match=next(iter(more))):
        BertConfig().save_pretrained(tmp_path / "new", **more)
    assert not (tmp_path / "new").exists()
    BertConfig().save_pretrained(tmp_path, push_to_hub=False)


@pytest.mark.parametrize("wrong", [None, 5, 2.5, ["a"], b"x", True])
def test_places_of_the_wrong_kind(wrong):
    for call in (BertConfig.from_pretrained, BertConfig.get_config_dict, BertConfig.from_json_file, BertConfig().save_pretrained, BertConfig().to_json_file):
        with pytest.raises(TypeError, match="pretrained_model_name_or_path|json_file|save_directory"):
            call(wrong)
    for call in (BertConfig.from_dict, BertConfig().update):
        with pytest.raises(TypeError, match="dict"):
            call(wrong)


def test_a_file_that_is_not_there_is_not_asked_from_the_hub(tmp_path):
    with pytest.raises(FileNotFoundError):
        BertConfig.from_json_file("nothing.json")


def test_lone_surrogates_survive(tmp_path):
    (tmp_path / "config.json").write_text('{"note": "\\ud800", "limit": {"__float__": "seven"}}')
    for cls in (BertConfig, transformers.BertConfig):
        config = cls.from_pretrained(tmp_path)
        config.save_pretrained(tmp_path)
        again = cls.from_pretrained(tmp_path)
        assert again.note == "\ud800" and again.limit == {"__float__": "seven"}


# ---- what users of the reference call ----


def outcome(f):
    try:
        return f()
    except (TypeError, ValueError) as e:
        return type(e)


@pytest.mark.parametrize("text", [
    "n_embd=10,resid_pdrop=0.2,scale_attn_weights=false,summary_type=cls_index", "hidden_size=24", "scale_attn_weights=YES", "n_layer=3,n_layer=4",
    "n_inner=3", "n_embd=ten", "n_embd=1.5", "resid_pdrop=x", "scale_attn_weights=maybe", "unknown=1", "", "n_embd", "n_embd=1,", "n_embd=1=2", "n_embd=", "summary_type="])
def test_update_from_string_like_the_reference(text):
    a, b = GPT2Config(), transformers.GPT2Config()
    assert outcome(lambda: a.update_from_string(text)) == outcome(lambda: b.update_from_string(text))
    if outcome(lambda: GPT2Config().update_from_string(text)) is None:
        assert a.to_dict() == b.to_dict()
    else:
        assert a == GPT2Config()  # all or nothing


def test_update_from_string_names_the_part():
    for text, error, words in (("n_embd=ten", ValueError, "n_embd=ten.*int"), ("n_embd", ValueError, "'n_embd' should be name=value"), ("n_inner=3", TypeError, "n_inner.*None"),
                               ("scale_attn_weights=2", ValueError, "true or false"), (5, TypeError, "update_str"), (None, TypeError, "update_str")):
        with pytest.raises(error, match=words):
            GPT2Config().update_from_string(text)


@pytest.mark.parametrize("values", [
    {}, {"is_encoder_decoder": True}, {"is_encoder_decoder": True, "decoder_layers": 2, "encoder_layers": 6, "decoder_attention_heads": 4, "encoder_ffn_dim": 8, "decoder_start_token_id": 3}])
@pytest.mark.parametrize("side", [{}, {"decoder": True}, {"encoder": True}, {"decoder": True, "encoder": True}, {"decoder": False}])
@families
def test_text_config_like_the_reference(ours, theirs, values, side):
    a, b = ours(**values), theirs(**values)
    x, y = a.get_text_config(**side), b.get_text_config(**side)
    assert (x is a) == (y is b) and x.to_dict() == y.to_dict() and a == ours(**values)


@pytest.mark.parametrize("base, part", [(PretrainedConfig, BertConfig(hidden_size=24)), (transformers.PretrainedConfig, transformers.BertConfig(hidden_size=24))])
def test_text_config_of_parts(base, part):
    "Ours and the reference's"
    for name, side in (("text_config", {}), ("text_config", {"decoder": True}), ("text_encoder", {"encoder": True}), ("generator", {}), ("generator", {"decoder": True})):
        assert base(**{name: part}).get_text_config(**side) is part
    with pytest.raises(ValueError, match="generator.*text_config"):
        two = base(text_config=part)
        two.generator = part
        two.get_text_config()


def test_methods_that_are_not_here_say_so():
    for name, words in (("push_to_hub", "upload that with huggingface_hub"), ("register_for_auto_class", "auto_map"), ("rope_scaling", "has no 'rope_scaling'")):
        with pytest.raises(AttributeError, match=words):
            getattr(BertConfig(), name)


def test_one_class():
    assert PretrainedConfig.__mro__ == (PretrainedConfig, object)
