"Whole pipelines against `tokenizers`: made of parts by lot, real models, and as a tokenizer of transformers' interface"
import json
import random
from importlib.metadata import files

import pytest
from hypothesis import given, settings, strategies as st
from tokenizers import Tokenizer

from minihf.tokenizers.pipeline import Pipeline, WordLevel, from_sentencepiece, merges_of, read_model
from test_tokenizer_parts import CUTTERS, DECODERS, NORMALIZERS, generated

EMPTY = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": None, "post_processor": None, "decoder": None}
PIECES = ["<unk>", "▁", *dict.fromkeys("abcdefghino12.,'-é"), "▁a", "fi", "12", "ab", "▁do", "on"]
UNIGRAM = {"type": "Unigram", "unk_id": 0, "vocab": [[o, -1.0 - k / 8] for k, o in enumerate(PIECES)], "byte_fallback": False}
BPE = {"type": "BPE", "unk_token": "<unk>", "dropout": None, "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": False,
       "ignore_merges": False, "vocab": {o: k for k, o in enumerate([*PIECES, "▁d", "▁don"])}, "merges": [["a", "b"], ["▁", "a"], ["1", "2"], ["▁", "d"], ["▁d", "o"], ["o", "n"], ["▁d", "on"]]}
WORDPIECE = {"type": "WordPiece", "unk_token": "<unk>", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": {o: k for k, o in enumerate([*PIECES, *("##" + o for o in "abdon12")])}}
WORDS = {"type": "WordLevel", "unk_token": "<unk>", "vocab": {o: k for k, o in enumerate(PIECES)}}
MODELS = [UNIGRAM, BPE, WORDPIECE, WORDS]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(NORMALIZERS), max_size=3), st.lists(st.sampled_from(CUTTERS), max_size=3), st.sampled_from(MODELS), st.integers(0, 10**6))
def test_any_pipeline(norms, cuts, model, seed):
    parts = {**EMPTY, "normalizer": {"type": "Sequence", "normalizers": norms}, "pre_tokenizer": {"type": "Sequence", "pretokenizers": cuts}, "model": model}
    ours, theirs = Pipeline.from_json(parts), Tokenizer.from_str(json.dumps(parts))
    assert ours.to_json() == {k: parts[k] for k in ("normalizer", "pre_tokenizer", "decoder", "model")}
    for text in generated(20, seed):
        row = theirs.encode(text)
        assert ours.encode_offsets(text) == (row.ids, row.offsets, row.word_ids), ascii(text)
        assert ours.encode(text) == row.ids, ascii(text)


def real(package, suffix):
    return next(o.locate() for o in files(package) if o.name.endswith(suffix))


@pytest.fixture(scope="module", params=["netra", "mistral"])
def both(request):
    path = real("netra-nmt", ".model") if request.param == "netra" else real("mistral-common", "tokenizer.model.v1")
    ours, _ = from_sentencepiece(path)
    return ours, Tokenizer.from_str(json.dumps(EMPTY | ours.to_json()))


def test_real_models_of_sentencepiece(both):
    ours, theirs = both
    texts = generated(2500, 7) + ["The quick brown fox jumps over the lazy dog. " * 3, "x" * 5000, "  two  spaces ", "今か" * 200, ""]
    for text, row in zip(texts, theirs.encode_batch(texts)):
        assert ours.encode(text) == row.ids, ascii(text)
    for text in texts[::3]:
        row = theirs.encode(text)
        assert ours.encode_offsets(text) == (row.ids, row.offsets, row.word_ids), ascii(text)
        tokens = [ours.tokens[i] for i in row.ids]
        assert ours.tokens_to_string(tokens) == theirs.decode(row.ids, skip_special_tokens=False)


def test_long_texts_take_linear_time(both):
    ours, _ = both
    for text in ("a" * 200_000, "今" * 200_000, "ab今é " * 40_000):
        assert ours.encode(text)


def test_merges_are_those_of_the_reference():
    from transformers.tokenization_utils_base import generate_merges

    r = random.Random(0)
    for _ in range(50):
        pieces = dict.fromkeys("".join(r.choices("ab▁c", k=r.randint(1, 5))) for _ in range(60))
        scores = {o: float(-r.randint(0, 20)) for o in pieces}
        vocab = {o: i for i, o in enumerate(pieces)}
        assert merges_of(scores, vocab) == [" ".join(o) for o in generate_merges(vocab, scores)]


def test_word_level_and_errors():
    model = WordLevel({"<unk>": 0, "a": 1})
    assert model.pieces("a") == [(1, 0, 1)] and model.pieces("xyz") == [(0, 0, 3)]
    with pytest.raises(ValueError, match="<unk>"):
        WordLevel({"a": 0}).pieces("b")
    for section, said in [(None, "model"), ({"type": "Magic", "vocab": {}}, "Magic"), ({"type": "WordLevel", "vocab": {"a": -1}}, "-1"),
                          ({"type": "WordLevel", "vocab": {"a": 0, "b": 0}}, "both"), (BPE | {"dropout": 0.1}, "dropout"), (BPE | {"speed": 1}, "speed")]:
        with pytest.raises(ValueError, match=said):
            read_model(section)
    with pytest.raises(ValueError, match="surrogate"):
        Pipeline(None, None, model).encode("a\ud800")


def test_learning_keeps_the_steps():
    texts = generated(300, 3, 40)
    for model in (UNIGRAM, WORDPIECE):
        parts = {**EMPTY, "normalizer": {"type": "NFKC"}, "pre_tokenizer": {"type": "Whitespace"}, "model": model}
        new = Pipeline.from_json(parts).train_new(["the cat sat on the mat", "a cat"] * 9, 40, ["<unk>"])
        assert new.normalizer.to_json() == {"type": "NFKC"} and new.vocab["<unk>"] == 0 and 0 not in new.encode("the mat")
    with pytest.raises(NotImplementedError, match="WordLevel"):
        Pipeline.from_json({**EMPTY, "model": WORDS}).train_new(texts, 40)
