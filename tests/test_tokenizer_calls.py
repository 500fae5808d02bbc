"Every argument of a tokenizer's methods: obeyed as in the reference, or refused by name; tokens added in odd ways, and by threads."
import copy
import inspect
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

import minihf
from minihf.tokenizers.base import AddedToken, BertTokenizer, Finder, GPT2Tokenizer

transformers = pytest.importorskip("transformers")
BERT, GPT2 = (Path(minihf.__file__).parent / "assets" / o for o in ("tiny-bert", "tiny-gpt2"))


def new():
    return BertTokenizer.from_pretrained(BERT)


def theirs():
    return transformers.BertTokenizer.from_pretrained(BERT)


@pytest.fixture(scope="module")
def t():
    return new()


# --- arguments -------------------------------------------------------------------------------------
OTHERS = {"cache_dir", "force_download", "local_files_only", "token", "revision"}  # the Hub's, for `cached_file`


@pytest.mark.parametrize("name", ["__call__", "encode", "pad", "decode", "batch_decode", "save_pretrained", "from_pretrained", "tokenize",
                                  "convert_ids_to_tokens", "convert_tokens_to_ids", "add_tokens", "add_special_tokens",
                                  "get_special_tokens_mask", "train_new_from_iterator", "save_vocabulary", "num_special_tokens_to_add"])
def test_arguments_of_the_reference(name, t, tmp_path):
    "Each is in our signature, or goes on to the call or the Hub, or is refused by name"
    want = inspect.signature(getattr(transformers.BertTokenizer, name)).parameters
    ours = inspect.signature(getattr(BertTokenizer, name)).parameters
    call = inspect.signature(BertTokenizer.__call__).parameters
    for key, p in want.items():
        if p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL) or key in ours or key in OTHERS or key == "init_inputs":
            continue
        if "kwargs" in ours and (key in call or name == "from_pretrained"):
            continue
        with pytest.raises(TypeError, match=key):
            getattr(t, name)(tmp_path, **{key: "x"})


@pytest.mark.parametrize("call", [
    lambda t: t("a", gguf_file="x"), lambda t: t.decode([5], use_source_tokenizer=True), lambda t: t("a", tokenizer_kwargs={}),
    lambda t: BertTokenizer.from_pretrained(BERT, gguf_file="x"), lambda t: t.batch_decode([[5]], nonsense=1),
    lambda t: t("a", max_target_length=5), lambda t: t.encode("a", nonsense=1), lambda t: t.tokenize("a", nonsense=1)])
def test_unknown_arguments_are_named(t, call):
    with pytest.raises(TypeError, match="does not know the argument (gguf_file|use_source|tokenizer_kwargs|nonsense|max_target)"):
        call(t)


NUMBERS = [np.int64(5), np.int32(5), torch.tensor(5), np.uint8(5)]


@pytest.mark.parametrize("five", NUMBERS, ids=lambda o: type(o).__name__ + str(getattr(o, "dtype", "")))
def test_numbers_of_numpy_and_torch(t, five):
    text = "a b c d e f g"
    assert t(text, max_length=five, truncation=True) == t(text, max_length=5, truncation=True)
    assert t(text, max_length=five + 3, stride=five - 4, truncation=True, return_overflowing_tokens=True)["input_ids"] == t(
        text, max_length=8, stride=1, truncation=True, return_overflowing_tokens=True)["input_ids"]
    assert len(t(text, pad_to_multiple_of=five, padding=True)["input_ids"]) == 10
    assert len(t("a", max_length=five, padding="max_length")["input_ids"]) == 5
    assert t.convert_ids_to_tokens(five) == t.convert_ids_to_tokens(5) and t.decode(five) == t.decode([five]) == t.decode(5)


@pytest.mark.parametrize("name", ["max_length", "stride", "pad_to_multiple_of"])
@pytest.mark.parametrize("value,error", [(-1, ValueError), (1.5, TypeError), ("5", TypeError), ([5], TypeError), (float("nan"), TypeError),
                                         (np.float32(5), TypeError), (torch.tensor([1, 2]), TypeError)])
def test_wrong_numbers_are_named(t, name, value, error):
    with pytest.raises(error, match=name):
        t("a b c d e", **{"max_length": 4, "truncation": True, "padding": True, name: value})


