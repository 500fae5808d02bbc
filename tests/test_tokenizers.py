"Whole tokenizers against the reference: ids, masks, offsets, every mode, files both ways."
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
    for _ in range(250):
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
        except BaseException:
            with pytest.raises((ValueError, TypeError)):
                ours(text, second, **options)
            continue
        if kind and want["input_ids"].dtype == object:  # rows of different lengths: the reference gives an odd array
            with pytest.raises(ValueError, match="padding=True"):
                ours(text, second, **options)
            continue
        got = ours(text, second, **options)
        same(got, want, text=text, second=second, **options)
        done += 1
        rows = len(want["input_ids"]) if n or options["return_overflowing_tokens"] or kind else 1
        for i in range(rows):
            assert got.tokens(i) == want.tokens(i) and got.sequence_ids(i) == want.sequence_ids(i), (text, second, options)
            assert got.word_ids(i) == want.word_ids(i)
    ours.truncation_side = theirs.truncation_side = "right"
    assert done > 80


FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


@pytest.mark.parametrize("seed", range(6))
def test_added_tokens(folders, texts, seed):
    "Tokens with random flags: ids, offsets, words, tokens, decoding, and the same after saving, in both libraries"
    r = random.Random(seed)
    folder = folders[["uncased", "cased"][seed % 2]]
    ours, theirs = BertTokenizer.from_pretrained(folder), transformers.BertTokenizer.from_pretrained(folder)
    new = ["<ent>", "NewTok", "été", "the", "[X]", "an", "x y", "fox", "Été", "don't"]
    for content in r.sample(new, 6):
        flags = {k: r.random() < 0.4 for k in FLAGS}
        assert ours.add_tokens(AddedToken(content, **flags)) == theirs.add_tokens(
            transformers.AddedToken(content, **flags)), (content, flags)
    assert ours.add_tokens(["plain", "[MASK]", ""]) == theirs.add_tokens(["plain", "[MASK]", ""])
    extra = {"additional_special_tokens": ["<s1>", "<s2>"], "pad_token": "<pad>"}
    assert ours.add_special_tokens(extra) == theirs.add_special_tokens(extra)
    assert len(ours) == len(theirs) and ours.get_added_vocab() == theirs.get_added_vocab()
    assert ours.all_special_tokens == theirs.all_special_tokens and ours.all_special_ids == theirs.all_special_ids
    glue = ["", " ", "  ", "\t", ".", "a"]
    made = ["".join(r.choice([*new, "<s1>", "[MASK]", "plain", "word", "Ö"]) + r.choice(glue) for _ in range(12))
            for _ in range(200)]
    check_equal(ours, theirs, made + r.sample(texts, 100))


def check_equal(ours, theirs, texts):
    options = dict(return_offsets_mapping=True, return_special_tokens_mask=True, verbose=False)
    a, b = ours(texts, **options), theirs(texts, **options)
    for i, text in enumerate(texts):
        for k in b:
            assert a[k][i] == b[k][i], (k, text)
        assert a.tokens(i) == b.tokens(i) and a.word_ids(i) == b.word_ids(i), text
    assert ours(texts, verbose=False)["input_ids"] == a["input_ids"]
    for skip in (False, True):
        assert ours.batch_decode(a["input_ids"], skip_special_tokens=skip) == theirs.batch_decode(
            a["input_ids"], skip_special_tokens=skip)


