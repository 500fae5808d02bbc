"Wrong inputs of every family: the error names the argument, what was found and what is wanted."
import pytest
import torch
from test_state_dicts import CLASSES, pair

import minihf

tf = pytest.importorskip("transformers")

B, S, D = 2, 5, 12  # see test_state_dicts
BODIES = [("Bert", "BertModel"), ("DistilBert", "DistilBertModel"), ("GPT2", "GPT2Model")]
GOOD = torch.randint(1, 41, (B, S), generator=torch.Generator().manual_seed(0))


def whole(*shape):
    return torch.zeros(shape, dtype=torch.long)


WRONG = [  # argument, value, what the message says
    ("input_ids", GOOD[0], ValueError, r"shape \(5,\).*\(batch, tokens"),
    ("input_ids", whole(B, 0), ValueError, r"shape \(2, 0\)"),
    ("input_ids", GOOD.float(), TypeError, r"input_ids should be .*whole numbers.*float32"),
    ("input_ids", GOOD.bool(), TypeError, r"input_ids should be .*bool"),
    ("input_ids", GOOD.short(), TypeError, r"input_ids should be .*int16"),
    ("input_ids", -GOOD, IndexError, r"input_ids\[0, 0\] is -\d+, but .* 0 to 40"),
    ("input_ids", GOOD + 10**15, IndexError, r"input_ids\[0, 0\] is 10000000000000\d\d, but .* 0 to 40"),
    ("attention_mask", whole(B, 6), ValueError, "attention_mask covers 6 tokens, but there are 5"),
    ("attention_mask", whole(B, 0), ValueError, "attention_mask covers 0 tokens"),
    ("attention_mask", whole(S), ValueError, r"attention_mask has shape \(5,\)"),
    ("attention_mask", whole(3, S), ValueError, r"attention_mask has shape \(3, 5\), but must be \(2, 5\)"),
    ("attention_mask", whole(B, 3, S), ValueError, r"attention_mask has shape \(2, 3, 5\), but must be \(2, 5, 5\)"),
    ("attention_mask", whole(B, 4, S, S), ValueError, r"attention_mask has shape \(2, 4, 5, 5\), but must be \(2, 3, 5, 5\)"),
    ("attention_mask", whole(1, B, 1, S, S), ValueError, "attention_mask has shape"),
    ("position_ids", whole(B, 4), ValueError, r"position_ids has shape \(2, 4\), but must be \(2, 5\)"),
    ("position_ids", whole(3, S), ValueError, r"position_ids has shape \(3, 5\)"),
    ("position_ids", whole(B, S, 1), ValueError, r"position_ids has shape \(2, 5, 1\)"),
    ("position_ids", whole(B, S) + 16, IndexError, r"position_ids\[0, 0\] is 16, but .* 0 to 15"),
    ("position_ids", whole(B, S) - 1, IndexError, r"position_ids\[0, 0\] is -1"),
    ("position_ids", torch.zeros(B, S), TypeError, "position_ids should be .*float32"),
    ("inputs_embeds", torch.zeros(B, S, 13), ValueError, "inputs_embeds are 13 numbers .* 12 of torch.float32"),
    ("inputs_embeds", torch.zeros(B, S, D, dtype=torch.float64), ValueError, "inputs_embeds .*float64.* 12 of torch.float32"),
    ("inputs_embeds", torch.zeros(S), ValueError, r"shape \(5,\)"),
]
TYPES = [
    (whole(B, 4), ValueError, r"token_type_ids has shape \(2, 4\), but must be \(2, 5\)"),
    (whole(3, S), ValueError, r"token_type_ids has shape \(3, 5\)"),
    (whole(B, S) + 50, IndexError, r"token_type_ids\[0, 0\] is 50"),
    (torch.zeros(B, S), TypeError, "token_type_ids should be .*float32"),
]


@pytest.mark.parametrize("family, name", BODIES)
def test_shapes_types_and_values(family, name):
    ours, _ = pair(family, name)
    wrong = [*WRONG]
    if family != "DistilBert":  # which ignores them
        wrong += [("token_type_ids", *row) for row in TYPES]
    for argument, value, error, what in wrong:
        inputs = {argument: value} if argument == "inputs_embeds" else {"input_ids": GOOD} | {argument: value}
        with pytest.raises(error, match=what):
            ours(**inputs)


def kept(h=3, hd=4, layers=2, b=B, t=3):
    return tuple((torch.zeros(b, h, t, hd), torch.zeros(b, h, t, hd)) for _ in range(layers))


@pytest.mark.parametrize("family, name", [("Bert", "BertModel"), ("Bert", "BertLMHeadModel"), ("GPT2", "GPT2LMHeadModel")])
@pytest.mark.parametrize("past, error, what", [
    ("x", TypeError, "past_key_values should be a cache.*not 'x'"), (5, TypeError, "past_key_values should be a cache.*not 5"),
    ([1, 2], TypeError, "past_key_values"), ({"a": 1}, TypeError, "past_key_values"), ([("a", "b")], TypeError, "past_key_values"),
    (torch.zeros(3, 4), TypeError, "past_key_values"), (object(), TypeError, "past_key_values"),
    (kept(h=2), ValueError, r"past_key_values holds keys of shape \(2, 2, 3, 4\) for layer 0, but here they are \(2, 3, 3, 4\)"),
    (kept(hd=5), ValueError, r"past_key_values holds keys of shape \(2, 3, 3, 5\)"),
    (kept(b=3), ValueError, "cache holds 3 sequences and the input has 2"),
    (kept(t=20), ValueError, "25 tokens, but the model knows 16 positions"),
])
def test_caches_of_a_wrong_kind(family, name, past, error, what):
    ours, _ = pair(family, name, **({"is_decoder": True} if name == "BertLMHeadModel" else {}))
    with torch.no_grad(), pytest.raises(error, match=what):
        ours(GOOD, past_key_values=past)


