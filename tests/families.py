"""The families as the tests see them: one row each, with a random small architecture, its heads and their labels.

A new family is a row in `FAMILIES`; `test_families.py` then holds all its classes against the reference. What only one family has is tested in its own file.
"""
import random
from dataclasses import dataclass, field

import minihf
import torch
import transformers as T

T.logging.set_verbosity_error()
TOL = dict(atol=1e-5, rtol=1e-4)
PLACES, PAIR = torch.tensor([1, -1, 300]), torch.tensor([0, 1, 1])
words = lambda x: x.masked_fill(x % 3 > 0, -100)
CASES = {  # the end of a class's name and a case -> from the ids: config, labels
    ("Model", ""): lambda x: ({}, {}),
    ("ForMaskedLM", ""): lambda x: ({}, dict(labels=words(x))),
    ("ForSequenceClassification", "classes"): lambda x: (dict(num_labels=5), dict(labels=torch.tensor([4, 0, 1]))),
    ("ForSequenceClassification", "number"): lambda x: (dict(num_labels=1), dict(labels=torch.randn(3))),
    ("ForSequenceClassification", "numbers"): lambda x: (
        dict(num_labels=4, problem_type="regression"), dict(labels=torch.randn(3, 4))),
    ("ForSequenceClassification", "several"): lambda x: (
        dict(num_labels=4), dict(labels=torch.tensor([[1.0, 0, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1]]))),
    ("ForTokenClassification", ""): lambda x: (
        dict(num_labels=7), dict(labels=(x % 7).masked_fill(x % 4 == 0, -100))),
    ("ForQuestionAnswering", "inside"): lambda x: ({}, dict(
        start_positions=torch.tensor([1, 0, 3]), end_positions=torch.tensor([[2], [8], [3]]))),
    ("ForQuestionAnswering", "outside"): lambda x: ({}, dict(start_positions=PLACES, end_positions=PLACES)),
    ("ForQuestionAnswering", "far outside"): lambda x: ({}, dict(
        start_positions=PLACES, end_positions=torch.tensor([2, 40, 300]))),
    ("ForMultipleChoice", ""): lambda x: ({}, dict(labels=torch.tensor([2, 0]))),
}
WRITES = {
    ("ForCausalLM", "encoder"): lambda x: ({}, dict(labels=x.clone())),
    ("ForCausalLM", "decoder"): lambda x: (dict(is_decoder=True), dict(labels=x.clone())),
}


def bert_sizes(r):
    h = r.choice([1, 2, 3, 5])
    return dict(
        num_attention_heads=h, hidden_size=h * r.choice([2, 4, 8]), num_hidden_layers=r.randint(1, 4),
        intermediate_size=r.choice([5, 16, 33]), vocab_size=r.choice([23, 50]), type_vocab_size=r.choice([2, 4]),
        max_position_embeddings=r.choice([16, 40]), hidden_act=r.choice(["gelu", "gelu_new", "relu", "silu"]),
        layer_norm_eps=r.choice([1e-12, 1e-5]))


def distilbert_sizes(r):
    h = r.choice([1, 2, 3, 5])
    return dict(
        n_heads=h, dim=h * r.choice([2, 4, 8]), n_layers=r.randint(1, 4), hidden_dim=r.choice([5, 16, 33]),
        vocab_size=r.choice([23, 50]), max_position_embeddings=r.choice([16, 40]), activation=r.choice(["gelu", "relu"]))


def roberta_sizes(r):
    return bert_sizes(r) | dict(
        max_position_embeddings=r.choice([20, 40]), type_vocab_size=2, pad_token_id=r.choice([0, 1, 3]),
        hidden_act=r.choice(["gelu", "relu"]), layer_norm_eps=1e-5)


def electra_sizes(r):
    kw = bert_sizes(r)
    return kw | dict(
        embedding_size=r.choice([kw["hidden_size"], 3, 7]), hidden_act=r.choice(["gelu", "relu"]),
        summary_type=r.choice(["first", "last", "mean"]), summary_use_proj=r.choice([True, False]),
        summary_last_dropout=0.0)


def albert_sizes(r):
    kw = bert_sizes(r)
    return kw | dict(
        embedding_size=r.choice([kw["hidden_size"], 3, 7]), num_hidden_layers=r.randint(2, 6),
        num_hidden_groups=r.choice([1, 2, 3]), inner_group_num=r.choice([1, 2]),
        hidden_act=r.choice(["gelu", "gelu_new", "relu"]))


