"minihf.auto: the right class for every checkpoint, registration, and remote code only when trusted."
import json
import os
import subprocess
import sys

import pytest
import torch
from hub_server import HubServer

from minihf import auto
from minihf.auto import (AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForMaskGeneration,
                         AutoModelForSeq2SeqLM, AutoModelForSequenceClassification, AutoModelForTextEncoding, AutoTokenizer)
from minihf.config import BertConfig, DistilBertConfig, GPT2Config, PretrainedConfig
from minihf.models.bert import BertForMaskedLM, BertModel
from minihf.tokenizers.base import BertTokenizer, GPT2Tokenizer

SMALL = dict(vocab_size=12, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16)
SMALL_GPT2 = dict(vocab_size=12, n_embd=8, n_layer=2, n_head=2, n_positions=16)
WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] 明 月 几 时 有 auto ##s".split()


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    for name in ("CONFIGS", "TOKENIZERS", "MODELS"):
        monkeypatch.setattr(auto, name, dict(getattr(auto, name)))


@pytest.fixture
def tiny(tmp_path):
    torch.manual_seed(0)
    folder = tmp_path / "tiny"
    BertForMaskedLM(BertConfig(**SMALL)).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS), encoding="utf-8")
    return folder


def put(folder, name, data):
    folder.mkdir(exist_ok=True, parents=True)
    (folder / name).write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return folder


KNOWN = ", ".join(sorted(auto.TABLE))


# ---- the table ----


@pytest.mark.parametrize("model_type", auto.TABLE)
def test_every_row_exists_and_agrees_with_the_reference(model_type):
    import transformers

    config_name, tokenizer_name, models = auto.TABLE[model_type]
    config = AutoConfig.for_model(model_type)
    assert type(config).__name__ == config_name == type(transformers.AutoConfig.for_model(model_type)).__name__
    assert config.model_type == model_type
    assert auto.tokenizer_for(type(config)).__name__ == tokenizer_name
    theirs = transformers.AutoConfig.for_model(model_type)
    for task, name in models.items():
        cls = auto.model_class(config, task)
        assert cls.__name__ == name and issubclass(cls, torch.nn.Module)
        mapping = getattr(transformers, auto.auto_name(task))._model_mapping
        want = mapping[type(theirs)]
        want = want[0] if isinstance(want, (list, tuple)) else want
        assert want.__name__ == name


def test_table_is_complete():
    "A model class that exists and has a task is in the table"
    import importlib
    import transformers

    for model_type, (_, _, models) in auto.TABLE.items():
        try:
            module = importlib.import_module(f"minihf.models.{model_type.replace('-', '_')}")
        except ModuleNotFoundError:
            assert models == {}
            continue
        theirs = transformers.AutoConfig.for_model(model_type)
        for cls in auto.AutoModelBase.__subclasses__():
            mapping = getattr(transformers, cls.__name__)._model_mapping
            if type(theirs) in mapping:
                want = mapping[type(theirs)]
                name = (want[0] if isinstance(want, (list, tuple)) else want).__name__
                assert models.get(cls.task) == (name if hasattr(module, name) else None), (cls.__name__, name)


# ---- config ----


def test_config(tiny):
    config = AutoConfig.from_pretrained(tiny)
    assert type(config) is BertConfig and config.hidden_size == 8
    config, unused = AutoConfig.from_pretrained(tiny, hidden_size=16, foo=False, return_unused_kwargs=True)
    assert config.hidden_size == 16 and unused == {"foo": False}
    assert AutoConfig.from_pretrained(tiny / "config.json").hidden_size == 8
    assert AutoConfig.from_pretrained(str(tiny), num_labels=3).num_labels == 3


def test_overriding_with_the_family_s_own_name(tmp_path):
    DistilBertConfig().save_pretrained(tmp_path)
    config = AutoConfig.from_pretrained(tmp_path, n_heads=6)
    assert type(config) is DistilBertConfig and config.n_heads == config.num_attention_heads == 6


@pytest.mark.parametrize("data, want", [
    ({"model_type": "gpt2", "architectures": ["BertModel"]}, "gpt2"),
    ({"architectures": ["BertForMaskedLM"]}, "bert"), ({"architectures": ["GPT2LMHeadModel"]}, "gpt2"),
    ({"architectures": ["DistilBertForSequenceClassification"]}, "distilbert"),
    ({"architectures": ["BertGenerationEncoder"]}, None), ({"architectures": ["T5Model"]}, None), ({}, None),
    ({"architectures": None}, None)])
def test_family_of_old_configs(tmp_path, data, want):
    put(tmp_path, "config.json", data)
    if want:
        assert AutoConfig.from_pretrained(tmp_path).model_type == want
    else:
        with pytest.raises(ValueError, match=f'no "model_type".*{KNOWN}'):
            AutoConfig.from_pretrained(tmp_path)