@pytest.mark.parametrize("auto", [False, True])
def test_files_both_ways(pair, texts, tmp_path, auto):
    ours, theirs = pair
    texts = texts[::10] + ["a <x> b", "NewTok newtok", "<y>[MASK]"]
    for t, A in ((ours, AddedToken), (theirs, transformers.AddedToken)):
        t.add_tokens(["NewTok"])
        t.add_special_tokens({"additional_special_tokens": ["<x>", A("<y>", lstrip=True)]})
    ours.save_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs")
    (tmp_path / "ours" / "config.json").write_text('{"model_type": "bert"}')
    names = {o.name for o in (tmp_path / "ours").iterdir()}
    assert names >= {"vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"}
    cls = transformers.AutoTokenizer if auto else transformers.BertTokenizer
    again = cls.from_pretrained(tmp_path / "ours")
    assert again.is_fast and again.all_special_tokens == ours.all_special_tokens
    assert again.model_max_length == ours.model_max_length and len(again) == len(ours)
    check_equal(ours, again, texts)
    check_equal(BertTokenizer.from_pretrained(tmp_path / "ours"), theirs, texts)
    check_equal(BertTokenizer.from_pretrained(tmp_path / "theirs"), theirs, texts)
    for name in names - {"vocab.txt", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"}:
        (tmp_path / "ours" / name).unlink()
    check_equal(BertTokenizer.from_pretrained(tmp_path / "ours"), theirs, texts)  # from vocab.txt
    raw = transformers.PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "theirs" / "tokenizer.json"))
    (tmp_path / "theirs" / "tokenizer_config.json").unlink()
    alone = BertTokenizer.from_pretrained(tmp_path / "theirs")  # tokenizer.json alone: its own normaliser counts
    a, b = alone(texts, return_offsets_mapping=True), raw(texts, return_offsets_mapping=True)
    assert a["input_ids"] == b["input_ids"] and a["offset_mapping"] == b["offset_mapping"]


@pytest.fixture(scope="module")
def gpt2(texts, tmp_path_factory):
    "(ours, theirs) of a small byte-level vocabulary"
    tokenizers = pytest.importorskip("tokenizers")
    folder = tmp_path_factory.mktemp("gpt2")
    bpe = tokenizers.ByteLevelBPETokenizer()
    bpe.train_from_iterator(texts, vocab_size=900, special_tokens=["<|endoftext|>"], show_progress=False)
    bpe.save_model(str(folder))
    return GPT2Tokenizer.from_pretrained(folder), transformers.GPT2Tokenizer.from_pretrained(folder), folder


def test_gpt2(gpt2, texts, tmp_path):
    ours, theirs, folder = gpt2
    texts = texts[::3] + ["a<|endoftext|>b  <|endoftext|>", "<|endoftext|>"]
    check_equal(ours, theirs, texts)
    same(ours(texts[:50], texts[50:100], return_token_type_ids=True, max_length=9, truncation=True),
         theirs(texts[:50], texts[50:100], return_token_type_ids=True, max_length=9, truncation=True))
    with pytest.raises(ValueError, match="tokenizer.pad_token = tokenizer.eos_token"):
        ours(["a", "b c"], padding=True)
    for options in ({"add_prefix_space": True}, {"add_bos_token": True}, {"add_prefix_space": True, "pad_token": "<pad>"}):
        a, b = GPT2Tokenizer.from_pretrained(folder, **options), transformers.GPT2Tokenizer.from_pretrained(folder, **options)
        if a.pad_token is None:
            a.pad_token, b.pad_token = a.eos_token, b.eos_token
        check_equal(a, b, texts[:200])
        same(a(texts[50:60], texts[70:80], padding=True, padding_side="left"), b(texts[50:60], texts[70:80], padding=True, padding_side="left"))
        words = [o.split() or ["a"] for o in texts[300:330]]
        same(a(words, is_split_into_words=True, padding=True), b(words, is_split_into_words=True, padding=True))
        a.add_tokens(["<new>", AddedToken(" x", single_word=True)])
        b.add_tokens(["<new>", transformers.AddedToken(" x", single_word=True)])
        a.save_pretrained(tmp_path / "a")
        b.save_pretrained(tmp_path / "b")
        extra = texts[:100] + ["a <new> b", "y x", "<new><new>"]
        check_equal(a, transformers.GPT2Tokenizer.from_pretrained(tmp_path / "a"), extra)
        check_equal(GPT2Tokenizer.from_pretrained(tmp_path / "b"), b, extra)
        check_equal(GPT2Tokenizer.from_pretrained(tmp_path / "a"), b, extra)
        (tmp_path / "a" / "tokenizer.json").unlink()
        check_equal(GPT2Tokenizer.from_pretrained(tmp_path / "a"), b, extra)


