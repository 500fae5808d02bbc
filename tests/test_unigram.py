"Unigram against `tokenizers`: models made at random and a real one, training, SentencePiece's file"
import base64
import itertools
import json
import math
import random
from importlib.metadata import files

import pytest
import tokenizers
from hypothesis import given, settings, strategies as st
from tokenizers import models, normalizers, trainers

from minihf.tokenizers.parts import Precompiled
from minihf.tokenizers.unigram import Unigram, best_split, digamma, expected_counts, arrows_of, read_fields, read_sentencepiece, train_unigram
from test_tokenizer_parts import generated


@pytest.fixture(scope="module")
def netra():
    found = next(o for o in files("netra-nmt") if o.name.endswith(".model"))
    return read_sentencepiece(found.locate())


def both(vocab, unk=0, fallback=False):
    return Unigram(vocab, unk, fallback), models.Unigram(vocab, unk, fallback)


def as_theirs(model, word):
    return [(i, word[a:b]) for i, a, b in model.pieces(word)]


def test_models_made_at_random_with_many_ties():
    r = random.Random(0)
    for seed in range(150):
        words = {"".join(r.choices("abc▁今", k=r.randint(1, 4))) for _ in range(r.randint(1, 14))}
        vocab = [("<unk>", 0.0), *((w, float(-r.randint(1, 3))) for w in sorted(words))]
        ours, theirs = both(vocab)
        for _ in range(25):
            word = "".join(r.choices("abc▁今x!", k=r.randint(1, 14)))
            assert as_theirs(ours, word) == [(o.id, o.value) for o in theirs.tokenize(word)], (vocab, word)


def test_byte_fallback():
    vocab = [("<unk>", 0.0), ("a", -1.0), ("ab", -1.5), ("é", -3.0), *((f"<0x{b:02X}>", -9.0) for b in range(256) if b != 0x21)]
    ours, theirs = both(vocab, 0, True)
    for word in ("abxé", "今", "a今今b", "!", "a!", "x!", "é🤖é"):
        found = ours.pieces(word)
        assert [i for i, _, _ in found] == [o.id for o in theirs.tokenize(word)], word
        bytewise = [(len(word[:a].encode()), len(word[:b].encode())) for _, a, b in found]
        assert bytewise == [tuple(o.offsets) for o in theirs.tokenize(word)]


@settings(max_examples=150, deadline=None)
@given(st.text("abc", min_size=1, max_size=7), st.dictionaries(st.text("abc", min_size=1, max_size=3), st.floats(-9, -0.5), max_size=9))
def test_viterbi_is_the_best_of_all_splits(word, scores):
    scores = {**{c: -10.0 for c in "abc"}, **scores}
    found = []
    for cuts in itertools.product([0, 1], repeat=len(word) - 1):
        ends = [0, *(i for i, cut in enumerate(cuts, 1) if cut), len(word)]
        pieces = [word[a:b] for a, b in zip(ends, ends[1:])]
        if all(o in scores for o in pieces):
            found.append(sum(scores[o] for o in pieces))
    total = lambda pieces: sum(scores[o] for o in pieces)
    assert math.isclose(total(best_split(word, scores)), max(found))
    model = Unigram([("<unk>", 0.0), *scores.items()], 0)
    assert math.isclose(total([word[a:b] for a, b in model.spans(word)]), max(found))
    counts, whole = expected_counts(word, arrows_of(word, scores, -99.0))
    assert math.isclose(whole, math.log(sum(map(math.exp, found))))
    assert math.isclose(sum(n * len(o) for o, n in counts.items()), len(word))


def test_a_real_model(netra):
    assert len(netra["vocab"]) == 32000 and netra["model"] == 1 and netra["unk_id"] >= 0 and len(netra["charsmap"]) > 100_000
    ours, theirs = both(netra["vocab"], netra["unk_id"])
    letters = [o for o, _ in netra["vocab"][5:6000]]
    r = random.Random(0)
    words = ["".join(r.choices(letters, k=r.randint(1, 4))) for _ in range(1500)] + [o.replace(" ", "▁") for o in generated(1500) if o]
    for word in words:
        assert as_theirs(ours, word) == [(o.id, o.value) for o in theirs.tokenize(word)], word


