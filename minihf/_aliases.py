"""The module names of `transformers`, under which other people's code imports what is here in fewer modules.

`from minihf.models.bert.modeling_bert import BertModel` and `from minihf.modeling_outputs import ModelOutput` work, although no such
files are there: a finder answers for the names in the table with modules that look their contents up where the table says.
"""
import sys
from importlib import import_module
from importlib.machinery import PathFinder, SourceFileLoader
from importlib.util import spec_from_file_location, spec_from_loader

from .families import TABLE, module_of

TRAINING = (
    "training.trainer training.parts training.callbacks training.arguments "
    "training.schedules training.loop training.evaluation training.checkpoints "
    "training.resume training.search training.batches training.fsdp"
)
ALIASES = {  # name in transformers -> the modules here that hold it; "": all public names
    "activations": "layers _names",
    "cache_utils": "cache _names",
    "configuration_utils": "config",
    "data.data_collator": "data",
    "file_utils": "_names modeling_outputs hub tokenizers.base",
    "generation": "",
    "generation.configuration_utils": "generation.config",
    "generation.logits_process": "generation.logits",
    "generation.stopping_criteria": "generation.logits",
    "generation.utils": (
        "generation.generate generation.config generation.streamers generation.logits"
    ),
    "modeling_utils": "modeling loading layers",
    "models": "",
    "models.auto": "auto",
    "models.auto.auto_factory": "auto",
    "models.auto.configuration_auto": "auto",
    "models.auto.modeling_auto": "auto",
    "models.auto.tokenization_auto": "auto",
    "optimization": TRAINING,
    "pipelines.feature_extraction": "pipelines.text",
    "pipelines.fill_mask": "pipelines.text",
    "pipelines.pt_utils": "pipelines.base",
    "pipelines.question_answering": "pipelines.answers",
    "pipelines.text_classification": "pipelines.text",
    "pipelines.text_generation": "pipelines.writing",
    "pipelines.token_classification": "pipelines.tokens",
    "pipelines.zero_shot_classification": "pipelines.text",
    "pytorch_utils": "models.gpt2",
    "tokenization_utils": "tokenizers.base",
    "tokenization_utils_base": "tokenizers.base _names",
    "tokenization_utils_fast": "tokenizers.base",
    "trainer": TRAINING,
    "trainer_callback": TRAINING,
    "trainer_pt_utils": TRAINING,
    "trainer_seq2seq": TRAINING,
    "trainer_utils": TRAINING + " _names",
    "training_args": TRAINING,
    "training_args_seq2seq": TRAINING,
    "utils": "_names hub modeling_outputs tokenizers.base",
}
for family in TABLE:
    module, name = module_of(family), family.replace("-", "_")
    ALIASES[module] = ""
    ALIASES[f"{module}.modeling_{name}"] = f"{module} modeling modeling_outputs"
    ALIASES[f"{module}.configuration_{name}"] = "config"
    ALIASES[f"{module}.tokenization_{name}"] = "tokenizers.base"
    ALIASES[f"{module}.tokenization_{name}_fast"] = "tokenizers.base"

FOLDERS = {name.rpartition(".")[0] for name in ALIASES}  # real or not, with aliases below


def look_up(home: str, name: str):
    "What a module here has under a name, or None."
    if home:
        return getattr(import_module(f"minihf.{home}"), name, None)
    minihf = import_module("minihf")
    return getattr(minihf, name) if name in minihf.__all__ else None


def answer_for(alias: str):
    "The function that a module calls for a name which it does not hold itself."
    def find(name):
        if not name.startswith("__"):
            for home in ALIASES[alias].split(" "):
                found = look_up(home, name)
                if found is not None:
                    return found
        raise AttributeError(f"minihf.{alias} has no {name!r}")

    return find


class Real(SourceFileLoader):
    "Loads a module that is there, and lets it answer for the aliases as well."

    def exec_module(self, module):
        alias = module.__name__.partition(".")[2]
        if alias in FOLDERS and not hasattr(module, "__path__"):
            module.__path__ = []  # a file, but there are aliases below it
        super().exec_module(module)
        if alias in ALIASES:
            module.__getattr__ = answer_for(alias)


class Aliases:
    "Finds the modules of the table, and loads those that are not there."

    @staticmethod
    def find_spec(fullname, path=None, target=None):
        package, _, name = fullname.partition(".")
        if package != "minihf" or not (name in ALIASES or name in FOLDERS):
            return None
        real = PathFinder.find_spec(fullname, path)
        if real is None:
            return spec_from_loader(fullname, Aliases, is_package=name in FOLDERS)
        return spec_from_file_location(
            fullname, real.origin, loader=Real(fullname, real.origin),
            submodule_search_locations=real.submodule_search_locations,
        )

    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        alias = module.__name__.partition(".")[2]
        module.__doc__ = f"The name that `transformers` has for {ALIASES[alias] or 'this'}."
        module.__getattr__ = answer_for(alias)


sys.meta_path.insert(0, Aliases)