def test_huge_numbers(t):
    assert t("a b", max_length=10**30, truncation=True) == t("a b")
    for options in ({"max_length": 10**30, "padding": "max_length"}, {"pad_to_multiple_of": 10**18, "padding": True}):
        with pytest.raises(ValueError, match="no memory"):
            t("a b", **options)
    with pytest.raises(ValueError, match="stride=1000000"):
        t("a b c d e", max_length=4, truncation=True, stride=10**6)


@pytest.mark.parametrize("options,words", [
    (dict(padding=[]), "padding="), (dict(padding="LONGEST"), "padding="), (dict(truncation={}), "truncation="), (dict(truncation="yes"), "truncation="),
    (dict(add_special_tokens="yes"), "add_special_tokens"), (dict(is_split_into_words="yes"), "is_split_into_words"), (dict(add_special_tokens=None), "add_special_tokens"),
    (dict(return_tensors=[]), "return_tensors"), (dict(return_tensors="TF"), "return_tensors"), (dict(padding_side=5, padding=True), "padding_side"),
    (dict(verbose=torch.tensor([1, 2])), "verbose"), (dict(return_length=torch.tensor([1, 2])), "return_length"),
])
def test_other_wrong_values_are_named(t, options, words):
    with pytest.raises((TypeError, ValueError), match=words):
        t("a", **options)


@pytest.mark.parametrize("args,words", [
    ((["a", "b"], ["c", None]), "row 1 of text_pair.*None"), (([("a", "b"), ("c", None)],), "second text of row 1"),
    (([("a", "b"), (None, "c")],), "text 1.*None"), ((["a", "b"], ["c", 5]), "text_pair 1.*int: 5"), ((["a", 5], ["c", "d"]), "text 1.*int: 5"),
    (("a", 5), "text_pair.*int: 5"), (("a", 0), "text_pair.*int: 0"), (("a", b"c"), "text_pair.*decode bytes"), (([["a", "b", "c"]],), "text 0.*list"),
    ((np.array(["a", "b"]),), "text 0.*ndarray.*list of strings"), (({"a": 1},), "text 0.*dict"), (([float("nan")],), "text 0.*float: nan"),
    ((["a"], {"b"}), "text_pair.*set"), (((o for o in "ab"),), "text 0.*generator.*list of strings"),
])
def test_what_is_no_text_is_named_by_row_and_side(t, args, words):
    for options in ({}, {"return_offsets_mapping": True}, {"padding": True, "return_tensors": "np"}):
        with pytest.raises(TypeError, match=words):
            t(*args, **options)


def test_forms_of_texts_are_those_of_the_reference(t):
    other = theirs()
    for args in ((("a", "b"),), ([("a", "b"), "c"],), ([["a", "b"]],), ("a", ""), (np.str_("a"),), (["a"], ("b",))):
        assert dict(t(*args)) == dict(other(*args)), args
    words = [["a", "b"], ["c"]]
    assert dict(t(words, words[::-1], is_split_into_words=True)) == dict(other(words, words[::-1], is_split_into_words=True))
    with pytest.raises(TypeError, match="text 1, word 0.*int"):
        t([["a"], [5]], is_split_into_words=True)


# --- ids -------------------------------------------------------------------------------------------
WRONG_IDS = [torch.tensor([20.5, 41.25]), [5.0], 5.0, "abc", ["a"], None, [None], [[5], [6.0]], torch.zeros(1, 2, 3, dtype=torch.long), {"a": 1}, np.array([1.5]), [5, 7.0]]


@pytest.mark.parametrize("ids", WRONG_IDS, ids=lambda o: str(o)[:30].replace("\n", " "))
def test_what_is_no_id_is_refused(t, ids):
    t.decode([5, 7])  # known ids hide none
    for method in (t.decode, t.batch_decode) + ((t.convert_ids_to_tokens,) if not isinstance(ids, list) or not isinstance(ids[0], list) else ()):
        with pytest.raises((TypeError, ValueError), match="whole number|the ids|row [01]|ids"):
            method(ids)


