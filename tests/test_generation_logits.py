"Processors and stopping criteria: equal to the reference's on random scores, and errors."
import math
import random

import pytest
import torch

ref = pytest.importorskip("transformers.generation")
import minihf.generation.logits as ours  # noqa: E402

V, END = 30, 7


def scores(seed, b=4):
    "Random scores with ties, and with some that an earlier rule has cut"
    g = torch.Generator().manual_seed(seed)
    s = torch.randn(b, V, generator=g) * 3
    if seed % 2:
        s = s.round(decimals=1)
    if seed % 3 == 0:
        s[torch.rand(b, V, generator=g) < 0.3] = -math.inf
        s[:, seed % V] = 0.0
    return s


def texts(seed, b=4, s=12):
    return torch.randint(0, V, (b, s), generator=torch.Generator().manual_seed(seed))


# name -> arguments for a random source
MAKE = dict(
    TemperatureLogitsWarper=lambda r: [r.uniform(0.1, 3)],
    TopKLogitsWarper=lambda r: [r.choice([1, 2, 7, 29, 30, 99])],
    TopPLogitsWarper=lambda r: [r.choice([0.0, 0.01, 0.3, 0.7, 0.95, 1.0])],
    MinPLogitsWarper=lambda r: [r.choice([0.0, 0.05, 0.3, 1.0])],
    TypicalLogitsWarper=lambda r: [r.choice([0.05, 0.3, 0.7, 0.95])],
    EpsilonLogitsWarper=lambda r: [r.choice([1e-4, 0.02, 0.3, 0.9])],
    EtaLogitsWarper=lambda r: [r.choice([1e-4, 0.02, 0.3, 0.9])],
    RepetitionPenaltyLogitsProcessor=lambda r: [r.choice([0.7, 1.2, 3.0]),
                                                r.choice([None, 3, torch.tensor([0, 1, 5, 11])])],
    NoRepeatNGramLogitsProcessor=lambda r: [r.choice([1, 2, 3, 12, 13])],
    SequenceBiasLogitsProcessor=lambda r: [
        {tuple(r.randrange(V) for _ in range(r.randint(1, 2))): r.uniform(-5, 5) for _ in range(40)}],
    NoBadWordsLogitsProcessor=lambda r: [
        [[r.randrange(V) for _ in range(r.randint(1, 2))] for _ in range(30)] + [[END]], r.choice([None, END, [END, 9]])],
    MinLengthLogitsProcessor=lambda r: [r.randint(8, 16), r.choice([END, [END, 3], [99]])],
    MinNewTokensLengthLogitsProcessor=lambda r: [5, r.randint(4, 10), [END, 3]],
    ForcedBOSTokenLogitsProcessor=lambda r: [4],
    ForcedEOSTokenLogitsProcessor=lambda r: [r.choice([13, 14]), r.choice([END, [END, 9]])],
    InfNanRemoveLogitsProcessor=lambda r: [],
    ExponentialDecayLengthPenalty=lambda r: [(r.randint(0, 9), 1.3), [END, 9], 3],
    LogitNormalization=lambda r: [],
    SuppressTokensLogitsProcessor=lambda r: [[1, 2, 28]],
    SuppressTokensAtBeginLogitsProcessor=lambda r: [[1, 2, 28], r.choice([12, 13])],
    PrefixConstrainedLogitsProcessor=lambda r: [
        lambda batch, ids: [(int(ids[-1]) + i) % V for i in range(1 + batch)], r.choice([1, 2])],
)
CUTS = [name for name in MAKE if issubclass(getattr(ours, name), ours.Cut)]


@pytest.mark.parametrize("name", MAKE)
def test_equal_to_the_reference(name):
    for seed in range(24):
        r = random.Random(seed)
        args, s = MAKE[name](r), scores(seed)
        kwargs = dict(min_tokens_to_keep=r.choice([1, 2, 4])) if name in CUTS and name != "TopPLogitsWarper" else {}
        ids = texts(seed, s=1 if seed % 8 == 7 and name == "ForcedBOSTokenLogitsProcessor" else 12)
        if name.startswith("InfNan"):
            s[0, :3] = torch.tensor([math.nan, math.inf, -math.inf])
        want = getattr(ref, name)(*args, **kwargs)(ids, s.clone())
        before = s.clone()
        got = getattr(ours, name)(*args, **kwargs)(ids, s)
        assert torch.equal(torch.isinf(got), torch.isinf(want)), (name, seed, args, kwargs)
        assert torch.allclose(got, want, atol=1e-5, equal_nan=True), (name, seed, args, kwargs)
        assert torch.equal(s.isnan(), before.isnan()) and torch.equal(s.nan_to_num(), before.nan_to_num())  # left alone


@pytest.mark.parametrize("keep", [1, 2, 4])
def test_top_p_keeps_enough(keep):
    for seed in range(20):
        s = scores(seed)
        got, want = (m.TopPLogitsWarper(0.2, min_tokens_to_keep=keep)(None, s) for m in (ours, ref))
        assert torch.equal(got, want)


def test_top_p_reaches_p():
    "The nucleus is the smallest set that reaches p: without its least likely token it doesn't"
    for seed in range(30):
        p = 0.05 + seed / 32
        probs = scores(seed).softmax(-1)
        kept = ours.TopPLogitsWarper(p)(None, probs.log()) > -math.inf
        inside = probs.where(kept, 0)
        least = probs.where(kept, 9).amin(-1)
        assert (inside.sum(-1) >= p - 1e-5).all() and (inside.sum(-1) - least <= p + 1e-5).all()


