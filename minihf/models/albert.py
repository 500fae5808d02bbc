"ALBERT: one layer, used over and over, behind a narrow table."
import torch
from torch import Tensor, nn

from ..body import self_attention
from ..config import AlbertConfig
from ..heads import (
    Head, MaskedLM, MultipleChoice, QuestionAnswering, SequenceClassification, TokenClassification, masked_lm_loss, next_sentence_loss,
)
from ..layers import activation
from ..modeling import AlbertForPreTrainingOutput, BaseModelOutputWithPooling
from .bert import BertEmbeddings, BertModel, BertPreTrainedModel


class AlbertAttention(nn.Module):
    "Look around, project, add what came in, norm."

    def __init__(self, config):
        super().__init__()
        d = config.hidden_size
        self.config, self.h = config, config.num_attention_heads
        self.query, self.key, self.value, self.dense = (nn.Linear(d, d) for _ in range(4))
        self.LayerNorm = nn.LayerNorm(d, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, x, along):
        c = self.config
        mix, weights = self_attention(
            self.query(x), self.key(x), self.value(x), self.h, along,
            dropout=c.attention_probs_dropout_prob if self.training else 0.0, implementation=c._attn_implementation)
        return self.LayerNorm(x + self.dropout(self.dense(mix))), weights


class AlbertLayer(nn.Module):
    "Look around, then think."

    def __init__(self, config):
        super().__init__()
        d = config.hidden_size
        self.full_layer_layer_norm = nn.LayerNorm(d, eps=config.layer_norm_eps)
        self.attention = AlbertAttention(config)
        self.ffn, self.ffn_output = nn.Linear(d, config.intermediate_size), nn.Linear(config.intermediate_size, d)
        self.act = activation(config.hidden_act)

    def forward(self, x, along, cache=None):
        x, weights = self.attention(x, along)
        return self.full_layer_layer_norm(x + self.ffn_output(self.act(self.ffn(x)))), weights


class AlbertEncoder(nn.Module):
    "From the narrow table to the layers, and the layers in groups."

    def __init__(self, config):
        super().__init__()
        self.embedding_hidden_mapping_in = nn.Linear(config.embedding_size, config.hidden_size)
        group = lambda: nn.ModuleDict({"albert_layers": nn.ModuleList(AlbertLayer(config) for _ in range(config.inner_group_num))})
        self.albert_layer_groups = nn.ModuleList(group() for _ in range(config.num_hidden_groups))
        self.n = config.num_hidden_layers

    def __getitem__(self, name):  # as BERT's encoder["layer"]: the layers in the order in which they are used
        groups = [self.albert_layer_groups[i * len(self.albert_layer_groups) // self.n] for i in range(self.n)]
        return [layer for group in groups for layer in group["albert_layers"]]


class AlbertPooler(nn.Linear):
    def forward(self, x):
        return torch.tanh(super().forward(x[:, 0]))


class AlbertPreTrainedModel(BertPreTrainedModel):
    config_class, base_model_prefix = AlbertConfig, "albert"


class AlbertModel(AlbertPreTrainedModel, BertModel):
    "The same layer again and again. Lan et al. 2019."

    output = BaseModelOutputWithPooling

    def add_embeddings(self, config):
        self.embeddings = BertEmbeddings(config, config.embedding_size)

    def add_layers(self, config):
        self.encoder = AlbertEncoder(config)

    def add_pooler(self, config):
        self.pooler = AlbertPooler(config.hidden_size, config.hidden_size)

    def embed(self, *given):
        return self.encoder.embedding_hidden_mapping_in(self.embeddings(*given))


class AlbertMLMHead(nn.Module):
    def __init__(self, config):
        super().__init__()
        e = config.embedding_size
        self.LayerNorm = nn.LayerNorm(e, eps=config.layer_norm_eps)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.dense, self.decoder = nn.Linear(config.hidden_size, e), nn.Linear(e, config.vocab_size)
        self.act = activation(config.hidden_act)

    def forward(self, x):
        return self.decoder(self.LayerNorm(self.act(self.dense(x))))


class AlbertWithLMHead:
    body, body_options = AlbertModel, dict(add_pooling_layer=False)
    tied = {"predictions.decoder.weight": "albert.embeddings.word_embeddings.weight", "predictions.decoder.bias": "predictions.bias"}

    def add_head(self, config):
        self.predictions = AlbertMLMHead(config)

    def lm_logits(self, x):
        return self.predictions(x)

    def get_output_embeddings(self):
        return self.predictions.decoder

    def set_output_embeddings(self, value):
        self.predictions.decoder, self.predictions.bias = value, value.bias


class AlbertForMaskedLM(AlbertWithLMHead, MaskedLM, AlbertPreTrainedModel):
    "ALBERT that fills in the blanks."


class AlbertForPreTraining(AlbertWithLMHead, Head, AlbertPreTrainedModel):
    "Hidden words, and are the two texts in their order?"

    body_options, output = {}, AlbertForPreTrainingOutput

    def add_head(self, config):
        super().add_head(config)
        self.sop_classifier = nn.ModuleDict({"dropout": nn.Dropout(config.classifier_dropout_prob), "classifier": nn.Linear(config.hidden_size, config.num_labels)})

    def answer(self, out, inputs, labels=None, sentence_order_label=None):
        words, own, loss = self.lm_logits(out.last_hidden_state), self.sop_classifier, None
        order = own["classifier"](own["dropout"](out.pooler_output))
        if labels is not None and sentence_order_label is not None:
            loss = masked_lm_loss(words, labels) + next_sentence_loss(order, sentence_order_label)
        return loss, words, order

    def forward(self, input_ids=None, attention_mask=None, token_type_ids=None, position_ids=None, inputs_embeds=None,
                labels=None, sentence_order_label=None, output_attentions=None, output_hidden_states=None, return_dict=None):
        inputs = dict(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids,
                      position_ids=position_ids, inputs_embeds=inputs_embeds)
        return self.forward_head(inputs, dict(labels=labels, sentence_order_label=sentence_order_label),
                            output_attentions, output_hidden_states, return_dict)


class AlbertForSequenceClassification(SequenceClassification, AlbertPreTrainedModel):
    body = AlbertModel


class AlbertForTokenClassification(TokenClassification, AlbertPreTrainedModel):
    body, body_options = AlbertModel, dict(add_pooling_layer=False)


class AlbertForQuestionAnswering(QuestionAnswering, AlbertPreTrainedModel):
    body, body_options = AlbertModel, dict(add_pooling_layer=False)


class AlbertForMultipleChoice(MultipleChoice, AlbertPreTrainedModel):
    body = AlbertModel