def test_ids_that_are_taken(t):
    other = theirs()
    for ids in (5, [5, 6], np.int64(45), [np.int64(45)], torch.tensor(45), [torch.tensor(45), torch.tensor(44)], [[1, 2], [3]], [10**6], [], True,
                np.array([[44, 45]]), (5, 6), {"input_ids": [5, 6]}, torch.tensor([[1, 2]])):
        assert t.decode(ids) == other.decode(ids), ids
    assert t.batch_decode([44, 45]) == other.batch_decode([44, 45]) and t.batch_decode([]) == []
    assert t.decode([2**40]) == t.decode([10**6]) == ""
    for method in (t.decode, t.convert_ids_to_tokens):
        with pytest.raises(ValueError, match="-100"):
            method([5, -100])
    for wrong in (None, 5, [5], [None]):
        with pytest.raises(TypeError, match="tokens"):
            t.convert_tokens_to_ids(wrong)
        with pytest.raises(TypeError, match="tokens"):
            t.convert_tokens_to_string(wrong)


def test_spaces_between_special_tokens():
    "Stored: what the slow tokenizers of 4.57.6 give with spaces_between_special_tokens=False"
    t, g = new(), GPT2Tokenizer.from_pretrained(GPT2)
    for o in (t, g):
        o.add_tokens(["<new>"])
        o.add_special_tokens({"additional_special_tokens": ["<s1>"]})
    text = "a <new> b<s1> c [MASK]"
    assert t.decode(t(text)["input_ids"]) == t.decode(t(text)["input_ids"], spaces_between_special_tokens=True) == "[CLS] a <new> b <s1> c [MASK] [SEP]"
    assert t.decode(t(text)["input_ids"], spaces_between_special_tokens=False) == "[CLS] a<new>b<s1>c [MASK] [SEP]"
    assert t.decode(t(text)["input_ids"], spaces_between_special_tokens=False, skip_special_tokens=True) == "a<new>b c"
    assert t.batch_decode([t(text)["input_ids"]], spaces_between_special_tokens=False) == ["[CLS] a<new>b<s1>c [MASK] [SEP]"]
    assert g.decode(g("a<new> b<s1>c")["input_ids"], spaces_between_special_tokens=False) == "a<new> b<s1>c"


# --- padding ---------------------------------------------------------------------------------------
def test_uneven_labels_name_the_column_and_the_collator(t):
    rows = [{"input_ids": [1, 2, 3], "labels": [1, 2, 3]}, {"input_ids": [1], "labels": [1]}]
    with pytest.raises(ValueError, match="'labels'.*DataCollatorForTokenClassification"):
        t.pad(rows, return_tensors="pt")
    assert t.pad(rows)["labels"] == [[1, 2, 3], [1]]
    with pytest.raises(ValueError, match="'labels'.*cannot become"):
        t.pad([{"input_ids": [1], "labels": "yes"}], return_tensors="pt")
    with pytest.raises(ValueError, match=r"row 1 lacks \['labels'\]"):
        t.pad([rows[0], {"input_ids": [1]}])
    with pytest.raises(ValueError, match="row 1 is no dict"):
        t.pad([rows[0], [1]])
    with pytest.raises(ValueError, match="labels has 1 rows, but input_ids has 2"):
        t.pad({"input_ids": [[1], [2]], "labels": [1]})
    for wrong in (None, 5, "a", [5]):
        with pytest.raises(TypeError, match="pad takes"):
            t.pad(wrong)
    with pytest.raises(TypeError, match="input_ids must be"):
        t.pad({"input_ids": 5})
    with pytest.raises(TypeError, match="mixes rows"):
        t.pad({"input_ids": [[1], 5]})


# --- adding tokens ---------------------------------------------------------------------------------
def test_an_unset_flag_is_decided_when_a_token_becomes_special():
    for give in (lambda T, t: t.add_special_tokens({"additional_special_tokens": [T("<K>", rstrip=True)]}), lambda T, t: t.add_tokens([T("<K>", rstrip=True)], True),
                 lambda T, t: t.add_tokens([T("<K>", rstrip=True, special=True)])):
        t = new()
        give(AddedToken, t)
        assert t("a <K> b <k>", add_special_tokens=False)["input_ids"] == [43, 4096, 44, 32, 53, 34]
        assert not t.added_tokens_decoder[4096].normalized and t.added_tokens_decoder[4096].special
    for normalized in (True, False):
        a, b = new(), theirs()
        for o, T in ((a, AddedToken), (b, transformers.AddedToken)):
            o.add_special_tokens({"pad_token": T("<K>", rstrip=True, normalized=normalized)})
        assert a("a <K> b <k>")["input_ids"] == b("a <K> b <k>")["input_ids"]
    assert AddedToken("x").normalized and not AddedToken("x", special=True).normalized


