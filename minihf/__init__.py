"""minihf: Hugging Face `transformers` rebuilt by hand, chapter by chapter.

Public names load the module that defines them when they are first used, so that `from minihf import AutoTokenizer` takes
milliseconds and never imports torch. The names of the families come from `families.TABLE`, all others stand in the table
below; `tools/public_names.py` writes the imports that editors and type checkers read.
"""
__version__ = "0.0.1"

from importlib import import_module
from typing import TYPE_CHECKING

from . import _aliases  # noqa: F401, the module names of `transformers`
from .families import public_names

_MODULES = {
    "_names": "Cache TensorType",
    "auto": (
        "AutoConfig AutoTokenizer AutoModel AutoModelForPreTraining AutoModelForMaskedLM "
        "AutoModelForCausalLM AutoModelForSequenceClassification "
        "AutoModelForTokenClassification AutoModelForQuestionAnswering "
        "AutoModelForMultipleChoice AutoModelForNextSentencePrediction "
        "AutoModelForTextEncoding AutoModelForSeq2SeqLM AutoModelForMaskGeneration"
    ),
    "cache": "Cache DynamicCache",
    "config": "PretrainedConfig PreTrainedConfig",
    "data": (
        "default_data_collator DefaultDataCollator DataCollatorWithPadding "
        "DataCollatorForLanguageModeling DataCollatorForTokenClassification "
        "DataCollatorForMultipleChoice DataCollatorForSeq2Seq"
    ),
    "generation.logits": (
        "LogitsProcessor LogitsProcessorList TemperatureLogitsWarper TopKLogitsWarper "
        "TopPLogitsWarper MinPLogitsWarper TypicalLogitsWarper EpsilonLogitsWarper "
        "EtaLogitsWarper RepetitionPenaltyLogitsProcessor NoRepeatNGramLogitsProcessor "
        "SequenceBiasLogitsProcessor NoBadWordsLogitsProcessor MinLengthLogitsProcessor "
        "MinNewTokensLengthLogitsProcessor ForcedBOSTokenLogitsProcessor "
        "ForcedEOSTokenLogitsProcessor ExponentialDecayLengthPenalty "
        "SuppressTokensLogitsProcessor SuppressTokensAtBeginLogitsProcessor "
        "PrefixConstrainedLogitsProcessor InfNanRemoveLogitsProcessor LogitNormalization "
        "StoppingCriteria StoppingCriteriaList MaxLengthCriteria MaxTimeCriteria "
        "EosTokenCriteria StopStringCriteria"
    ),
    "generation.config": "GenerationConfig",
    "generation.generate": "GenerationMixin",
    "generation.streamers": "TextStreamer TextIteratorStreamer",
    "modeling": "PreTrainedModel",
    "models.gpt2": "GPT2DoubleHeadsModel",
    "pipelines": (
        "pipeline Pipeline TextClassificationPipeline TokenClassificationPipeline "
        "NerPipeline QuestionAnsweringPipeline FillMaskPipeline TextGenerationPipeline "
        "FeatureExtractionPipeline ZeroShotClassificationPipeline "
        "SentenceSimilarityPipeline"
    ),
    "compare": "compare_models recommend search_models",
    "speed": "optimize_for_inference",
    "tokenizers.base": (
        "AddedToken BatchEncoding PreTrainedTokenizer PreTrainedTokenizerBase "
        "PreTrainedTokenizerFast CharSpan TokenSpan"
    ),
    "training.arguments": (
        "TrainingArguments Seq2SeqTrainingArguments IntervalStrategy"
    ),
    "training.callbacks": (
        "TrainerState TrainerControl TrainerCallback DefaultFlowCallback PrinterCallback "
        "ProgressCallback EarlyStoppingCallback"
    ),
    "training.evaluation": "EvalPrediction",
    "training.loop": "set_seed",
    "training.schedules": (
        "SchedulerType get_scheduler get_constant_schedule "
        "get_constant_schedule_with_warmup get_linear_schedule_with_warmup "
        "get_cosine_schedule_with_warmup "
        "get_cosine_with_hard_restarts_schedule_with_warmup "
        "get_polynomial_decay_schedule_with_warmup get_inverse_sqrt_schedule "
        "get_reduce_on_plateau_schedule"
    ),
    "training.trainer": "Trainer Seq2SeqTrainer",
}
_HOME = {name: module for module, names in _MODULES.items() for name in names.split()}
_HOME |= public_names()
__all__ = ["__version__", *_HOME]


def __getattr__(name):
    if name in _HOME:
        value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    else:
        try:
            value = import_module(f"{__name__}.{name}")
        except ModuleNotFoundError as e:
            if e.name != f"{__name__}.{name}":
                raise
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *__all__})