def test_a_real_character_map(netra):
    text = base64.b64encode(netra["charsmap"]).decode()
    ours, theirs = Precompiled(text), normalizers.Precompiled(netra["charsmap"])
    for c in map(chr, [*range(0xD800), *range(0xE000, 0x33500, 3)]):
        assert ours(c) == theirs.normalize_str(c), ascii(c)
    tok = tokenizers.Tokenizer(models.WordLevel({"<unk>": 0}, "<unk>"))
    tok.normalizer = theirs
    tok.pre_tokenizer = tokenizers.pre_tokenizers.Split(tokenizers.Regex("(?m:[\\s\\S])"), "isolated")
    texts = generated(1500) + ["a\r\nb", "\r\n", "\u0001a", "e\u0301\u0301\u0301", "ﬁ\u0301", "한\u11a8", "👩\u200d🔬"]
    for text, row in zip(texts, tok.encode_batch(texts)):
        new, owners = ours.trace(text)
        assert new == ours(text) == theirs.normalize_str(text), ascii(text)
        assert [(k, k + 1) if k >= 0 else (0, 0) for k in owners] == row.offsets, ascii(text)


def test_one_long_word_takes_linear_time(netra):
    ours = Unigram(netra["vocab"], netra["unk_id"])
    for text in ("a" * 200_000, "今" * 200_000, "ab今é" * 50_000):
        assert ours.pieces(text)[-1][2] == 200_000


def words_of(seed, n=400):
    r = random.Random(seed)
    parts = "un re do ing ed er est low new show light s ly ▁ 今 é".split()
    return {"▁" + "".join(r.choices(parts, k=r.randint(1, 4))): r.randint(1, 30) for _ in range(n)}


@pytest.mark.parametrize("seed", range(3))
def test_training_learns_the_reference_s_pieces(seed):
    "Without pruning, whose formula differs on purpose: the same pieces with the same scores"
    words = words_of(seed)
    size = 6000
    trainer = trainers.UnigramTrainer(vocab_size=size, special_tokens=["<unk>", "<s>"], unk_token="<unk>", show_progress=False, initial_alphabet=["Z"])
    theirs = tokenizers.Tokenizer(models.Unigram())
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    theirs.train_from_iterator([" ".join([w] * n) for w, n in words.items()], trainer)
    theirs = json.loads(theirs.to_str())["model"]
    ours = train_unigram(words, size, ["<unk>", "<s>"], "<unk>", initial_alphabet=["Z"])
    want = dict(map(tuple, theirs["vocab"]))
    assert ours.unk_id == theirs["unk_id"] and ours.scores.keys() == want.keys()
    assert all(math.isclose(ours.scores[o], want[o], abs_tol=1e-9) for o in want if len(o) > 1)
    assert sorted(ours.scores.values()) == pytest.approx(sorted(want.values()), abs=1e-9)  # it hands the lowest scores to characters in an order of its own


def test_training_prunes_to_the_size():
    words = words_of(5)
    for size in (40, 60, 90):
        model = train_unigram(words, size, ["<pad>", "<unk>"], "<unk>")
        assert len(model.vocab) <= size and model.unk_id == 1
        for word in words:
            assert all(i != 1 for i, _, _ in model.pieces(word)) and word == "".join(word[a:b] for _, a, b in model.pieces(word))
    with pytest.raises(ValueError, match="vocab_size=5"):
        train_unigram(words, 5)


def test_files_and_errors(tmp_path):
    model = Unigram([("<unk>", 0.0), ("a", -1.0)], 0, True)
    assert Unigram.from_model(model.model_json()).model_json() == model.model_json()
    for section, said in [({"vocab": []}, "vocab"), ({"vocab": [["a"]]}, r"vocab\[0\]"), ({"vocab": [["a", -1.0]], "unk_id": 4}, "unk_id"),
                          ({"vocab": [["a", "b"]]}, "score"), ({"vocab": [["a", -1.0]], "alpha": 0.1}, "alpha"), ({"type": "BPE"}, "BPE")]:
        with pytest.raises(ValueError, match=said):
            Unigram.from_model(section)
    with pytest.raises(ValueError, match="unk_id"):
        Unigram([("a", -1.0)]).pieces("ab")
    for data in (b"", b"\xff\xff", b"hello", b"\x0a\x7fabc", bytes(range(256))):
        path = tmp_path / "x.model"
        path.write_bytes(data)
        with pytest.raises(ValueError, match="x.model"):
            read_sentencepiece(path)
    assert read_fields(b"\x08\x96\x01") == {1: [150]}


def test_digamma():
    import torch

    for x in (0.5, 0.7, 1.0, 2.5, 6.9, 7.0, 100.0, 12345.6):
        assert math.isclose(digamma(x), torch.digamma(torch.tensor(x, dtype=torch.float64)), rel_tol=1e-6, abs_tol=1e-7)