@pytest.mark.parametrize("impl", ["eager", "sdpa"])
def test_an_encoder_reads_the_cache_that_it_is_given(impl):
    "Prefix tuning: learnt keys and values stand before every text"
    ours, theirs = pair("Bert", "BertModel", attn_implementation=impl)
    ours.load_state_dict(theirs.state_dict())
    torch.manual_seed(0)
    prefix = [(torch.randn(B, 3, 3, 4), torch.randn(B, 3, 3, 4)) for _ in range(2)]
    mask = torch.ones(B, 8)
    mask[0, 6:] = 0
    for m in (None, mask):
        a = theirs(GOOD, past_key_values=tf.DynamicCache(prefix), attention_mask=m)
        b = ours(GOOD, past_key_values=minihf.DynamicCache(prefix), attention_mask=m)
        assert a.keys() == b.keys()
        torch.testing.assert_close(b[0], a[0], atol=1e-5, rtol=1e-5)
        assert (b[0] - ours(GOOD)[0]).abs().max() > 1e-3


def test_positions_may_be_given_for_a_text_longer_than_the_table():
    for family, name in BODIES:
        ours, theirs = pair(family, name)
        ours.load_state_dict(theirs.state_dict())
        ids = torch.arange(40)[None] % 41
        places = torch.arange(40)[None] % 16
        torch.testing.assert_close(ours(ids, position_ids=places)[0], theirs(ids, position_ids=places)[0], atol=1e-5, rtol=1e-5)
        with pytest.raises(ValueError, match="40 tokens, but the model knows 16 positions"):
            ours(ids)


LABELS = [  # for heads with classes
    (["a", "b"], TypeError, r"labels should be a tensor of numbers, not \['a', 'b'\] \(list\).*label2id"),
    ("a", TypeError, "labels should be a tensor"), (1, TypeError, "labels should be a tensor"),
]


@pytest.mark.parametrize("family, name", [c for c in CLASSES if "For" in c[1] or "LM" in c[1] or "Double" in c[1]])
def test_labels(family, name):
    import inspect

    ours, _ = pair(family, name)
    ids = GOOD[:, None].expand(B, 2, S) if "Multiple" in name or "Double" in name else GOOD
    names = [n for n in inspect.signature(ours.forward).parameters if n in (
        "labels", "next_sentence_label", "start_positions", "end_positions", "mc_labels")]
    right = {"labels": whole(B) if any(w in name for w in ("Sequence", "Multiple", "NextSentence")) else ids.clone() % 2,
             "next_sentence_label": whole(B), "start_positions": whole(B), "end_positions": whole(B), "mc_labels": whole(B)}
    right = {n: right[n] for n in names}
    assert names and ours(ids, **right) is not None
    for n in names:
        for value, error, what in LABELS:
            with pytest.raises(error, match=what.replace("labels should", f"{n} should")):
                ours(ids, **right | {n: value})
        if "positions" not in n:  # places beyond the text are skipped
            with pytest.raises(IndexError, match=rf"{n}\[0.*\] is 100000\d, but"):
                ours(ids, **right | {n: right[n] + 10**6})
        with pytest.raises(ValueError, match=rf"{n} has shape \(7,\)"):
            ours(ids, **right | {n: whole(7)})
        if n != "labels" or "Sequence" not in name:  # there floats are yes or no
            with pytest.raises(ValueError, match=f"{n} are torch.float32"):
                ours(ids, **right | {n: right[n].float()})


def test_places_of_the_double_head():
    ours, _ = pair("GPT2", "GPT2DoubleHeadsModel")
    ids = GOOD[:, None].expand(B, 2, S)
    for places in (whole(B, 2) + 5, whole(B), whole(B, 3), torch.zeros(B, 2), "x", [[1, 2], [1, 2]]):
        with pytest.raises((TypeError, ValueError), match="mc_token_ids should be"):
            ours(ids, mc_token_ids=places)


@pytest.mark.parametrize("family, name", [("GPT2", "GPT2LMHeadModel"), ("Bert", "BertLMHeadModel")])
def test_logits_to_keep_in_every_kind_of_number(family, name):
    import numpy as np

    ours, theirs = pair(family, name, **({"is_decoder": True} if family == "Bert" else {}))
    ours.load_state_dict(theirs.state_dict())
    for keep in (0, 1, 3, 99, torch.tensor([0, 2]), torch.tensor([4])):
        torch.testing.assert_close(ours(GOOD, logits_to_keep=keep).logits, theirs(GOOD, logits_to_keep=keep).logits, atol=1e-5, rtol=1e-5)
    for keep in (np.int64(2), np.int32(2)):
        assert torch.equal(ours(GOOD, logits_to_keep=keep).logits, ours(GOOD, logits_to_keep=2).logits)


def test_logits_to_keep_of_a_wrong_kind():
    ours, _ = pair("GPT2", "GPT2LMHeadModel")
    for keep in (torch.zeros(2), "x", [1.5]):
        with pytest.raises(TypeError, match="logits_to_keep"):
            ours(GOOD, logits_to_keep=keep)
