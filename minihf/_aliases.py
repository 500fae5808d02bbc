"""The module names of `transformers`, under which other people's code imports what is here in fewer modules.

`from minihf.models.bert.modeling_bert import BertModel` and `from minihf.modeling_outputs import ModelOutput` work, although no such
files are there: a finder answers for the names in the table with modules that look their contents up where the table says.
"""
import sys
from importlib import import_module
from importlib.machinery import PathFinder, SourceFileLoader
from importlib.util import spec_from_file_location, spec_from_loader

TRAINING = (
    "training.trainer training.parts training.callbacks training.arguments "
    "training.schedules training.loop training.evaluation training.checkpoints "
    "training.resume training.search training.batches"
)
ALIASES = {  # name in transformers -> the modules here that hold what it holds
    "activations": "layers",
    "cache_utils": "cache",
    "configuration_utils": "config",
    "data.data_collator": "data",
    "file_utils": "modeling_outputs hub tokenizers.base",
    "generation.configuration_utils": "generation.search",
    "generation.logits_process": "generation.logits",
    "generation.stopping_criteria": "generation.logits",
    "generation.streamers": "generation.search",
    "generation.utils": "generation.search generation.logits",
    "modeling_utils": "modeling loading layers",
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
    "tokenization_utils_base": "tokenizers.base",
    "tokenization_utils_fast": "tokenizers.base",
    "trainer": TRAINING,
    "trainer_callback": TRAINING,
    "trainer_pt_utils": TRAINING,
    "trainer_seq2seq": TRAINING,
    "trainer_utils": TRAINING,
    "training_args": TRAINING,
    "training_args_seq2seq": TRAINING,
    "utils": "hub modeling_outputs tokenizers.base",
}
for family in ("albert", "bert", "distilbert", "electra", "gpt2", "roberta"):
    ALIASES[f"models.{family}.modeling_{family}"] = f"models.{family} modeling modeling_outputs"
    ALIASES[f"models.{family}.configuration_{family}"] = "config"
    ALIASES[f"models.{family}.tokenization_{family}"] = "tokenizers.base"
    ALIASES[f"models.{family}.tokenization_{family}_fast"] = "tokenizers.base"

FOLDERS = {name.rpartition(".")[0] for name in ALIASES}  # real or not, with aliases below


class Folder(SourceFileLoader):
    "Loads a module below which there are aliases, as if it were a folder."

    def exec_module(self, module):
        module.__path__ = []
        super().exec_module(module)


class Aliases:
    "Finds and loads the modules of the table."

    @staticmethod
    def find_spec(fullname, path=None, target=None):
        package, _, name = fullname.partition(".")
        if package != "minihf":
            return None
        if name in ALIASES:
            return spec_from_loader(fullname, Aliases, is_package=name in FOLDERS)
        if name in FOLDERS:
            spec = PathFinder.find_spec(fullname, path)
            if spec and spec.submodule_search_locations is None:  # a file
                loader = Folder(fullname, spec.origin)
                return spec_from_file_location(fullname, spec.origin, loader=loader)

    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        name = module.__name__.partition(".")[2]
        homes = [f"minihf.{home}" for home in ALIASES[name].split()]

        def look_up(attribute):
            if not attribute.startswith("__"):  # Python asks for those of every module
                for home in map(import_module, homes):
                    if hasattr(home, attribute):
                        return getattr(home, attribute)
            raise AttributeError(
                f"minihf.{name} has no {attribute!r}; it stands for {', '.join(homes)}"
            )

        module.__doc__ = f"The name that `transformers` has for {', '.join(homes)}."
        module.__getattr__ = look_up


sys.meta_path.insert(0, Aliases)
