"RoBERTa: BERT, but."
import torch
from torch import Tensor, nn

from ..config import RobertaConfig
from ..generation.search import GenerationMixin
from ..heads import CausalLM, MaskedLM, MultipleChoice, QuestionAnswering, SequenceClassification, TokenClassification
from ..layers import activation
from .bert import BertEmbeddings, BertModel, BertPreTrainedModel


class RobertaEmbeddings(BertEmbeddings):
    "BERT's, but positions count from the padding index on, and padding has a position of its own."

    def __init__(self, config):
        nn.Module.__init__(self)
        d, pad = config.hidden_size, config.pad_token_id
        self.word_embeddings = nn.Embedding(config.vocab_size, d, padding_idx=pad)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, d)
        self.LayerNorm = nn.LayerNorm(d, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, d, padding_idx=pad)

    def positions(self, input_ids, x, past):
        pad = self.position_embeddings.padding_idx
        if input_ids is None:  # nobody knows what is padding
            return torch.arange(pad + 1 + past, pad + 1 + past + x.shape[1], device=x.device)
        real = (input_ids != pad).long()  # (b, s)
        return (real.cumsum(1) + past) * real + pad


class RobertaPreTrainedModel(BertPreTrainedModel):
    config_class, base_model_prefix = RobertaConfig, "roberta"


class RobertaModel(RobertaPreTrainedModel, BertModel):
    "A BERT trained longer, on more text, without the next sentence. Liu et al. 2019."

    def add_embeddings(self, config):
        self.embeddings = RobertaEmbeddings(config)


class RobertaLMHead(nn.Module):
    "From a hidden state to a score for every word in the vocabulary."

    def __init__(self, config):
        super().__init__()
        d = config.hidden_size
        self.dense, self.layer_norm = nn.Linear(d, d), nn.LayerNorm(d, eps=config.layer_norm_eps)
        self.decoder = nn.Linear(d, config.vocab_size)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, x):  # (b, s, d)
        return self.decoder(self.layer_norm(nn.functional.gelu(self.dense(x))))  # (b, s, v)


class RobertaWithLMHead:
    "What is added to a RoBERTa that predicts words."

    body, body_options = RobertaModel, dict(add_pooling_layer=False)
    tied = {
        "lm_head.decoder.weight": "roberta.embeddings.word_embeddings.weight",
        "lm_head.decoder.bias": "lm_head.bias",
    }

    def add_head(self, config):
        self.lm_head = RobertaLMHead(config)

    def lm_logits(self, x):
        return self.lm_head(x)

    def get_output_embeddings(self):
        return self.lm_head.decoder

    def set_output_embeddings(self, value):
        self.lm_head.decoder, self.lm_head.bias = value, value.bias


class RobertaForMaskedLM(RobertaWithLMHead, MaskedLM, RobertaPreTrainedModel):
    "RoBERTa that fills in the blanks."


class RobertaForCausalLM(RobertaWithLMHead, CausalLM, RobertaPreTrainedModel, GenerationMixin):
    "RoBERTa as a writer. Wants `config.is_decoder=True`."


class RobertaClassificationHead(nn.Module):
    "`<s>` through a matrix and tanh, then scores."

    def __init__(self, config):
        super().__init__()
        p = config.classifier_dropout
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout_prob if p is None else p)
        self.out_proj = nn.Linear(config.hidden_size, config.num_labels)

    def forward(self, x):  # (b, s, d)
        return self.out_proj(self.dropout(torch.tanh(self.dense(self.dropout(x[:, 0])))))


class RobertaForSequenceClassification(SequenceClassification, RobertaPreTrainedModel):
    "RoBERTa that sorts texts."

    body, body_options = RobertaModel, dict(add_pooling_layer=False)

    def add_head(self, config):
        self.classifier = RobertaClassificationHead(config)

    def class_logits(self, out, inputs):
        return self.classifier(out.last_hidden_state)


class RobertaForTokenClassification(TokenClassification, RobertaPreTrainedModel):
    body, body_options = RobertaModel, dict(add_pooling_layer=False)


class RobertaForQuestionAnswering(QuestionAnswering, RobertaPreTrainedModel):
    body, body_options = RobertaModel, dict(add_pooling_layer=False)


class RobertaForMultipleChoice(MultipleChoice, RobertaPreTrainedModel):
    body = RobertaModel