# a folder's name, beside a config that says nothing; True: as version 4 of the reference (5 has lost it)
NAMES = [("bert-base-cased", "bert"), ("tinybert", "bert"), ("my-distilbert", "distilbert"), ("gpt2-large", "gpt2"), ("x/bert", "bert"),
         ("albert/gpt2", "gpt2"), ("distilbert/bert", "bert"), ("albert-base-v2", "albert"), ("xlm-roberta", "xlm-roberta"), ("distilroberta", "roberta"),
         ("bert-generation", "bert-generation"), ("visual_bert", "visual_bert"), ("BERT", None), ("model", None)]


@pytest.mark.parametrize("name, want", NAMES)
@pytest.mark.parametrize("data", [{}, {"model_type": None, "architectures": None}, {"architectures": ["Unknown", 5]}, {"architectures": []}])
def test_family_from_the_name(tmp_path, caplog, name, want, data):
    folder = put(tmp_path / name, "config.json", data)
    if want in auto.TABLE:
        assert AutoConfig.from_pretrained(folder).model_type == want
        assert auto.find_tokenizer_class(folder, {}) is auto.tokenizer_for(auto.config_class(want))
        assert f"family '{want}'" in caplog.text
    else:
        with pytest.raises(ValueError, match=f"'{want}' is not known here" if want else 'no "model_type"'):
            AutoConfig.from_pretrained(folder)


def test_model_from_a_telling_name(tiny):
    data = json.loads((tiny / "config.json").read_text())
    del data["model_type"], data["architectures"]
    folder = tiny.rename(tiny.parent / "my-bert-base")
    put(folder, "config.json", data)
    assert type(AutoModel.from_pretrained(folder)) is BertModel
    assert type(AutoTokenizer.from_pretrained(folder)) is BertTokenizer
    assert type(AutoModelForMaskedLM.from_pretrained(str(folder))) is BertForMaskedLM


def test_longest_name_wins_as_in_the_reference():
    "Version 4 sorts all its families by length and takes the first that is part of the name"
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    families = sorted(CONFIG_MAPPING_NAMES, key=len, reverse=True)
    for name in families + [f"my-{o}-base" for o in families]:
        theirs = next(o for o in families if o in name)
        ours = auto.family_in_name(name)
        assert ours == theirs or ours not in auto.TABLE, (name, ours, theirs)


@pytest.mark.parametrize("data", [{"model_type": 5}, {"model_type": ["bert"]}, {"model_type": {"a": 1}}])
def test_model_types_that_are_no_text(tmp_path, data):
    put(tmp_path, "config.json", data)
    for cls in (AutoConfig, AutoModel, AutoTokenizer):
        with pytest.raises(ValueError, match='"model_type" should be text'):
            cls.from_pretrained(tmp_path)


def test_unknown_family_names_the_known(tmp_path):
    put(tmp_path, "config.json", {"model_type": "mamba"})
    for cls in (AutoConfig, AutoModel, AutoTokenizer, AutoModelForCausalLM):
        with pytest.raises(ValueError, match=f"'mamba' is not known here. Known: {KNOWN}.*register"):
            cls.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="mamba"):
        AutoConfig.for_model("mamba")


def test_missing_and_broken_config(tmp_path):
    for cls in (AutoConfig, AutoModel):
        with pytest.raises(FileNotFoundError, match="config.json"):
            cls.from_pretrained(tmp_path)
    put(tmp_path, "config.json", "{")
    for cls in (AutoConfig, AutoModel, AutoTokenizer):
        with pytest.raises(OSError, match="config.json is not valid JSON"):
            cls.from_pretrained(tmp_path)


# ---- models ----


def test_models_like_the_reference(tiny):
    import transformers

    ids = torch.tensor([[2, 5, 6, 4, 3]])
    for name in ("AutoModel", "AutoModelForMaskedLM", "AutoModelForTextEncoding"):
        torch.manual_seed(0)
        ours, theirs = (getattr(m, name).from_pretrained(tiny) for m in (auto, transformers))
        assert type(ours).__name__ == type(theirs).__name__ and not ours.training
        with torch.no_grad():
            torch.testing.assert_close(ours(ids)[0], theirs(ids)[0], atol=1e-5, rtol=0)


def test_gpt2(tmp_path):
    model = AutoModelForCausalLM.from_config(GPT2Config(**SMALL_GPT2))
    assert type(model).__name__ == "GPT2LMHeadModel"
    model.eval().save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    ids = torch.tensor([[1, 2, 3]])
    assert torch.equal(again(ids).logits, model(ids).logits)
    assert type(AutoModel.from_pretrained(tmp_path)).__name__ == "GPT2Model"