@pytest.mark.parametrize("tokens,error", [([5], TypeError), (5, TypeError), ([None], TypeError), ([b"x"], TypeError), (["ok", 5], TypeError), ({"a": 1}, TypeError),
                                          (["ok", "\ud800"], ValueError), (["ok", "\u200b"], ValueError), (["ok", "\ufeff"], ValueError), (["\u0301"], ValueError)])
def test_what_is_no_token_is_refused_and_nothing_is_added(tokens, error):
    t = new()
    with pytest.raises(error):
        t.add_tokens(tokens)
    assert len(t) == 4096 and "ok" not in t.get_added_vocab() and t("a")["input_ids"] == [2, 43, 3]


@pytest.mark.parametrize("token", ["\u200b", "\ufeff", "\u0301"])
def test_special_tokens_are_not_folded(token):
    a, b = new(), theirs()
    for o in (a, b):
        o.add_special_tokens({"additional_special_tokens": [token]})
    assert a(f"a b{token}")["input_ids"] == b(f"a b{token}")["input_ids"] == [2, 43, 44, 4096, 3]


def test_odd_ways_to_add():
    t = new()
    assert t.add_tokens(None) == t.add_tokens([]) == t.add_tokens("") == 0 and t.add_tokens(o for o in ("x1y", "x2y")) == 2
    assert t.add_special_tokens({"extra_special_tokens": ["<e>"], "pad_token": "<p>"}) == 2
    assert t.add_special_tokens({"extra_special_tokens": []}) == 0 and t.extra_special_tokens == ["<e>"]  # as in the reference
    for wrong in ({"extra_special_tokens": "<e>"}, {"pad_token": 5}, {"pad_token": None}, {5: "x"}):
        with pytest.raises(ValueError):
            t.add_special_tokens(wrong)
    for wrong in ({"content": 5}, {"content": None}, {"content": "x", "lstrip": "yes"}, {"content": "x", "special": None}):
        with pytest.raises(TypeError, match="AddedToken: "):
            AddedToken(**wrong)
    for name, value, error in (("eos_token_id", 2.5, TypeError), ("eos_token_id", 10**7, ValueError), ("eos_token_id", -1, ValueError), ("eos_token", 5, ValueError)):
        with pytest.raises(error, match=name):
            setattr(t, name, value)
    t.pad_token = None
    assert t.pad_token is t.pad_token_id is None and "pad_token" not in t.special_tokens_map


def test_named_tokens_of_a_checkpoint():
    for give in ({"extra_special_tokens": {"image_token": "<img>"}}, {"image_token": "<img>"}):
        a, b = BertTokenizer.from_pretrained(BERT, **give), transformers.BertTokenizer.from_pretrained(BERT, **give)
        for o in (a, b):
            assert (o.image_token, o.image_token_id) == ("<img>", 4096) and o("a <img>")["input_ids"] == [2, 43, 4096, 3]
        assert a.all_special_tokens == b.all_special_tokens and a.special_tokens_map == b.special_tokens_map
        a.image_token = "[MASK]"
        assert a.image_token_id == 4 and copy.deepcopy(a).image_token == pickle.loads(pickle.dumps(a)).image_token == "[MASK]"
    t = BertTokenizer.from_pretrained(BERT, extra_special_tokens=["<img>"])
    assert t("a <img>")["input_ids"] == [2, 43, 4096, 3] and "<img>" in t.all_special_tokens
    with pytest.raises(AttributeError, match="no 'audio_token'"):
        t.audio_token


def test_finder_agrees_with_a_slow_search(rng):
    for _ in range(200):
        letters = "ab[]^-\\<é今"
        tokens = {"".join(rng.choices(letters, k=rng.randint(1, 4))) for _ in range(rng.randint(0, 12))}
        text = "".join(rng.choices(letters + " ", k=40))
        want, i = [], 0
        while i < len(text):
            size = max((len(o) for o in tokens if text.startswith(o, i)), default=0)
            want += [(i, i + size)] if size else []
            i += size or 1
        assert [(a, b) for a, b, _ in Finder(map(AddedToken, tokens)).find(text)] == want


