"The package's front door: lazy names, light imports, errors, and what editors see."
import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import minihf
from minihf._aliases import ALIASES


def python(code):
    "Standard output of `code` in a fresh interpreter"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("name", minihf.__all__)
def test_every_public_name_resolves(name):
    assert getattr(minihf, name) is not None
    assert name in dir(minihf)


def test_star_import_gives_the_public_names():
    names = {}
    exec("from minihf import *", names)
    assert set(minihf.__all__) <= set(names)


def test_submodules_are_attributes():
    assert python("import minihf; print(minihf.attention.__name__)") == ["minihf.attention"]


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="AutoMagic"):
        minihf.AutoMagic
    with pytest.raises(ImportError, match="AutoMagic"):
        exec("from minihf import AutoMagic")


@pytest.mark.parametrize(
    "line",
    ["from minihf import AutoTokenizer", "from minihf import AutoConfig, BertConfig", "from minihf import BertTokenizer",
     "import minihf.hub", "import minihf.cli"],
)
def test_light_imports(line):
    heavy = "torch matplotlib huggingface_hub accelerate transformers tokenizers fastcore numpy"
    loaded = python(f"{line}\nimport sys\nprint(*[m for m in '{heavy}'.split() if m in sys.modules])")
    assert loaded == []


def test_using_a_tokenizer_needs_no_torch():
    code = """if 1:
        import sys
        from minihf import AutoTokenizer
        tokenizer = AutoTokenizer.from_pretrained("minihf/tiny-bert")
        print(len(tokenizer("a sentence")["input_ids"]) > 2, "torch" in sys.modules)"""
    assert python(code) == ["True", "False"]


def test_importing_models_loads_torch_and_nothing_else_that_is_heavy():
    heavy = "matplotlib huggingface_hub accelerate transformers tokenizers fastcore"
    code = f"from minihf import AutoModel, BertModel, GPT2LMHeadModel\nimport sys\nprint(*[m for m in '{heavy}'.split() if m in sys.modules])"
    assert python(code) == []


def test_editors_see_the_same_names():
    tree = ast.parse(Path(minihf.__file__).read_text())
    block = next(o for o in tree.body if isinstance(o, ast.If))
    seen = {a.name: o.module for o in block.body for a in o.names}
    assert seen == minihf._HOME


def test_package_never_imports_the_reference():
    root = Path(minihf.__file__).parent
    for f in root.rglob("*.py"):
        for o in ast.walk(ast.parse(f.read_text(encoding="utf-8"))):
            names = [a.name for a in o.names] if isinstance(o, ast.Import) else [o.module or ""] if isinstance(o, ast.ImportFrom) and not o.level else []
            assert not {n.split(".")[0] for n in names} & {"transformers", "tokenizers", "fastcore", "nbdev"}, f


@pytest.mark.parametrize("alias", sorted(ALIASES))
def test_public_names_are_found_under_the_reference_s_module_names(alias):
    try:
        theirs = importlib.import_module(f"transformers.{alias}")
    except ImportError:
        pytest.skip("a module of version 4")
    ours = importlib.import_module(f"minihf.{alias}")
    for name in set(minihf.__all__) & {n for n, o in vars(theirs).items() if getattr(o, "__module__", "") == theirs.__name__}:
        assert getattr(ours, name) is getattr(minihf, name), name


def test_aliases_are_modules_like_others():
    assert python("""if 1:
        import minihf, sys
        import minihf.models.gpt2.modeling_gpt2 as m
        from minihf.models.bert.modeling_bert import BertLayer
        print(m.GPT2Model.__module__, minihf.models.bert.modeling_bert.BertLayer is BertLayer, "transformers" in sys.modules)
    """) == ["minihf.models.gpt2", "True", "False"]
    with pytest.raises(ImportError, match="Nothing"):
        exec("from minihf.modeling_outputs import Nothing")
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("minihf.models.nothing")
    assert python("import minihf.modeling_utils, sys; print('torch' in sys.modules)") == ["False"]


def test_a_row_of_the_table_is_all_that_public_names_need():
    from minihf.families import TABLE, public_names

    for model_type, (config, tokenizer, models) in TABLE.items():
        assert {config, *models.values()} <= {*minihf.__all__}
        assert getattr(minihf, config).model_type == model_type
    names = public_names()
    assert names["BertLMHeadModel"] == "models.bert" and names["RobertaTokenizerFast"] == "tokenizers.base"


@pytest.mark.parametrize("line", """
from minihf import Cache, DynamicCache, TensorType
from minihf.activations import ACT2FN, get_activation
from minihf.cache_utils import Cache
from minihf.configuration_utils import PretrainedConfig
from minihf.file_utils import ModelOutput, TensorType
from minihf.generation import GenerationConfig, LogitsProcessorList, StoppingCriteria, TextIteratorStreamer
from minihf.generation.utils import GenerationMixin
from minihf.modeling_outputs import BaseModelOutput, CausalLMOutputWithCrossAttentions
from minihf.modeling_utils import PreTrainedModel
from minihf.models import BertModel
from minihf.models.bert import BertConfig, BertModel, BertTokenizer
from minihf.models.bert.modeling_bert import BertLayer, BertSelfAttention
from minihf.models.gpt2 import GPT2Tokenizer
from minihf.tokenization_utils_base import BatchEncoding, PaddingStrategy, TruncationStrategy
from minihf.trainer_utils import EvalPrediction, PREFIX_CHECKPOINT_DIR, get_last_checkpoint, set_seed
from minihf.utils import CONFIG_NAME, ModelOutput, PaddingStrategy, SAFE_WEIGHTS_NAME, TensorType, WEIGHTS_NAME, is_torch_available
""".strip().splitlines())
def test_lines_that_people_have_work_with_our_name_in_them(line):
    exec(line.replace("minihf", "transformers"), theirs := {})
    exec(line, ours := {})
    for name in set(theirs) - {"__builtins__"}:
        if isinstance(theirs[name], (str, bool)):
            assert ours[name] == theirs[name]
        elif name == "is_torch_available":
            assert ours[name]()


def test_words_for_options_are_the_reference_s():
    from transformers.tokenization_utils_base import TruncationStrategy
    from transformers.utils import PaddingStrategy, TensorType

    from minihf import BertTokenizer, _names

    for theirs in (TensorType, PaddingStrategy, TruncationStrategy):
        ours = getattr(_names, theirs.__name__)
        assert [(o.name, o.value) for o in ours] == [(o.name, o.value) for o in theirs]
        with pytest.raises(ValueError, match="'x' is not a valid"):
            ours("x")
    tokenizer = BertTokenizer.from_pretrained("minihf/tiny-bert")
    call = dict(return_tensors=_names.TensorType.NUMPY, padding=_names.PaddingStrategy.MAX_LENGTH, truncation=_names.TruncationStrategy.LONGEST_FIRST, max_length=5)
    assert tokenizer("a text", **call).input_ids.shape == (1, 5)