def test_alignments(pair):
    ours, theirs = pair
    text, second = "Hello unaffable world", "wor[MASK]ld, naïve!"
    for a, b in ((ours(text, second), theirs(text, second)), (ours([text, second]), theirs([text, second]))):
        for i in range(20):
            for k in range(a.n_sequences):
                for name in ("char_to_token", "word_to_tokens", "char_to_word"):
                    assert getattr(a, name)(i, sequence_index=k) == getattr(b, name)(i, sequence_index=k), (name, i, k)
            if i < len(a.tokens()):
                for name in ("token_to_chars", "token_to_word", "token_to_sequence"):
                    assert getattr(a, name)(i) == getattr(b, name)(i), (name, i)
        assert a.word_to_chars(1) == b.word_to_chars(1)
    assert a.word_to_tokens(1, 0) == b.word_to_tokens(1, 0)


def test_batch_encoding(pair):
    import pickle

    import torch

    ours, _ = pair
    e = ours(["a b", "c"], padding=True, return_tensors="pt")
    assert isinstance(e, BatchEncoding) and e.input_ids is e["input_ids"] and set(e) == set(KEYS) and len(e) == 3
    assert e.to("cpu") is e and e.input_ids.dtype == torch.int64 and e.input_ids.shape == (2, 4)
    assert {**e}.keys() == set(KEYS) and e[1].ids == e.input_ids[1].tolist() and "a" in e.tokens()
    again = pickle.loads(pickle.dumps(e))
    assert torch.equal(again.input_ids, e.input_ids) and again.tokens() == e.tokens()
    blind = pickle.loads(pickle.dumps(ours("a b")))
    with pytest.raises(ValueError, match="does not know its texts"):
        blind.tokens()
    with pytest.raises(AttributeError, match="nothing.*input_ids"):
        e.nothing
    old = ours("a b")
    ours.add_tokens(["zzz"])
    with pytest.raises(ValueError, match="changed"):
        old.tokens()


def test_pad(pair):
    ours, theirs = pair
    rows = [{"input_ids": [1, 2, 3], "labels": 1}, {"input_ids": [4], "labels": 0}]
    for options in ({}, {"padding": "max_length", "max_length": 7}, {"pad_to_multiple_of": 8, "padding_side": "left"},
                    {"return_tensors": "np"}, {"return_attention_mask": False}, {"padding": False}):
        same(ours.pad([dict(o) for o in rows], **options), theirs.pad([dict(o) for o in rows], **options), **options)
    one = {"input_ids": [1, 2], "token_type_ids": [0, 1], "special_tokens_mask": [0, 1]}
    same(ours.pad(dict(one), padding="max_length", max_length=4), theirs.pad(dict(one), padding="max_length", max_length=4))
    tensors = [dict(ours(o, return_tensors="np")) for o in ("a", "b c")]
    tensors = [{k: v[0] for k, v in o.items()} for o in tensors]
    assert ours.pad(tensors)["input_ids"].shape == (2, 4)