def test_list_calls_in_order():
    double, add = (lambda ids, s: s * 2), (lambda ids, s, extra=1: s + extra)
    chain = ours.LogitsProcessorList([double, add])
    assert chain(None, torch.ones(1, 1)).item() == 3
    assert ours.LogitsProcessorList([add, double])(None, torch.ones(1, 1)).item() == 4


WRONG = [
    ("TemperatureLogitsWarper", [0.0], "temperature"), ("TemperatureLogitsWarper", [-2], "-2"), ("TopKLogitsWarper", [0], "top_k"),
    ("TopKLogitsWarper", [1.5], "1.5"), ("TopPLogitsWarper", [1.1], "top_p"), ("MinPLogitsWarper", [-0.1], "min_p"),
    ("TypicalLogitsWarper", [1.0], "typical_p"), ("EpsilonLogitsWarper", [0.0], "epsilon"), ("EtaLogitsWarper", [1.0], "eta"),
    ("RepetitionPenaltyLogitsProcessor", [0.0], "repetition_penalty"), ("RepetitionPenaltyLogitsProcessor", [1.0, -1], "prompt_ignore"),
    ("NoRepeatNGramLogitsProcessor", [0], "no_repeat"), ("SequenceBiasLogitsProcessor", [{}], "sequence_bias"),
    ("SequenceBiasLogitsProcessor", [{(): 1.0}], "sequence_bias"), ("NoBadWordsLogitsProcessor", [[]], "bad_words"),
    ("NoBadWordsLogitsProcessor", [[[-1]]], "bad_words"), ("MinLengthLogitsProcessor", [-1, 2], "min_length"),
    ("MinNewTokensLengthLogitsProcessor", [-1, 2, 3], "prompt_length"), ("ForcedEOSTokenLogitsProcessor", [4, -1], "forced_eos"),
    ("MaxTimeCriteria", [-1], "max_time"), ("StopStringCriteria", [None, ""], "stop_strings"), ("StopStringCriteria", [None, []], "stop"),
]


@pytest.mark.parametrize("name,args,message", WRONG, ids=str)
def test_wrong_settings_are_named(name, args, message):
    with pytest.raises(ValueError, match=message):
        getattr(ours, name)(*args)


def test_wrong_at_the_call():
    with pytest.raises(ValueError, match="below 30"):
        ours.SequenceBiasLogitsProcessor({(30,): 1.0})(texts(0), scores(0))
    with pytest.raises(ValueError, match="allows no token"):
        ours.PrefixConstrainedLogitsProcessor(lambda b, ids: [])(texts(0), scores(0))
    with pytest.raises(ValueError, match="min_tokens_to_keep"):
        ours.TopKLogitsWarper(3, min_tokens_to_keep=0)
    for kind in (ours.LogitsProcessor, ours.StoppingCriteria):
        with pytest.raises(NotImplementedError, match=kind.__name__):
            kind()(texts(0), scores(0))


# ------------------------------------------------------------------ stopping

def test_criteria_equal_to_the_reference():
    ids = texts(0)
    ids[1, -1], ids[2, -1] = END, 9
    for args in ([("MaxLengthCriteria", 12)], [("MaxLengthCriteria", 13)], [("EosTokenCriteria", END)],
                 [("EosTokenCriteria", [END, 9])], [("MaxLengthCriteria", 20), ("EosTokenCriteria", 9)], [("MaxTimeCriteria", 100.0)]):
        got, want = (m.StoppingCriteriaList([getattr(m, name)(x) for name, x in args]) for m in (ours, ref))
        assert torch.equal(got(ids, None), want(ids, None)) and got.max_length == want.max_length


@pytest.fixture(scope="module")
def tokenizers():
    "Byte-level BPE and WordPiece tokenizers of the reference, trained on a few words"
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    text = ["the stop of stopping tops", "naïve café 你好 stop. User: hello", "a\n\nb\n\n", "unaffable affable stops"] * 3
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    bpe.train_from_iterator(text, trainers.BpeTrainer(vocab_size=330, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    wp = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    wp.pre_tokenizer, wp.decoder = pre_tokenizers.Whitespace(), decoders.WordPiece()
    wp.train_from_iterator(text, trainers.WordPieceTrainer(vocab_size=90, special_tokens=["[UNK]", "a"]))
    return [PreTrainedTokenizerFast(tokenizer_object=t) for t in (bpe, wp)]


@pytest.mark.parametrize("strings", [["stop"], ["top", "User:"], [" s"], ["\n\n"], ["é"], ["好"], ["affable", "e"]])
def test_stop_strings(tokenizers, strings):
    hits = 0
    for tokenizer in tokenizers:
        try:
            want = ref.StopStringCriteria(tokenizer, strings)
        except ValueError:  # no token of this vocabulary can be part of the string
            continue
        got = ours.StopStringCriteria(tokenizer, strings)
        r, size = random.Random(0), len(tokenizer)
        pieces = tokenizer("the stop of stopping tops café 你好 User: a\n\nb affable", add_special_tokens=False)["input_ids"]
        for _ in range(40):
            ids = torch.tensor([[r.choice(pieces) if r.random() < 0.8 else r.randrange(size) for _ in range(20)] for _ in range(2)])
            a, b = got(ids, None), want(ids, None)
            assert torch.equal(a, b), [tokenizer.convert_ids_to_tokens(row[-6:]) for row in ids.tolist()]
            hits += int(a.sum())
        for i in range(1, len(pieces)):
            ids = torch.tensor([pieces[:i]])
            assert torch.equal(got(ids, None), want(ids, None)), tokenizer.convert_ids_to_tokens(pieces[:i])
            hits += int(got(ids, None).sum())
    assert hits