def test_arguments_reach_their_places(tiny):
    out = AutoModel.from_pretrained(tiny, output_attentions=True)(torch.tensor([[2, 5, 3]]))
    assert len(out.attentions) == 2
    model = AutoModel.from_pretrained(tiny, dtype=torch.float16)
    assert model.dtype == torch.float16 and AutoModel.from_pretrained(tiny, torch_dtype="bfloat16").dtype == torch.bfloat16
    assert AutoModel.from_pretrained(tiny, dtype="auto").dtype == torch.float32
    model, info = AutoModelForMaskedLM.from_pretrained(tiny, output_loading_info=True, attn_implementation="eager")
    assert info["missing_keys"] == [] or not info["missing_keys"]
    assert model.config._attn_implementation == "eager"
    with pytest.raises(TypeError, match="nonsense"):
        AutoModel.from_pretrained(tiny, nonsense=1)


def test_config_given(tiny):
    config = AutoConfig.from_pretrained(tiny, num_hidden_layers=1)
    assert AutoModel.from_pretrained(tiny, config=config).config.num_hidden_layers == 1
    assert AutoModel.from_pretrained(tiny, config=str(tiny)).config.num_hidden_layers == 2
    assert type(AutoModel.from_config(BertConfig(**SMALL), attn_implementation="eager")) is BertModel


def test_task_that_a_family_does_not_have(tiny):
    with pytest.raises(ValueError, match="AutoModelForSeq2SeqLM has no class for BertConfig.*AutoModelForMaskedLM.*T5"):
        AutoModelForSeq2SeqLM.from_pretrained(tiny)
    with pytest.raises(ValueError, match="SAM"):
        AutoModelForMaskGeneration.from_config(BertConfig())
    with pytest.raises(ValueError, match="AutoModelForMaskedLM has no class for GPT2Config.*AutoModelForCausalLM"):
        AutoModelForMaskedLM.from_config(GPT2Config())


def test_no_instances():
    for cls in (AutoModel, AutoConfig, AutoTokenizer, AutoModelForCausalLM):
        with pytest.raises(TypeError, match=f"{cls.__name__}.from_pretrained"):
            cls()


# ---- tokenizers ----


@pytest.mark.parametrize("own, family, want", [
    (None, {"model_type": "bert"}, BertTokenizer),
    ({}, {"model_type": "bert"}, BertTokenizer),
    ({"tokenizer_class": "BertTokenizerFast"}, {"model_type": "gpt2"}, BertTokenizer),
    ({"tokenizer_class": "BertTokenizer"}, None, BertTokenizer),
    ({"tokenizer_class": "GPT2TokenizerFast"}, {"model_type": "bert"}, GPT2Tokenizer),
    ({"tokenizer_class": "PreTrainedTokenizerFast"}, {"model_type": "bert"}, BertTokenizer),
    (None, {"model_type": "gpt2", "tokenizer_class": "BertTokenizer"}, BertTokenizer),
    ({"tokenizer_class": None}, {"model_type": "gpt2"}, GPT2Tokenizer),
    ({"tokenizer_class": "TokenizersBackend"}, {"model_type": "gpt2"}, GPT2Tokenizer),
    (None, {"architectures": ["BertForMaskedLM"]}, BertTokenizer)])
def test_which_tokenizer(tmp_path, own, family, want):
    if own is not None:
        put(tmp_path, "tokenizer_config.json", own)
    if family is not None:
        put(tmp_path, "config.json", family)
    assert auto.find_tokenizer_class(tmp_path, {}) is want


def test_character_level_gpt2(tmp_path):
    put(tmp_path, "config.json", {"model_type": "gpt2"})
    put(tmp_path, "tokenizer_config.json", {"tokenizer_class": "BertTokenizer"})
    put(tmp_path, "vocab.txt", "\n".join(WORDS))
    for fast in (True, False):
        tokenizer = AutoTokenizer.from_pretrained(tmp_path, use_fast=fast)
        assert type(tokenizer) is BertTokenizer
        assert tokenizer("明月几时有")["input_ids"] == [2, 5, 6, 7, 8, 9, 3]


def test_tokenizer_arguments(tiny):
    tokenizer = AutoTokenizer.from_pretrained(tiny, unk_token="[MASK]", trust_remote_code=False, config=BertConfig())
    assert tokenizer.unk_token == "[MASK]"
    put(tiny, "config.json", {"model_type": "llama"})
    assert type(AutoTokenizer.from_pretrained(tiny, tokenizer_type="bert")) is BertTokenizer
    with pytest.raises(ValueError, match="klingon.*bert"):
        AutoTokenizer.from_pretrained(tiny, tokenizer_type="klingon")


def test_tokenizer_unknown(tmp_path):
    with pytest.raises(OSError, match="tokenizer_config.json.*config.json"):
        AutoTokenizer.from_pretrained(tmp_path)
    put(tmp_path, "tokenizer_config.json", {"tokenizer_class": "KlingonTokenizer"})
    with pytest.raises(ValueError, match="KlingonTokenizer.*Known: BertTokenizer.*register"):
        AutoTokenizer.from_pretrained(tmp_path)