@pytest.mark.parametrize("wrong,error,words", [
    (dict(text="a", return_tensors="tf"), ValueError, "'tf'.*'pt'"),
    (dict(text="a", return_tensors="jax"), ValueError, "'jax'.*'np'"),
    (dict(text=["a", "b c"], return_tensors="pt"), ValueError, "padding=True"),
    (dict(text="a", padding="foo"), ValueError, "padding='foo'.*max_length"),
    (dict(text="a", truncation="foo"), ValueError, "truncation='foo'.*only_first"),
    (dict(text="a", padding_side="up"), ValueError, "padding_side='up'"),
    (dict(text=3), TypeError, "int.*3"),
    (dict(text=["a", None]), TypeError, "text 1.*None"),
    (dict(text=[1, 2]), TypeError, "text 0.*int"),
    (dict(text=b"bytes"), TypeError, "bytes"),
    (dict(text=["a"], text_pair=["b", "c"]), ValueError, "1 rows.*2"),
    (dict(text=["a"], text_pair="b"), TypeError, "text_pair"),
    (dict(text="a b", is_split_into_words=True), TypeError, "words"),
    (dict(), ValueError, "text is None"),
    (dict(text="a", pad_to_max_length=True), TypeError, "padding='max_length'"),
    (dict(text="a", nonsense=1), TypeError, "nonsense"),
    (dict(text="a b c", max_length=1), ValueError, "max_length=1.*2 special"),
    (dict(text="a b c d e", max_length=4, stride=2, truncation=True), ValueError, "stride=2.*2 tokens"),
    (dict(text="a b c", text_pair="d e", max_length=4, truncation="only_first"), ValueError, "only_first.*longest_first"),
    (dict(text="a b c", max_length=4, truncation="only_second"), ValueError, "no second text"),
    (dict(text="a", padding=True, truncation=True, max_length=9, pad_to_multiple_of=8), ValueError, "multiple"),
])
def test_wrong_calls(pair, wrong, error, words):
    with pytest.raises(error, match=words):
        pair[0](**wrong)


def test_wrong_files(tmp_path, pair):
    with pytest.raises(FileNotFoundError, match="tokenizer.json and vocab.txt"):
        BertTokenizer.from_pretrained(tmp_path)
    with pytest.raises(FileNotFoundError, match="vocab.json.*merges.txt"):
        GPT2Tokenizer.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="vocabulary"):
        BertTokenizer()
    pair[0].save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="WordPiece tokenizer.*GPT2Tokenizer"):
        GPT2Tokenizer.from_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{broken")
    with pytest.raises(ValueError, match="tokenizer.json"):
        BertTokenizer.from_pretrained(tmp_path)


def test_long_input_warns_once(folders, caplog):
    ours = BertTokenizer.from_pretrained(folders["uncased"])
    ours("word " * 600, truncation=True)
    ours("word " * 600, max_length=700, truncation=True)
    assert not caplog.records
    ours("word " * 600)
    ours("word " * 600)
    assert len(caplog.records) == 1 and "602" in caplog.text and "512" in caplog.text


def test_names(pair, folders):
    ours = BertTokenizer.from_pretrained(folders["uncased"])
    assert (ours.cls_token, ours.cls_token_id, ours.eos_token, ours.eos_token_id) == ("[CLS]", 101, None, None)
    ours.pad_token = "[unused3]"
    ours.sep_token_id = 103
    assert ours.pad_token_id == ours.convert_tokens_to_ids("[unused3]") and ours.sep_token == "[MASK]"
    assert ours("a")["input_ids"][-1] == 103
    with pytest.raises(ValueError, match="no special token"):
        ours.add_special_tokens({"foo_token": "x"})
    with pytest.raises(ValueError, match="cls_token must be"):
        ours.cls_token = 3
    assert ours.convert_tokens_to_ids("no-such-token") == ours.unk_token_id and ours.convert_ids_to_tokens(10**6) is None
    with pytest.raises(ValueError, match="-100"):
        ours.decode([101, -100])


def test_train_new(pair, texts):
    ours, theirs = pair
    corpus = ["the quick brown fox " * 3, "jumps over lazy dogs", "the fox the dogs"] * 5
    new = ours.train_new_from_iterator([corpus], 120)
    assert len(new) <= 120 and new.cls_token_id == new.get_vocab()["[CLS]"] and new.model_max_length == ours.model_max_length
    ref = theirs.train_new_from_iterator([corpus], 120)
    assert new("the lazy fox")["input_ids"] == ref("the lazy fox")["input_ids"]


def test_distilbert(folders):
    t = DistilBertTokenizer.from_pretrained(folders["uncased"])
    assert list(t("a")) == ["input_ids", "attention_mask"]
