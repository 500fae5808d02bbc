"Whole tokenizers against the reference: ids, masks, offsets, every mode, files both ways."
import itertools
import json
import random

import pytest

from minihf.tokenizers.base import AddedToken, BatchEncoding, BertTokenizer, DistilBertTokenizer, GPT2Tokenizer

transformers = pytest.importorskip("transformers")
KEYS = ("input_ids", "token_type_ids", "attention_mask")


@pytest.fixture(scope="module")
def folders(minilm, tmp_path_factory):
    "The uncased vocabulary with its files, and the same words as a cased vocabulary"
    cased = tmp_path_factory.mktemp("cased")
    words = (minilm / "vocab.txt").read_text(encoding="utf-8").split("\n")[:-1]
    words += [w.capitalize() for w in words[2000:9000] if w.isalpha()] + list("ABCDEFGHIJKLMNOPQRSTUVWXYZÉÈ")
    words += ["##" + c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZéè"]
    (cased / "vocab.txt").write_text("\n".join(dict.fromkeys(words)) + "\n", encoding="utf-8")
    (cased / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False, "model_max_length": 512}))
    return {"uncased": minilm, "cased": cased}


@pytest.fixture(scope="module", params=["uncased", "cased"])
def pair(request, folders):
    "(ours, theirs) from the same folder"
    folder = folders[request.param]
    return BertTokenizer.from_pretrained(folder), transformers.BertTokenizer.from_pretrained(folder)


def same(ours, theirs, **kwargs):
    assert set(ours.keys()) == set(theirs.keys())
    for k in theirs.keys():
        a, b = ours[k], theirs[k]
        assert (a.tolist() if hasattr(a, "tolist") else a) == (b.tolist() if hasattr(b, "tolist") else b), (k, kwargs)


def test_many_texts(pair, texts):
    ours, theirs = pair
    options = dict(return_offsets_mapping=True, return_special_tokens_mask=True, return_length=True)
    a, b = ours(texts, verbose=False, **options), theirs(texts, verbose=False, **options)
    for i, text in enumerate(texts):
        for k in b:
            assert a[k][i] == b[k][i], (k, text)
        assert a.word_ids(i) == b.word_ids(i) and a.sequence_ids(i) == b.sequence_ids(i), text
        assert a.tokens(i) == b.tokens(i), text
    fast = ours(texts, verbose=False)
    assert fast["input_ids"] == a["input_ids"] and fast["attention_mask"] == a["attention_mask"]
    assert ours.batch_decode(a["input_ids"]) == theirs.batch_decode(a["input_ids"])
    assert ours.batch_decode(a["input_ids"], skip_special_tokens=True) == theirs.batch_decode(
        a["input_ids"], skip_special_tokens=True)


@pytest.mark.parametrize("kind", [None, "np"])
def test_modes(pair, texts, kind):
    "Random combinations of the options, on single texts, pairs, batches and batches of pairs"
    ours, theirs = pair
    r = random.Random(1)
    short = [o for o in texts if 0 < len(o) < 60]
    done = 0
    for _ in range(400):
        n = r.choice([0, 1, 2, 5])
        text = r.choice(short) if n == 0 else r.sample(short, n)
        second = None if r.random() < 0.5 else (r.choice(short) if n == 0 else r.sample(short, n))
        options = dict(
            padding=r.choice([False, True, "longest", "max_length", "do_not_pad"]),
            truncation=r.choice([None, False, True, "longest_first", "only_first", "only_second"]),
            max_length=r.choice([None, 8, 16, 24]), stride=r.choice([0, 0, 1, 2]),
            pad_to_multiple_of=r.choice([None, None, 8]), padding_side=r.choice([None, "left", "right"]),
            add_special_tokens=r.random() < 0.8, return_overflowing_tokens=r.random() < 0.3,
            return_offsets_mapping=r.random() < 0.3, return_special_tokens_mask=r.random() < 0.3,
            return_token_type_ids=r.choice([None, True, False]), return_attention_mask=r.choice([None, True, False]),
            return_tensors=kind, verbose=False,
        )
        ours.truncation_side = theirs.truncation_side = r.choice(["left", "right"])
        try:
            want = theirs(text, second, **options)
        except BaseException as e:
            with pytest.raises((ValueError, TypeError)):
                ours(text, second, **options)
            continue
        try:
            got = ours(text, second, **options)
        except Exception as e:
            raise AssertionError((text, second, options)) from e
        same(got, want, text=text, second=second, **options)
        done += 1
        rows = len(want["input_ids"]) if n or options["return_overflowing_tokens"] or kind else 1
        for i in range(rows):
            assert got.tokens(i) == want.tokens(i) and got.sequence_ids(i) == want.sequence_ids(i), (text, second, options)
            assert got.word_ids(i) == want.word_ids(i)
    ours.truncation_side = theirs.truncation_side = "right"
    assert done > 100