def test_tokenizer_and_config_do_not_import_torch(tiny):
    code = ("import sys; from minihf.auto import AutoTokenizer, AutoConfig; import minihf.auto as a\n"
            f"t = AutoTokenizer.from_pretrained({str(tiny)!r}); AutoConfig.from_pretrained({str(tiny)!r}); t('明月')\n"
            "bad = {'torch', 'huggingface_hub', 'transformers'} & set(sys.modules); assert not bad, bad")
    subprocess.run([sys.executable, "-c", code], check=True)


# ---- register ----


class NewModelConfig(PretrainedConfig):
    model_type = "new-model"
    hidden_size: int = 4


class NewModel(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config

    @classmethod
    def from_pretrained(cls, source, *args, config=None, **kwargs):
        return cls(config)


def test_register_as_in_the_notes(tmp_path):
    AutoConfig.register("new-model", NewModelConfig)
    AutoModel.register(NewModelConfig, NewModel)
    NewModelConfig(hidden_size=7).save_pretrained(tmp_path)
    assert type(AutoConfig.from_pretrained(tmp_path)) is NewModelConfig
    model = AutoModel.from_pretrained(tmp_path)
    assert type(model) is NewModel and model.config.hidden_size == 7
    assert type(AutoModel.from_config(NewModelConfig())) is NewModel
    assert AutoConfig.for_model("new-model", hidden_size=3).hidden_size == 3
    with pytest.raises(ValueError, match="AutoModelForCausalLM has no class for NewModelConfig.*has: AutoModel\\."):
        AutoModelForCausalLM.from_config(NewModelConfig())


def test_register_refuses(tmp_path):
    class Another(NewModelConfig):
        pass

    AutoConfig.register("new-model", NewModelConfig)
    with pytest.raises(ValueError, match="'new-model' has a class already.*exist_ok"):
        AutoConfig.register("new-model", Another)
    AutoConfig.register("new-model", Another, exist_ok=True)
    with pytest.raises(ValueError, match="already"):
        AutoConfig.register("bert", BertConfig)
    with pytest.raises(ValueError, match="model_type is 'new-model', but you register 'other'"):
        AutoConfig.register("other", NewModelConfig)
    with pytest.raises(ValueError, match="config_class is BertConfig.*NewModelConfig"):
        AutoModel.register(NewModelConfig, BertModel)
    with pytest.raises(ValueError, match="BertConfig.*already"):
        AutoModel.register(BertConfig, NewModel)
    AutoModel.register(NewModelConfig, NewModel)
    with pytest.raises(ValueError, match="already"):
        AutoModel.register(NewModelConfig, torch.nn.Linear)


def test_the_same_pair_may_be_registered_twice():
    "As in the reference; and a class that a notebook's cell defines again counts as the same"
    def cell():
        class Cell(PretrainedConfig):
            model_type = "cell"

        class CellModel(NewModel):
            pass

        class CellTokenizer(BertTokenizer):
            pass

        for _ in range(2):
            AutoConfig.register("cell", Cell)
            AutoModel.register(Cell, CellModel)
            AutoTokenizer.register(Cell, CellTokenizer)
        return Cell, CellModel, CellTokenizer

    cell()
    config, model, tokenizer = cell()
    assert type(AutoConfig.for_model("cell")) is config
    assert type(AutoModel.from_config(config())) is model
    assert auto.tokenizer_for(config) is tokenizer


def test_register_over_a_known_class(tiny):
    class MyBert(BertModel):
        pass

    AutoModel.register(BertConfig, MyBert, exist_ok=True)
    assert type(AutoModel.from_pretrained(tiny)) is MyBert
    assert type(AutoModelForMaskedLM.from_pretrained(tiny)) is BertForMaskedLM


def test_register_tokenizer(tmp_path, tiny):
    class NewTokenizer(BertTokenizer):
        pass

    AutoConfig.register("new-model", NewModelConfig)
    with pytest.raises(ValueError, match="NewModelConfig has no tokenizer"):
        auto.tokenizer_for(NewModelConfig)
    with pytest.raises(ValueError, match="give a tokenizer_class"):
        AutoTokenizer.register(NewModelConfig)
    AutoTokenizer.register(NewModelConfig, fast_tokenizer_class=NewTokenizer)
    with pytest.raises(ValueError, match="already"):
        AutoTokenizer.register(NewModelConfig, BertTokenizer)
    with pytest.raises(ValueError, match="already"):
        AutoTokenizer.register(BertConfig, NewTokenizer)
    put(tiny, "config.json", {"model_type": "new-model"})
    assert type(AutoTokenizer.from_pretrained(tiny)) is NewTokenizer
    put(tiny, "tokenizer_config.json", {"tokenizer_class": "NewTokenizer"})
    assert type(AutoTokenizer.from_pretrained(tiny)) is NewTokenizer


# ---- code from elsewhere ----

CONFIGURATION = """
from minihf.config import PretrainedConfig
import pathlib
pathlib.Path({flag!r}).touch()

class ToyConfig(PretrainedConfig):
    model_type = "toy"
    width: int = 3
"""
MODELING = """
import torch
from minihf.modeling import PreTrainedModel
from .configuration_toy import ToyConfig

class ToyModel(PreTrainedModel):
    config_class = ToyConfig

    def __init__(self, config):
        super().__init__(config)
        self.layer = torch.nn.Linear(config.width, 1)
        self.post_init()

    def forward(self, x):
        return self.layer(x)
"""
TOKENIZATION = """
from minihf.tokenizers.base import BertTokenizer

class ToyTokenizer(BertTokenizer):
    pass
"""


@pytest.fixture
def toy(tmp_path):
    from minihf.hub import save_tensors

    folder, flag = tmp_path / "toy", str(tmp_path / "was_run")
    put(folder, "config.json", {"model_type": "toy", "width": 5, "auto_map": {
        "AutoConfig": "configuration_toy.ToyConfig", "AutoModel": "modeling_toy.ToyModel",
        "AutoTokenizer": ["tokenization_toy.ToyTokenizer", None]}})
    put(folder, "configuration_toy.py", CONFIGURATION.format(flag=flag))
    put(folder, "modeling_toy.py", MODELING)
    put(folder, "tokenization_toy.py", TOKENIZATION)
    put(folder, "vocab.txt", "\n".join(WORDS))
    save_tensors({"layer.weight": torch.ones(1, 5), "layer.bias": torch.zeros(1)}, folder)
    return folder


@pytest.mark.parametrize("trust", [None, False])
@pytest.mark.parametrize("cls, file", [(AutoConfig, "configuration_toy.py"), (AutoModel, "configuration_toy.py"),
                                       (AutoTokenizer, "tokenization_toy.py")])
def test_remote_code_is_refused(toy, tmp_path, trust, cls, file):
    with pytest.raises(ValueError, match=f"{toy}.*{file}.*trust_remote_code=True"):
        cls.from_pretrained(toy, trust_remote_code=trust)
    assert not (tmp_path / "was_run").exists()


def test_remote_code_when_trusted(toy, tmp_path):
    config = AutoConfig.from_pretrained(toy, trust_remote_code=True)
    assert (tmp_path / "was_run").exists() and type(config).__name__ == "ToyConfig" and config.width == 5
    model = AutoModel.from_pretrained(toy, trust_remote_code=True)
    assert type(model).__name__ == "ToyModel" and type(model.config) is type(config) is type(model).config_class
    assert model(torch.ones(1, 5)).item() == 5
    assert type(AutoTokenizer.from_pretrained(toy, trust_remote_code=True)).__name__ == "ToyTokenizer"
    assert type(AutoModel.from_config(config, trust_remote_code=True)).__name__ == "ToyModel"
    with pytest.raises(ValueError, match="modeling_toy.py"):
        AutoModel.from_config(config)


def test_known_family_does_not_need_its_remote_code(tiny):
    data = json.loads((tiny / "config.json").read_text())
    put(tiny, "config.json", data | {"auto_map": {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}})
    put(tiny, "evil.py", "raise SystemExit('was run')")
    assert type(AutoModel.from_pretrained(tiny)) is BertModel


def test_changed_code_is_loaded_again(toy):
    old = AutoModel.from_pretrained(toy, trust_remote_code=True)
    put(toy, "modeling_toy.py", MODELING.replace("return self.layer(x)", "return self.layer(x) + 100"))
    new = AutoModel.from_pretrained(toy, trust_remote_code=True)
    assert new(torch.ones(1, 5)).item() == old(torch.ones(1, 5)).item() + 100


@pytest.mark.parametrize("ref", ["../evil.Config", "a/b.Config", "noclass", "os.path.join", "x--../evil.C", 3, {"a": 1}])
def test_odd_auto_maps(toy, ref):
    put(toy, "config.json", {"model_type": "toy", "auto_map": {"AutoConfig": ref}})
    with pytest.raises((ValueError, OSError)):
        AutoConfig.from_pretrained(toy, trust_remote_code=True)


def test_missing_class_and_file_are_named(toy):
    put(toy, "config.json", {"model_type": "toy", "auto_map": {"AutoConfig": "configuration_toy.Nothing"}})
    with pytest.raises(AttributeError, match="configuration_toy.py has no class Nothing"):
        AutoConfig.from_pretrained(toy, trust_remote_code=True)
    put(toy, "config.json", {"model_type": "toy", "auto_map": {"AutoConfig": "nothing.Config"}})
    with pytest.raises(FileNotFoundError, match="nothing.py"):
        AutoConfig.from_pretrained(toy, trust_remote_code=True)


# ---- from the Hub ----


def test_from_the_hub(tiny, tmp_path, monkeypatch):
    with HubServer() as hub:
        hub.use(monkeypatch, tmp_path / "home")
        monkeypatch.chdir(tmp_path)
        hub.add("hfl/rbt3", tiny)
        hub.move("rbt3", "hfl/rbt3")
        model = AutoModel.from_pretrained("rbt3", output_attentions=True)
        tokenizer = AutoTokenizer.from_pretrained("rbt3")
        assert model(**tokenizer("明月", return_tensors="pt")).attentions
        assert AutoConfig.from_pretrained("rbt3").hidden_size == 8
        assert sorted(hub.fetched()) == ["config.json", "model.safetensors", "vocab.txt"]
        hub.log.clear()
        AutoModel.from_pretrained("rbt3", local_files_only=True)
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        AutoTokenizer.from_pretrained("rbt3")
        assert hub.log == []


def test_config_and_weights_come_from_one_commit(tiny, tmp_path, monkeypatch):
    with HubServer() as hub:
        hub.use(monkeypatch, tmp_path / "home")
        commit = hub.add("ada/bert", tiny)
        AutoModel.from_pretrained("ada/bert")
        asked = [p.split("/resolve/")[1].split("/")[0] for _, p, _ in hub.log]
        assert asked[0] == "main" and "main" not in asked[2:] and set(asked) == {"main", commit}
        hub.log.clear()
        AutoModel.from_pretrained("ada/bert")
        assert len(hub.log) == 1  # one question: what is main now?
        AutoTokenizer.from_pretrained("ada/bert")
        hub.log.clear()
        AutoTokenizer.from_pretrained("ada/bert")
        assert {p.split("/resolve/")[1] for _, p, _ in hub.log} <= {"main/tokenizer_config.json", "main/config.json"}
        hub.log.clear()
        AutoModel.from_pretrained("ada/bert", force_download=True)
        assert set(hub.fetched()) == {"config.json", "model.safetensors"}


def test_remote_code_from_the_hub(toy, tmp_path, monkeypatch):
    with HubServer() as hub:
        hub.use(monkeypatch, tmp_path / "home")
        monkeypatch.chdir(tmp_path / "home") if (tmp_path / "home").exists() else None
        hub.add("ada/remote", toy)
        with pytest.raises(ValueError, match="ada/remote.*http.*ada/remote/blob/main/configuration_toy.py"):
            AutoModel.from_pretrained("ada/remote")
        assert not any(f.endswith(".py") for f in hub.fetched())
        model = AutoModel.from_pretrained("ada/remote", trust_remote_code=True)
        assert type(model).__name__ == "ToyModel"
        assert sorted(set(hub.fetched())) == ["config.json", "configuration_toy.py", "model.safetensors", "modeling_toy.py"]


def test_remote_code_from_another_repository(toy, tmp_path, monkeypatch):
    with HubServer() as hub:
        hub.use(monkeypatch, tmp_path / "home")
        hub.add("ada/code", toy)
        data = json.loads((toy / "config.json").read_text())
        data["auto_map"] = {k: f"ada/code--{v}" for k, v in data["auto_map"].items() if isinstance(v, str)}
        put(toy, "config.json", data)
        hub.add("bob/weights", {n: (toy / n).read_bytes() for n in ("config.json", "model.safetensors")})
        with pytest.raises(ValueError, match="'ada/code' brings its own"):
            AutoModel.from_pretrained("bob/weights")
        assert AutoModel.from_pretrained("bob/weights", trust_remote_code=True)(torch.ones(1, 5)).item() == 5


def test_minilm(minilm):
    assert type(AutoTokenizer.from_pretrained(minilm)) is BertTokenizer
    assert type(AutoModel.from_pretrained(minilm)) is BertModel


# ---- tokenizers that tokenizer.json describes ----


@pytest.mark.parametrize("family", [None, "bert", "gpt2", "llama"])
@pytest.mark.parametrize("name", [None, "PreTrainedTokenizerFast", "TokenizersBackend", "PreTrainedTokenizer", "PythonBackend", "KlingonTokenizer",
                                  "BertTokenizerFast"])
def test_tokenizer_json_decides(tmp_path, monkeypatch, family, name):
    "The same decision as the reference's, whatever config.json says"
    import transformers
    from transformers.tokenization_utils_tokenizers import TokenizersBackend

    put(tmp_path, "tokenizer.json", {"model": {"type": "WordPiece"}})
    if family:
        put(tmp_path, "config.json", {"model_type": family})
    if name:
        put(tmp_path, "tokenizer_config.json", {"tokenizer_class": name})
    asked = []
    for cls in (TokenizersBackend, transformers.BertTokenizer, transformers.GPT2Tokenizer):
        monkeypatch.setattr(cls, "from_pretrained", classmethod(lambda cls, *args, **kwargs: asked.append(cls)))
    ours = auto.find_tokenizer_class(tmp_path, {})
    assert ours is {"BertTokenizerFast": BertTokenizer, None: {"bert": BertTokenizer, "gpt2": GPT2Tokenizer}.get(family)}.get(name) or \
        ours is auto.import_class("tokenizers.base", "PreTrainedTokenizerFast")
    if family == "llama" or family is None and name is None:
        return  # a family of theirs; without any name they want a config.json
    try:
        transformers.AutoTokenizer.from_pretrained(tmp_path)
    except OSError:
        assert family is None  # they want a config.json
        return
    assert asked[0].__name__.replace("TokenizersBackend", "PreTrainedTokenizer") == ours.__name__.replace("PreTrainedTokenizerFast", "PreTrainedTokenizer")


@pytest.mark.parametrize("data", [{"tokenizer_class": 5}, {"tokenizer_class": ["BertTokenizer"]}, {"tokenizer_class": {"a": 1}}])
def test_tokenizer_classes_that_are_no_text(tmp_path, data):
    for file in ("tokenizer_config.json", "config.json"):
        put(tmp_path, "config.json", {"model_type": "bert"})
        put(tmp_path, file, data)
        with pytest.raises(ValueError, match='"tokenizer_class" should be text'):
            AutoTokenizer.from_pretrained(tmp_path)


def test_a_file_in_place_of_a_folder(tiny):
    for file in (tiny / "vocab.txt", tiny / "config.json"):
        with pytest.raises(NotADirectoryError, match="give the folder"):
            AutoTokenizer.from_pretrained(file)
    for cls in (AutoConfig, AutoModel, AutoModelForMaskedLM, BertModel):
        with pytest.raises((OSError, ValueError), match="model.safetensors (holds weights|is a file): give the folder"):
            cls.from_pretrained(tiny / "model.safetensors")
    with pytest.raises(OSError, match="config.json is a file: give the folder"):
        AutoModel.from_pretrained(tiny / "config.json")


# ---- without a network ----


@pytest.mark.parametrize("how", ["environment", "argument"])
def test_unknown_names_offline(tmp_path, monkeypatch, how):
    from minihf import pipeline

    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1" if how == "environment" else "0")
    where = {} if how == "environment" else {"local_files_only": True}
    calls = [cls.from_pretrained for cls in (AutoConfig, AutoModel, AutoTokenizer, AutoModelForCausalLM, BertModel)]
    calls += [lambda name: pipeline("fill-mask", name)] if how == "environment" else []
    for call in calls:
        with pytest.raises(FileNotFoundError, match="'nobody/nothing'.* not in the cache.*network is off"):
            call("nobody/nothing", **where)


# ---- every argument of the reference ----


def test_every_argument_is_obeyed_or_refused(tiny, caplog):
    obeyed = dict(cache_dir=None, force_download=False, local_files_only=False, token=None, revision="main", subfolder="", proxies=None,
                  trust_remote_code=False, code_revision=None, gguf_file=None, _from_auto=True, _commit_hash=None)
    for name, value in obeyed.items():
        assert AutoConfig.from_pretrained(tiny, **{name: value}).hidden_size == 8
        assert type(AutoTokenizer.from_pretrained(tiny, **{name: value})) is BertTokenizer
        assert type(AutoModelForMaskedLM.from_pretrained(tiny, **{name: value})) is BertForMaskedLM
    assert type(AutoTokenizer.from_pretrained(tiny, use_fast=None, mistral_format=False, config=None, tokenizer_type=None)) is BertTokenizer
    assert type(AutoModelForMaskedLM.from_pretrained(tiny, adapter_kwargs=None, config=None)) is BertForMaskedLM
    assert caplog.text == ""
    for cls in (AutoConfig, AutoModel, AutoTokenizer):
        with pytest.raises(ValueError, match="gguf_file"):
            cls.from_pretrained(tiny, gguf_file="x.gguf")
    with pytest.raises(ValueError, match="mistral_format"):
        AutoTokenizer.from_pretrained(tiny, mistral_format=True)
    with pytest.raises(ValueError, match="adapter_kwargs"):
        AutoModel.from_pretrained(tiny, adapter_kwargs={"revision": "x"})
    AutoConfig.from_pretrained(tiny, hiden_size=3)
    assert "does not know 'hiden_size'" in caplog.text and "hidden_size?" in caplog.text


def test_code_revision(toy, tmp_path, monkeypatch):
    with HubServer() as hub:
        hub.use(monkeypatch, tmp_path / "home")
        code = hub.add("ada/code", toy)
        data = json.loads((toy / "config.json").read_text())
        data["auto_map"] = {k: f"ada/code--{v}" for k, v in data["auto_map"].items() if isinstance(v, str)}
        put(toy, "config.json", data)
        hub.add("bob/weights", {n: (toy / n).read_bytes() for n in ("config.json", "model.safetensors")})
        put(toy, "modeling_toy.py", "raise SystemExit('a later version was run')")
        hub.add("ada/code", toy)
        model = AutoModel.from_pretrained("bob/weights", trust_remote_code=True, code_revision=code)
        assert type(model).__name__ == "ToyModel"


WRONG = [5, 2.5, ["a"], {"a": 1}, b"x", True, object()]


@pytest.mark.parametrize("wrong", [None, *WRONG])
def test_places_of_the_wrong_kind(wrong):
    for cls in (AutoConfig, AutoModel, AutoModelForMaskedLM, AutoTokenizer):
        with pytest.raises(TypeError, match="pretrained_model_name_or_path should be"):
            cls.from_pretrained(wrong)
    with pytest.raises(TypeError, match="config should be"):
        AutoModel.from_config(wrong)
    with pytest.raises(TypeError, match="model_type should be"):
        AutoConfig.for_model(wrong)
    for call, valid in ((AutoConfig.register, ["new-model", NewModelConfig]), (AutoModel.register, [NewModelConfig, NewModel]),
                        (AutoTokenizer.register, [NewModelConfig, BertTokenizer])):
        for i in range(2):
            if call == AutoTokenizer.register and i == 1 and wrong is None:
                continue  # not given
            with pytest.raises(TypeError, match="should be"):
                call(*valid[:i], wrong, *valid[i + 1:])
        if wrong is not True:
            with pytest.raises(TypeError, match="exist_ok should be bool"):
                call(*valid, exist_ok=wrong)
    for call in (AutoConfig.register, AutoModel.register, AutoTokenizer.register):
        with pytest.raises(TypeError, match="should be"):
            call(*(["int", int] if call == AutoConfig.register else [int, NewModel]))


@pytest.mark.parametrize("wrong", WRONG)
def test_settings_of_the_wrong_kind(tiny, wrong):
    for cls in (AutoConfig, AutoModel, AutoTokenizer):
        for name in ("trust_remote_code", "code_revision") if wrong is not True else ("code_revision",):
            with pytest.raises(TypeError, match=f"{name} should be"):
                cls.from_pretrained(tiny, **{name: wrong})
    with pytest.raises(TypeError, match="tokenizer_type should be"):
        AutoTokenizer.from_pretrained(tiny, tokenizer_type=wrong)
    for cls in (AutoModel, AutoTokenizer):
        with pytest.raises(TypeError, match="config should be"):
            cls.from_pretrained(tiny, config=wrong)


# ---- text from files ----


def test_text_from_files_is_shown_escaped(tmp_path):
    evil = "\x1b[31mred"
    for file, data in (("config.json", {"model_type": evil}), ("config.json", {"auto_map": {"AutoConfig": evil}}),
                       ("config.json", {"model_type": [evil]}), ("config.json", {"auto_map": {"AutoConfig": f"{evil}--a.B"}}),
                       ("tokenizer_config.json", {"tokenizer_class": evil}), ("tokenizer_config.json", {"tokenizer_class": [evil]})):
        folder = put(tmp_path / str(hash(str(data)))[1:], file, data)
        for cls in (AutoConfig, AutoModel, AutoTokenizer) if file == "config.json" else (AutoTokenizer,):
            try:
                cls.from_pretrained(folder)
            except (OSError, ValueError) as e:
                assert "\x1b" not in str(e)
                assert "x1b" in str(e) or cls is AutoTokenizer and "auto_map" in data
            else:
                pytest.fail(f"{data} was read")
    with pytest.raises(ValueError) as e:
        AutoModel.from_config(NewModelConfig(_name_or_path=evil, auto_map={"AutoModel": "a.B"}))
    assert "\x1b" not in str(e.value)


@pytest.mark.parametrize("model", ["minihf/tiny-bert", "minihf/tiny-gpt2"])
@pytest.mark.parametrize("name", ["PreTrainedTokenizerFast", "TokenizersBackend", "KlingonTokenizer", None])
def test_folders_with_only_a_tokenizer_json(tmp_path, model, name):
    "The same ids as the reference, with and without a config.json"
    import shutil

    import transformers
    from minihf.hub import local_path

    transformers.AutoTokenizer.from_pretrained(local_path(model)).save_pretrained(tmp_path / "saved")
    for family in (None, "llama"):
        folder = put(tmp_path / str(family), "tokenizer_config.json", {"tokenizer_class": name} if name else {})
        shutil.copy(tmp_path / "saved" / "tokenizer.json", folder)
        if family:
            put(folder, "config.json", {"model_type": family})
        ours, theirs = (m.AutoTokenizer.from_pretrained(folder)("Return a list.", "Unfamiliar ü words")["input_ids"] for m in (auto, transformers))
        assert ours == theirs
