"""minihf: Hugging Face `transformers` rebuilt by hand, chapter by chapter.

Public names load the module that defines them when they are first used, so that `from minihf import AutoTokenizer` takes
milliseconds and never imports torch. The table below is the public API; `tests/test_api.py` compares it with the imports
that editors and type checkers read.
"""
__version__ = "0.0.1"

from importlib import import_module
from typing import TYPE_CHECKING

from . import _aliases  # noqa: F401, the module names of `transformers`

_MODULES = {
    "auto": (
        "AutoConfig AutoTokenizer AutoModel AutoModelForPreTraining AutoModelForMaskedLM "
        "AutoModelForCausalLM AutoModelForSequenceClassification "
        "AutoModelForTokenClassification AutoModelForQuestionAnswering "
        "AutoModelForMultipleChoice AutoModelForNextSentencePrediction "
        "AutoModelForTextEncoding AutoModelForSeq2SeqLM AutoModelForMaskGeneration"
    ),
    "cache": "DynamicCache",
    "config": (
        "PretrainedConfig PreTrainedConfig BertConfig DistilBertConfig GPT2Config "
        "RobertaConfig ElectraConfig AlbertConfig EncoderDecoderConfig"
    ),
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
    "generation.search": "GenerationConfig GenerationMixin TextStreamer TextIteratorStreamer",
    "modeling": "PreTrainedModel",
    "models.bert": (
        "BertPreTrainedModel BertModel BertForMaskedLM BertLMHeadModel BertForPreTraining "
        "BertForNextSentencePrediction BertForSequenceClassification "
        "BertForTokenClassification BertForQuestionAnswering BertForMultipleChoice"
    ),
    "models.distilbert": (
        "DistilBertPreTrainedModel DistilBertModel DistilBertForMaskedLM "
        "DistilBertForSequenceClassification DistilBertForTokenClassification "
        "DistilBertForQuestionAnswering DistilBertForMultipleChoice"
    ),
    "models.gpt2": (
        "GPT2PreTrainedModel GPT2Model GPT2LMHeadModel GPT2DoubleHeadsModel "
        "GPT2ForSequenceClassification GPT2ForTokenClassification "
        "GPT2ForQuestionAnswering"
    ),
    "models.roberta": (
        "RobertaPreTrainedModel RobertaModel RobertaForMaskedLM RobertaForCausalLM "
        "RobertaForSequenceClassification RobertaForTokenClassification "
        "RobertaForQuestionAnswering RobertaForMultipleChoice"
    ),
    "models.electra": (
        "ElectraPreTrainedModel ElectraModel ElectraForPreTraining ElectraForMaskedLM "
        "ElectraForCausalLM ElectraForSequenceClassification "
        "ElectraForTokenClassification ElectraForQuestionAnswering "
        "ElectraForMultipleChoice"
    ),
    "models.albert": (
        "AlbertPreTrainedModel AlbertModel AlbertForPreTraining AlbertForMaskedLM "
        "AlbertForSequenceClassification AlbertForTokenClassification "
        "AlbertForQuestionAnswering AlbertForMultipleChoice"
    ),
    "models.encoder_decoder": "EncoderDecoderModel",
    "pipelines": (
        "pipeline Pipeline TextClassificationPipeline TokenClassificationPipeline "
        "NerPipeline QuestionAnsweringPipeline FillMaskPipeline TextGenerationPipeline "
        "FeatureExtractionPipeline ZeroShotClassificationPipeline "
        "SentenceSimilarityPipeline"
    ),
    "speed": "optimize_for_inference",
    "tokenizers.base": (
        "AddedToken BatchEncoding PreTrainedTokenizer PreTrainedTokenizerBase "
        "PreTrainedTokenizerFast BertTokenizer BertTokenizerFast DistilBertTokenizer "
        "DistilBertTokenizerFast GPT2Tokenizer GPT2TokenizerFast CharSpan TokenSpan"
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
    from .auto import (
        AutoConfig, AutoTokenizer, AutoModel, AutoModelForPreTraining,
        AutoModelForMaskedLM, AutoModelForCausalLM, AutoModelForSequenceClassification,
        AutoModelForTokenClassification, AutoModelForQuestionAnswering,
        AutoModelForMultipleChoice, AutoModelForNextSentencePrediction,
        AutoModelForTextEncoding, AutoModelForSeq2SeqLM, AutoModelForMaskGeneration,
    )
    from .cache import DynamicCache
    from .config import (
        PretrainedConfig, PreTrainedConfig, BertConfig, DistilBertConfig, GPT2Config,
        RobertaConfig, ElectraConfig, AlbertConfig, EncoderDecoderConfig,
    )
    from .data import (
        default_data_collator, DefaultDataCollator, DataCollatorWithPadding,
        DataCollatorForLanguageModeling, DataCollatorForTokenClassification,
        DataCollatorForMultipleChoice, DataCollatorForSeq2Seq,
    )
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
    from .generation.search import (
        GenerationConfig, GenerationMixin, TextStreamer, TextIteratorStreamer,
    )
    from .modeling import PreTrainedModel
    from .models.bert import (
        BertPreTrainedModel, BertModel, BertForMaskedLM, BertLMHeadModel,
        BertForPreTraining, BertForNextSentencePrediction,
        BertForSequenceClassification, BertForTokenClassification,
        BertForQuestionAnswering, BertForMultipleChoice,
    )
    from .models.distilbert import (
        DistilBertPreTrainedModel, DistilBertModel, DistilBertForMaskedLM,
        DistilBertForSequenceClassification, DistilBertForTokenClassification,
        DistilBertForQuestionAnswering, DistilBertForMultipleChoice,
    )
    from .models.gpt2 import (
        GPT2PreTrainedModel, GPT2Model, GPT2LMHeadModel, GPT2DoubleHeadsModel,
        GPT2ForSequenceClassification, GPT2ForTokenClassification,
        GPT2ForQuestionAnswering,
    )
    from .models.roberta import (
        RobertaPreTrainedModel, RobertaModel, RobertaForMaskedLM, RobertaForCausalLM,
        RobertaForSequenceClassification, RobertaForTokenClassification,
        RobertaForQuestionAnswering, RobertaForMultipleChoice,
    )
    from .models.electra import (
        ElectraPreTrainedModel, ElectraModel, ElectraForPreTraining, ElectraForMaskedLM,
        ElectraForCausalLM, ElectraForSequenceClassification,
        ElectraForTokenClassification, ElectraForQuestionAnswering,
        ElectraForMultipleChoice,
    )
    from .models.albert import (
        AlbertPreTrainedModel, AlbertModel, AlbertForPreTraining, AlbertForMaskedLM,
        AlbertForSequenceClassification, AlbertForTokenClassification,
        AlbertForQuestionAnswering, AlbertForMultipleChoice,
    )
    from .models.encoder_decoder import EncoderDecoderModel
    from .pipelines import (
        pipeline, Pipeline, TextClassificationPipeline, TokenClassificationPipeline,
        NerPipeline, QuestionAnsweringPipeline, FillMaskPipeline,
        TextGenerationPipeline, FeatureExtractionPipeline,
        ZeroShotClassificationPipeline, SentenceSimilarityPipeline,
    )
    from .speed import optimize_for_inference
    from .tokenizers.base import (
        AddedToken, BatchEncoding, PreTrainedTokenizer, PreTrainedTokenizerBase,
        PreTrainedTokenizerFast, BertTokenizer, BertTokenizerFast, DistilBertTokenizer,
        DistilBertTokenizerFast, GPT2Tokenizer, GPT2TokenizerFast, CharSpan, TokenSpan,
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