@dataclass
class Family:
    sizes: object  # random source -> a small architecture
    cases: dict = field(default_factory=dict)  # heads that not all families have
    dropouts: dict = field(default_factory=lambda: dict(hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.2))
    pads: bool = False  # do positions depend on padding among the ids?

    def __post_init__(self):
        self.cases = CASES | self.cases


FAMILIES = {
    "Bert": Family(bert_sizes, {
        ("ForPreTraining", "both"): lambda x: ({}, dict(labels=words(x), next_sentence_label=PAIR)),
        ("ForPreTraining", "one"): lambda x: ({}, dict(labels=x)),
        ("ForPreTraining", "other"): lambda x: ({}, dict(next_sentence_label=PAIR)),
        ("ForNextSentencePrediction", ""): lambda x: ({}, dict(labels=PAIR)),
        ("ForNextSentencePrediction", "column"): lambda x: ({}, dict(labels=PAIR[:, None])),
        ("LMHeadModel", "encoder"): WRITES["ForCausalLM", "encoder"],
        ("LMHeadModel", "decoder"): WRITES["ForCausalLM", "decoder"]},
        dict(hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.1, classifier_dropout=0.4)),
    "DistilBert": Family(distilbert_sizes, dropouts=dict(dropout=0.2, attention_dropout=0.1, qa_dropout=0.3)),
    "Roberta": Family(roberta_sizes, WRITES, dict(hidden_dropout_prob=0.2, classifier_dropout=0.3), pads=True),
    "Electra": Family(electra_sizes, WRITES | {
        ("ForPreTraining", ""): lambda x: ({}, dict(labels=(x % 3 == 0).long()))}),
    "Albert": Family(albert_sizes, {
        ("ForPreTraining", "both"): lambda x: ({}, dict(labels=words(x), sentence_order_label=PAIR)),
        ("ForPreTraining", "one"): lambda x: ({}, dict(labels=x)),
        ("ForPreTraining", "other"): lambda x: ({}, dict(sentence_order_label=PAIR))}),
}


def sizes(family, seed=0, **more):
    return FAMILIES[family].sizes(random.Random(seed)) | dict(initializer_range=0.3) | more


def make(lib, family, name, **kw):
    "A model of one of the two libraries"
    return getattr(lib, family + name)(getattr(lib, family + "Config")(**kw))


def pair(family, name="Model", seed=0, attn="sdpa", **more):
    "Our model and the reference's with the same weights"
    kw = sizes(family, seed, **more) | dict(attn_implementation=attn)
    torch.manual_seed(seed)
    ref = make(T, family, name, **kw).eval()
    ours = make(minihf, family, name, **kw).eval()
    ours.load_state_dict(ref.state_dict())
    return ours, ref


def inputs(family, name, config, seed=0):
    "Ids, a mask with padding at the end of one text and at the start of another, types; choices on an axis of their own"
    g = torch.Generator().manual_seed(seed)
    b = 6 if "Choice" in name else 3
    ids = torch.randint(5, config.vocab_size, (b, 9), generator=g)
    mask = torch.ones(b, 9, dtype=torch.long)
    mask[:1, 5:], mask[1:2, :2] = 0, 0
    if FAMILIES[family].pads:
        mask[2, :1], mask[2, 7:] = 0, 0  # on both sides
        ids = ids.masked_fill(mask == 0, config.pad_token_id)
    types = torch.randint(0, 2, (b, 9), generator=g)
    if "Choice" in name:
        ids, mask, types = ids.view(2, 3, 9), mask.view(2, 3, 9), types.view(2, 3, 9)
    return dict(input_ids=ids, attention_mask=mask, token_type_ids=types)


def close(a, b):
    "Equal outputs; where the reference has no cross-attentions it has an empty tuple"
    wanted = [k for k in b if not isinstance(b[k], tuple) or len(b[k])]
    assert list(a.keys()) == wanted
    for k in wanted:
        if k == "past_key_values":  # objects of two libraries
            continue
        for x, y in zip(a[k], b[k], strict=True) if isinstance(b[k], tuple) else [(a[k], b[k])]:
            torch.testing.assert_close(x, y, **TOL, msg=lambda m: f"{k}: {m}")


def same_gradients(ours, ref):
    theirs = dict(ref.named_parameters())
    for k, p in ours.named_parameters():
        if theirs[k].grad is None:
            assert p.grad is None, k
        else:
            torch.testing.assert_close(p.grad, theirs[k].grad, atol=1e-5, rtol=1e-3, msg=lambda m: f"{k}: {m}")


def clean(info):
    return not any(info[k] for k in ("missing_keys", "unexpected_keys", "mismatched_keys"))
