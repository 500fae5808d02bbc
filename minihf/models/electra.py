"ELECTRA: BERT's layers, a narrow table, and another question: which tokens were replaced?"
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import ElectraConfig
from ..generation.search import GenerationMixin
from ..heads import (
    CausalLM, Head, MaskedLM, MultipleChoice, QuestionAnswering, SequenceClassification, SequenceSummary, TokenClassification, head_dropout,
    forward_with_labels,
)
from ..layers import activation
from ..modeling import BaseModelOutputWithPastAndCrossAttentions, ElectraForPreTrainingOutput
from .bert import BertEmbeddings, BertModel, BertPreTrainedModel


class ElectraPreTrainedModel(BertPreTrainedModel):
    config_class, base_model_prefix = ElectraConfig, "electra"


class ElectraModel(ElectraPreTrainedModel, BertModel):
    "BERT's layers behind a narrower table, no pooler. Clark et al. 2020."

    output = BaseModelOutputWithPastAndCrossAttentions

    def __init__(self, config):
        super().__init__(config, add_pooling_layer=False)

    def add_embeddings(self, config):
        self.embeddings = BertEmbeddings(config, config.embedding_size)
        if config.embedding_size != config.hidden_size:
            self.embeddings_project = nn.Linear(config.embedding_size, config.hidden_size)

    def embed(self, *given):
        x = self.embeddings(*given)
        return self.embeddings_project(x) if hasattr(self, "embeddings_project") else x


class ElectraWithLMHead:
    "What is added to an ELECTRA that predicts words: the generator of the pair."

    body, tied = ElectraModel, {"generator_lm_head.weight": "electra.embeddings.word_embeddings.weight"}

    def add_head(self, config):
        norm = nn.LayerNorm(config.embedding_size, eps=config.layer_norm_eps)
        self.generator_predictions = nn.ModuleDict({"LayerNorm": norm, "dense": nn.Linear(config.hidden_size, config.embedding_size)})
        self.generator_lm_head = nn.Linear(config.embedding_size, config.vocab_size)

    def lm_logits(self, x):
        own = self.generator_predictions
        return self.generator_lm_head(own["LayerNorm"](F.gelu(own["dense"](x))))

    def get_output_embeddings(self):
        return self.generator_lm_head

    def set_output_embeddings(self, value):
        self.generator_lm_head = value


class ElectraForMaskedLM(ElectraWithLMHead, MaskedLM, ElectraPreTrainedModel):
    "The generator: fills in the blanks."


class ElectraForCausalLM(ElectraWithLMHead, CausalLM, ElectraPreTrainedModel, GenerationMixin):
    "ELECTRA as a writer. Wants `config.is_decoder=True`."


class ElectraForPreTraining(Head, ElectraPreTrainedModel):
    "The discriminator: for every token, was it replaced? Labels (b, s): 1 = replaced."

    body, output, forward = ElectraModel, ElectraForPreTrainingOutput, forward_with_labels

    def add_head(self, config):
        d = config.hidden_size
        self.discriminator_predictions = nn.ModuleDict({"dense": nn.Linear(d, d), "dense_prediction": nn.Linear(d, 1)})
        self.act = activation(config.hidden_act)

    def answer(self, out, inputs, labels=None):
        own = self.discriminator_predictions
        logits = own["dense_prediction"](self.act(own["dense"](out.last_hidden_state))).squeeze(-1)  # (b, s)
        if labels is None:
            return None, logits
        mask = inputs["attention_mask"]
        real = torch.ones_like(logits, dtype=torch.bool) if mask is None else mask == 1
        return F.binary_cross_entropy_with_logits(logits[real], labels[real].float()), logits


class ElectraClassificationHead(nn.Module):
    "[CLS] through a matrix and gelu, then scores."

    def __init__(self, config):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.dropout = head_dropout(config)
        self.out_proj = nn.Linear(config.hidden_size, config.num_labels)

    def forward(self, x):  # (b, s, d)
        return self.out_proj(self.dropout(F.gelu(self.dense(self.dropout(x[:, 0])))))


class ElectraForSequenceClassification(SequenceClassification, ElectraPreTrainedModel):
    body = ElectraModel

    def add_head(self, config):
        self.classifier = ElectraClassificationHead(config)

    def class_logits(self, out, inputs):
        return self.classifier(out.last_hidden_state)


class ElectraForTokenClassification(TokenClassification, ElectraPreTrainedModel):
    body = ElectraModel


class ElectraForQuestionAnswering(QuestionAnswering, ElectraPreTrainedModel):
    body = ElectraModel


class ElectraForMultipleChoice(MultipleChoice, ElectraPreTrainedModel):
    body = ElectraModel

    def add_head(self, config):
        self.sequence_summary = SequenceSummary(config, config.hidden_size)
        self.classifier = nn.Linear(config.hidden_size, 1)

    def class_logits(self, out, inputs):
        return self.classifier(self.sequence_summary(out.last_hidden_state))