if TYPE_CHECKING:  # for editors: the same names
    from ._names import TensorType
    from .auto import (
        AutoConfig, AutoTokenizer, AutoModel, AutoModelForPreTraining,
        AutoModelForMaskedLM, AutoModelForCausalLM, AutoModelForSequenceClassification,
        AutoModelForTokenClassification, AutoModelForQuestionAnswering,
        AutoModelForMultipleChoice, AutoModelForNextSentencePrediction,
        AutoModelForTextEncoding, AutoModelForSeq2SeqLM, AutoModelForMaskGeneration,
    )
    from .cache import Cache, DynamicCache
    from .compare import compare_models, recommend, search_models
    from .config import (
        PretrainedConfig, PreTrainedConfig, BertConfig, DistilBertConfig, RobertaConfig,
        ElectraConfig, AlbertConfig, GPT2Config, EncoderDecoderConfig, LlamaConfig,
    )
    from .data import (
        default_data_collator, DefaultDataCollator, DataCollatorWithPadding,
        DataCollatorForLanguageModeling, DataCollatorForTokenClassification,
        DataCollatorForMultipleChoice, DataCollatorForSeq2Seq,
    )
    from .generation.config import GenerationConfig
    from .generation.generate import GenerationMixin
    from .generation.logits import (
        LogitsProcessor, LogitsProcessorList, TemperatureLogitsWarper, TopKLogitsWarper,
        TopPLogitsWarper, MinPLogitsWarper, TypicalLogitsWarper, EpsilonLogitsWarper,
        EtaLogitsWarper, RepetitionPenaltyLogitsProcessor, NoRepeatNGramLogitsProcessor,
        SequenceBiasLogitsProcessor, NoBadWordsLogitsProcessor,
        MinLengthLogitsProcessor, MinNewTokensLengthLogitsProcessor,
        ForcedBOSTokenLogitsProcessor, ForcedEOSTokenLogitsProcessor,
        ExponentialDecayLengthPenalty, SuppressTokensLogitsProcessor,
        SuppressTokensAtBeginLogitsProcessor, PrefixConstrainedLogitsProcessor,
        InfNanRemoveLogitsProcessor, LogitNormalization, StoppingCriteria,
        StoppingCriteriaList, MaxLengthCriteria, MaxTimeCriteria, EosTokenCriteria,
        StopStringCriteria,
    )
    from .generation.streamers import TextStreamer, TextIteratorStreamer
    from .modeling import PreTrainedModel
    from .models.albert import (
        AlbertPreTrainedModel, AlbertModel, AlbertForPreTraining, AlbertForMaskedLM,
        AlbertForSequenceClassification, AlbertForTokenClassification,
        AlbertForQuestionAnswering, AlbertForMultipleChoice,
    )
    from .models.bert import (
        BertPreTrainedModel, BertModel, BertLMHeadModel, BertForPreTraining,
        BertForNextSentencePrediction, BertForMaskedLM, BertForSequenceClassification,
        BertForTokenClassification, BertForQuestionAnswering, BertForMultipleChoice,
    )
    from .models.distilbert import (
        DistilBertPreTrainedModel, DistilBertModel, DistilBertForMaskedLM,
        DistilBertForSequenceClassification, DistilBertForTokenClassification,
        DistilBertForQuestionAnswering, DistilBertForMultipleChoice,
    )
    from .models.electra import (
        ElectraPreTrainedModel, ElectraModel, ElectraForPreTraining, ElectraForCausalLM,
        ElectraForMaskedLM, ElectraForSequenceClassification,
        ElectraForTokenClassification, ElectraForQuestionAnswering,
        ElectraForMultipleChoice,
    )
    from .models.encoder_decoder import EncoderDecoderModel
    from .models.gpt2 import (
        GPT2DoubleHeadsModel, GPT2PreTrainedModel, GPT2Model, GPT2LMHeadModel,
        GPT2ForSequenceClassification, GPT2ForTokenClassification,
        GPT2ForQuestionAnswering,
    )
    from .models.llama import (
        LlamaPreTrainedModel, LlamaModel, LlamaForCausalLM,
        LlamaForSequenceClassification, LlamaForTokenClassification,
        LlamaForQuestionAnswering,
    )
    from .models.roberta import (
        RobertaPreTrainedModel, RobertaModel, RobertaForMaskedLM, RobertaForCausalLM,
        RobertaForSequenceClassification, RobertaForTokenClassification,
        RobertaForQuestionAnswering, RobertaForMultipleChoice,
    )
    from .pipelines import (
        pipeline, Pipeline, TextClassificationPipeline, TokenClassificationPipeline,
        NerPipeline, QuestionAnsweringPipeline, FillMaskPipeline,
        TextGenerationPipeline, FeatureExtractionPipeline,
        ZeroShotClassificationPipeline, SentenceSimilarityPipeline,
    )
    from .speed import optimize_for_inference
    from .tokenizers.base import (
        AddedToken, BatchEncoding, PreTrainedTokenizer, PreTrainedTokenizerBase,
        PreTrainedTokenizerFast, CharSpan, TokenSpan, BertTokenizer, BertTokenizerFast,
        DistilBertTokenizer, DistilBertTokenizerFast, RobertaTokenizer,
        RobertaTokenizerFast, GPT2Tokenizer, GPT2TokenizerFast,
    )
    from .training.arguments import (
        TrainingArguments, Seq2SeqTrainingArguments, IntervalStrategy,
    )
    from .training.callbacks import (
        TrainerState, TrainerControl, TrainerCallback, DefaultFlowCallback,
        PrinterCallback, ProgressCallback, EarlyStoppingCallback,
    )
    from .training.evaluation import EvalPrediction
    from .training.loop import set_seed
    from .training.schedules import (
        SchedulerType, get_scheduler, get_constant_schedule,
        get_constant_schedule_with_warmup, get_linear_schedule_with_warmup,
        get_cosine_schedule_with_warmup,
        get_cosine_with_hard_restarts_schedule_with_warmup,
        get_polynomial_decay_schedule_with_warmup, get_inverse_sqrt_schedule,
        get_reduce_on_plateau_schedule,
    )
    from .training.trainer import Trainer, Seq2SeqTrainer
