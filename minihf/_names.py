"""Small names of `transformers` that other people's code imports: words for options, names of files, a question about torch."""
from enum import Enum

CONFIG_NAME, GENERATION_CONFIG_NAME = "config.json", "generation_config.json"
SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME = "model.safetensors", "model.safetensors.index.json"
WEIGHTS_NAME, WEIGHTS_INDEX_NAME = "pytorch_model.bin", "pytorch_model.bin.index.json"
PREFIX_CHECKPOINT_DIR = "checkpoint"


class ExplicitEnum(str, Enum):
    "Words that may be given as text as well. Raises: `ValueError` that lists them."

    @classmethod
    def _missing_(cls, value):
        known = ", ".join(repr(word.value) for word in cls)
        raise ValueError(f"{value!r} is not a valid {cls.__name__}; there are {known}.")


class TensorType(ExplicitEnum):
    "What a tokenizer's `return_tensors` may be."
    PYTORCH, NUMPY, MLX = "pt", "np", "mlx"


class PaddingStrategy(ExplicitEnum):
    "What a tokenizer's `padding` may be."
    LONGEST, MAX_LENGTH, DO_NOT_PAD = "longest", "max_length", "do_not_pad"


class TruncationStrategy(ExplicitEnum):
    "What a tokenizer's `truncation` may be."
    ONLY_FIRST, ONLY_SECOND = "only_first", "only_second"
    LONGEST_FIRST, DO_NOT_TRUNCATE = "longest_first", "do_not_truncate"


def is_torch_available() -> bool:
    "Is torch installed? It has to be, for models."
    from importlib.util import find_spec

    return find_spec("torch") is not None


def get_activation(name: str):
    "The activation of a name, as a module. Raises: `KeyError`."
    from .layers import ACT2FN

    return ACT2FN[name]


def __getattr__(name):
    if name == "Cache":  # any cache; it needs torch, so it is looked up when it is asked for
        from .cache import DynamicCache

        return DynamicCache
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