def test_many_tokens_cost_little_each():
    "Steps, not seconds: what is compiled and what is looked at do not grow with the number of tokens"
    t = new()
    t.add_tokens([f"tok{i}x" for i in range(5000)])
    assert t.vocabulary.folded.sizes.keys() == {"t"} and t("a tok77x b")["input_ids"] == [2, 43, 4096 + 77, 44, 3]
    before = t.vocabulary.folded.begins()
    t.add_tokens(["tokens", "twoz"])
    assert t.vocabulary.folded.begins() is before and t("twoz")["input_ids"] == [2, len(t) - 1, 3]
    row = t("the cat sat", return_offsets_mapping=True)
    assert row.encodings[0].char_table is row.encodings[0].char_table and row.encodings[0].word_table is row.encodings[0].word_table


def test_adding_beside_threads_that_encode():
    t, wrong, stop = new(), [], threading.Event()
    want = t("the cat sat on 5 mats")["input_ids"]

    def work():
        while not stop.is_set():
            try:
                if t("the cat sat on 5 mats")["input_ids"] != want or not t.decode(want) or not t(["a b"], return_offsets_mapping=True):
                    wrong.append("other ids")
            except Exception as e:
                wrong.append(repr(e))

    threads = [threading.Thread(target=work) for _ in range(4)]
    [o.start() for o in threads]
    for i in range(400):
        t.add_tokens([f"new{i}q", AddedToken(f"{chr(0x4E00 + i)}{i}", special=i % 2 == 0)])
        t.get_added_vocab(), t.get_vocab(), len(t)
    stop.set()
    [o.join() for o in threads]
    assert not wrong and len(t) == 4096 + 800 and t("new7q")["input_ids"] == [2, t.convert_tokens_to_ids("new7q"), 3]


def test_adding_from_several_threads():
    t = new()
    threads = [threading.Thread(target=lambda k=k: [t.add_tokens([f"n{k}q{i}", f"all{i}q"]) for i in range(200)]) for k in range(4)]
    [o.start() for o in threads]
    [o.join() for o in threads]
    ids = sorted(t.get_added_vocab().values())
    assert ids[-1000:] == list(range(4096, 4096 + 1000)) and len(t) == 4096 + 1000


# --- what a call returns ---------------------------------------------------------------------------
@pytest.mark.parametrize("options", [{}, {"return_tensors": "pt"}, {"return_tensors": "np"}, {"return_offsets_mapping": True}])
def test_a_batch_can_be_copied(t, options):
    batch = t(["a b", "c d"], **options)
    for make in (copy.copy, copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))):
        new = make(batch)
        assert list(new) == list(batch) and np.array_equal(new["input_ids"], batch["input_ids"]) and type(new) is type(batch)
    deep = copy.deepcopy(batch)
    deep["input_ids"][0][0] = 7
    assert batch["input_ids"][0][0] == 2 and deep.tokens() == batch.tokens() and deep.n_sequences == 1


def test_rows_that_are_not_there(t):
    batch = t("the cat")
    for call in (batch.tokens, batch.word_ids, batch.sequence_ids, lambda i: batch[i], lambda i: batch.token_to_chars(i, 0)):
        with pytest.raises(ValueError, match="no row 5"):
            call(5)
        with pytest.raises(TypeError, match="row"):
            call(1.5)
    assert batch.char_to_token(10**6) is None and batch.word_to_tokens(99) is None and batch.char_to_token(-1) is None


@pytest.mark.parametrize("folder", [BERT, GPT2])
@pytest.mark.parametrize("added", [[], ["xyz"], [AddedToken("<q>", normalized=False)]])
@pytest.mark.parametrize("call,where", [
    (lambda t: t(["fine", "b \ud800 xyz"]), "text 1 .* character 2"),
    (lambda t: t("xyz", "<q>\ud800"), "text_pair 0 .* character 3"),
    (lambda t: t("b \udfff c", return_offsets_mapping=True), "text 0 .* character 2"),
    (lambda t: t([["b", "\ud800"]], is_split_into_words=True), "text 0, word 1 .* character 0"),
    (lambda t: t.encode("xyz \udfff"), "text 0 .* character 4")])
def test_half_a_surrogate_pair_is_refused_on_every_road(folder, added, call, where):
    t = minihf.AutoTokenizer.from_pretrained(folder)
    t.add_tokens(added)
    for _ in range(2):  # an error is remembered by no table
        with pytest.raises(ValueError, match=where):
            call(t)


def test_a_row_of_a_batch_that_is_none_is_named(t):
    with pytest.raises(TypeError, match="row 1 must hold whole numbers, not 5"):
        t.decode([[43, 44], 5])
