"Byte-level BPE against the reference's `tokenizers`: cutting, merging, offsets, training, files, and hard sizes."
import copy
import json
import pickle
import random
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given, settings, strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from minihf.tokenizers import bpe as module
from minihf.tokenizers.bpe import (
    BPE, CHAR_TO_BYTE, CHUNK_PATTERN, GPT2_PATTERN, ByteLevelBPE, SureMerges, Whole, merge, merge_long, rank_table,
    read_merges, split, split_by, to_symbols, token_bytes,
)

BYTES = pre_tokenizers.ByteLevel.alphabet()
LLAMA = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def train_reference(texts, vocab_size, min_frequency=0, special_tokens=(), add_prefix_space=False):
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, min_frequency=min_frequency, special_tokens=list(special_tokens),
        initial_alphabet=BYTES, show_progress=False,
    )
    t.train_from_iterator(texts, trainer)
    model = json.loads(t.to_str())["model"]
    return model["vocab"], [" ".join(o) for o in model["merges"]]


def reference(vocab, merges, add_prefix_space=False, use_regex=True, **model):
    t = Tokenizer(models.BPE(vocab, [tuple(m.split(" ")) for m in merges], **model))
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space, use_regex=use_regex)
    t.decoder = decoders.ByteLevel()
    return t


def same_everything(ours, theirs, text):
    want = theirs.encode(text)
    assert ours.encode_offsets(text) == (want.ids, want.offsets, want.word_ids), text[:80]
    assert ours.encode(text) == want.ids, text[:80]
    assert ours.decode(want.ids) == theirs.decode(want.ids, skip_special_tokens=False)
    assert ours.tokens_to_string(want.tokens) == theirs.decoder.decode(want.tokens)


@pytest.fixture(scope="module")
def learnt(texts):
    "A vocabulary of 4,000 tokens, learnt by the reference from many scripts and from English"
    from pydoc_data.topics import topics

    return train_reference([*texts[::4], *topics.values()], 4000, special_tokens=["<|endoftext|>"])


# --- bytes as characters -------------------------------------------------------------------------
def test_alphabet_is_the_reference_s_and_one_to_one():
    assert sorted(CHAR_TO_BYTE) == sorted(BYTES)
    assert sorted(CHAR_TO_BYTE.values()) == list(range(256))
    assert to_symbols(" ") == "Ġ" and to_symbols("\n") == "Ċ"


def test_symbols_and_back(texts):
    for text in texts[:300]:
        assert token_bytes(to_symbols(text)) == text.encode()
    assert token_bytes("<今>") == "<今>".encode()


# --- cutting -------------------------------------------------------------------------------------
def cuts(text):
    theirs = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return [text[a:b] for _, (a, b) in theirs.pre_tokenize_str(text)]


def test_every_code_point_is_in_the_class_that_the_reference_puts_it_in():
    dense = [c for c in range(0x34000) if not 0xD800 <= c < 0xE000 and not 0x4E10 <= c < 0x9F00]
    points = [*dense, *range(0x34000, 0x110000, 997), *range(0xE0000, 0xE01F0)]
    for i in range(0, len(points), 4096):
        text = "".join(f"a{chr(c)}1{chr(c)}! " for c in points[i : i + 4096])
        ours = split(text)
        assert ours == cuts(text), hex(points[i])


def test_cuts_equal_and_nothing_is_lost(texts):
    for text in texts:
        pieces = split(text)
        assert "".join(pieces) == text
        assert pieces == cuts(text)
        assert split_by(text, [GPT2_PATTERN]) == pieces


def test_chunks_are_whole_pieces(rng):
    alphabet = " \n\t\r\x0b\x1c\x85\xa0\u2028\u3000ab'st1½今!?_é\u0301"
    for _ in range(5000):
        text = "".join(rng.choices(alphabet, k=rng.randint(0, 12)))
        assert [p for chunk in CHUNK_PATTERN.findall(text) for p in split(chunk)] == split(text)
        assert all(split(p) == [p] for p in split(text))


@pytest.mark.parametrize("text", ["don't DON'T 'tis ''s", "a  b", " \n x", "x\n", "  ", "\n\n", "a\x1cb \x1d", "'", "'s", "x's's"])
def test_known_traps(text):
    assert split(text) == cuts(text)


# --- merging -------------------------------------------------------------------------------------
def test_merging_by_any_table_is_the_reference_s(rng):
    "Also by tables that no training makes: parts that come later, a token made in two ways"
    for _ in range(300):
        letters = "abc"
        vocab, merges = {c: i for i, c in enumerate(letters)}, []
        for _ in range(rng.randint(1, 15)):
            pair = rng.choice(list(vocab)), rng.choice(list(vocab))
            vocab.setdefault("".join(pair), len(vocab))
            merges.append(" ".join(pair))
        merges = rng.sample(list(dict.fromkeys(merges)), len(set(merges)))
        theirs, ours = reference(vocab, merges, use_regex=False), ByteLevelBPE(vocab, merges)
        for _ in range(5):
            text = "".join(rng.choices(letters, k=rng.randint(1, 90)))
            want = theirs.encode(text).ids
            ranks = rank_table(merges)
            assert [vocab[s] for s in merge(list(text), ranks)] == want
            assert merge_long(list(text), ranks) == merge(list(text), ranks)
            assert ours.encode(text) == want


def test_whole_tokens_are_what_merging_gives(rng):
    "Whatever the table: merges in any order, twice, parts that nothing makes"
    proved = 0
    for _ in range(3000):
        letters = "abcd"[: rng.randint(1, 4)]
        vocab, merges = {c: i for i, c in enumerate(letters)} | {"ad": 90, "zz": 91}, []
        for _ in range(rng.randint(0, 12)):
            pair = rng.choice(list(vocab)), rng.choice(list(vocab))
            vocab.setdefault("".join(pair), len(vocab))
            merges.append(" ".join(pair))
        if rng.random() < 0.7:
            merges = rng.sample(list(dict.fromkeys(merges)), len(set(merges)))
        whole = Whole(merges, rank_table(merges))
        whole = [t for t in vocab if set(t) <= set(letters) and whole[t]]
        for token in whole:
            assert merge(list(token), rank_table(merges)) == [token], (merges, token)
        proved += len(whole)
    assert proved > 6000


def test_all_tokens_that_were_learnt_are_whole(learnt):
    ours = ByteLevelBPE(*learnt)
    assert [t for t in ours.vocab if not ours.whole[t] and len(t) <= 64] == ["<|endoftext|>"]


def test_a_deep_chain_of_merges():
    vocab, merges = {c: i for i, c in enumerate(sorted(BYTES))}, []
    for n in range(1, 3000):
        merges.append(f"{'a' * n} a")
        vocab["a" * (n + 1)] = len(vocab)
    for text in ("a" * 60, "a" * 2999, "a" * 5000):
        assert ByteLevelBPE(vocab, merges).encode(text) == reference(vocab, merges).encode(text).ids


def test_an_edited_table_is_not_taken_for_a_learnt_one():
    vocab = {c: i for i, c in enumerate(sorted(BYTES))} | {"bc": 256, "ab": 257, "abc": 258}
    merges = ["b c", "a b", "ab c"]
    ours, theirs = ByteLevelBPE(vocab, merges), reference(vocab, merges)
    assert ours.encode("abc") == theirs.encode("abc").ids == [vocab["a"], 256]
    assert ours.encode("ab") == theirs.encode("ab").ids == [257]


def test_short_and_long_way_agree_on_a_learnt_table(learnt, texts):
    ours = ByteLevelBPE(*learnt)
    for text in texts[:500]:
        symbols = list(to_symbols(text))
        if len(symbols) < 2000:
            want = merge(list(symbols), ours.whole.ranks)
            assert want == merge_long(symbols, ours.whole.ranks)
    for way in (merge, merge_long):
        assert way([], ours.whole.ranks) == []


# --- parity on texts -----------------------------------------------------------------------------
@pytest.mark.parametrize("add_prefix_space", [False, True])
def test_ids_offsets_words_and_text(learnt, texts, add_prefix_space):
    ours, theirs = ByteLevelBPE(*learnt, add_prefix_space), reference(*learnt, add_prefix_space)
    for text in texts:
        same_everything(ours, theirs, text)


def test_parts_of_a_character_share_it(learnt):
    ours = ByteLevelBPE(*learnt)
    ids, offsets, words = ours.encode_offsets("a\U000132f5b")
    assert len(ids) > 3 and offsets[0] == (0, 1) and offsets[-1] == (2, 3)
    assert {o for o in offsets[1:-1]} == {(1, 2)}


def test_decoding_bytes_that_are_no_text(learnt, rng):
    ours, theirs = ByteLevelBPE(*learnt), reference(*learnt)
    for _ in range(1000):
        ids = rng.choices(range(1, 300), k=rng.randint(0, 12))
        assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=False)


def test_errors_decides_about_bad_bytes(learnt):
    half = [learnt[0]["Ã"]]
    assert ByteLevelBPE(*learnt).decode(half) == "\ufffd"
    assert ByteLevelBPE(*learnt, errors="ignore").decode(half) == ""
    with pytest.raises(UnicodeDecodeError):
        ByteLevelBPE(*learnt, errors="strict").decode(half)


def test_tokens_with_foreign_characters_stand_for_themselves(learnt):
    tokens = ["Ġa", "<今>", "Ã", "©", "Ġ今"]
    assert ByteLevelBPE(*learnt).tokens_to_string(tokens) == reference(*learnt).decoder.decode(tokens)


@pytest.mark.parametrize("text,place", [("a\ud800b", 1), ("\udfff", 0), ("\ud83e \udd16", 0), ("今" * 40 + "\ud800", 40)])
def test_half_a_surrogate_pair_is_an_error_that_says_where(learnt, text, place):
    ours = ByteLevelBPE(*learnt)
    for call in (ours.encode, ours.encode_offsets, to_symbols, ByteLevelBPE(*learnt, patterns=[LLAMA]).encode):
        with pytest.raises(ValueError, match=f"character {place} of the text"):
            call(text)


def test_bytes_without_an_entry(learnt):
    vocab, merges = learnt
    some = {t: i for t, i in vocab.items() if not set(to_symbols("éQ")) & set(t)}
    kept = [m for m in merges if {*m.split(" "), m.replace(" ", "")} <= some.keys()]
    assert len(kept) < len(merges)
    for unk in (None, "!"):
        ours, theirs = ByteLevelBPE(some, kept, unk_token=unk), reference(some, kept, unk_token=unk)
        for text in ("a Quick éclair", "Q", "éé Q!", "no need"):
            assert ours.encode(text) == theirs.encode(text).ids == ours.encode_offsets(text)[0]


def test_ignore_merges():
    vocab = {c: i for i, c in enumerate(sorted(BYTES))} | {"ab": 256, "abc": 257}
    plain, whole = (ByteLevelBPE(vocab, ["a b"], ignore_merges=o) for o in (False, True))
    assert plain.encode("abc") == [256, vocab["c"]] and whole.encode("abc") == [257]
    assert reference(vocab, ["a b"], ignore_merges=True).encode("abc abcd").ids == whole.encode("abc abcd")


# --- training ------------------------------------------------------------------------------------
@pytest.mark.parametrize("size,least", [(300, 0), (700, 2), (2000, 0), (5000, 5)])
def test_training_learns_the_same(texts, size, least):
    lines = [o for o in texts if len(o) < 2000][:600]
    special = ["<|endoftext|>", "<pad>"]
    ours = ByteLevelBPE({}, []).train_new(iter(lines), size, least, special)
    vocab, merges = train_reference(lines, size, least, special)
    assert ours.vocab == vocab and ours.merges == merges


def test_training_with_ties_and_doublings(rng):
    for _ in range(150):
        lines = ["".join(rng.choices("ab c", k=rng.randint(1, 60))) for _ in range(rng.randint(1, 8))]
        size, least = rng.randint(250, 320), rng.randint(0, 3)
        ours = ByteLevelBPE({}, []).train_new(lines, size, least)
        assert (ours.vocab, ours.merges) == train_reference(lines, size, least)


def test_training_keeps_the_settings(texts):
    old = ByteLevelBPE({}, [], add_prefix_space=True, errors="ignore", patterns=(LLAMA,), ignore_merges=True)
    new = old.train_new(["now and then"], 260)
    assert (new.add_prefix_space, new.errors, new.patterns, new.ignore_merges) == (True, "ignore", (LLAMA,), True)
    prefixed = ByteLevelBPE({}, [], add_prefix_space=True).train_new(texts[10:300], 400)
    assert (prefixed.vocab, prefixed.merges) == train_reference(texts[10:300], 400, add_prefix_space=True)


def test_training_on_nothing():
    ours = ByteLevelBPE({}, []).train_new([], 1000)
    assert len(ours.vocab) == 256 and ours.merges == [] and ours.decode(ours.encode("é 今")) == "é 今"


# --- sizes ---------------------------------------------------------------------------------------
def cpu(f):
    start = time.thread_time()
    f()
    return time.thread_time() - start


@pytest.mark.parametrize("unit", ["a", " ", "今", "ab", "\u0301", "="])
def test_one_long_piece_is_not_quadratic(learnt, unit):
    ours = ByteLevelBPE(*learnt)
    ours.encode("warm")
    small, large = cpu(lambda: ours.encode(unit * 10_000)), cpu(lambda: ours.encode(unit * 80_000))
    assert large < 30 * small + 0.5, (small, large)  # 64 times, if it were


@pytest.mark.parametrize("text", ["a" * 200_000, "今" * 50_000, "ab" * 50_000 + "c" * 9, " \n" * 30_000 + "x"])
def test_long_pieces_are_equal(learnt, text):
    same_everything(ByteLevelBPE(*learnt), reference(*learnt), text)


def test_a_long_word_of_random_letters(learnt, rng):
    same_everything(ByteLevelBPE(*learnt), reference(*learnt), "".join(rng.choices("etaoin", k=50_000)))


def test_memory_is_bounded(learnt):
    ours = ByteLevelBPE(*learnt)
    for n in range(70_000):
        ours.encode(f" {n}x")
    assert len(ours._pieces) <= 2**16
    ours.encode("y" * 500 + "今 " * 300 + "今" * 500)
    assert max(map(len, [*ours._pieces, *ours._chunks])) <= 64


def test_threads_share_a_tokenizer(learnt, texts):
    alone = ByteLevelBPE(*learnt)
    want = [alone.encode(o) for o in texts]
    shared, wrong = ByteLevelBPE(*learnt), []
    shared._pieces.size = shared._chunks.size = 50  # emptied all the time

    def work(step):
        for i in range(len(texts))[::step]:
            if shared.encode(texts[i]) != want[i] or shared.decode(want[i]) != alone.decode(want[i]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(step,)) for step in (1, -1)]
    [o.start() for o in threads]
    [o.join() for o in threads]
    assert not wrong


def test_answers_are_nobody_s_to_spoil(learnt):
    ours = ByteLevelBPE(*learnt)
    first = ours.encode("word")
    first.append(1)
    assert ours.encode("word") == first[:-1]
    ours.encode_offsets("word")[0].clear()
    assert ours.encode("word") == first[:-1]


@pytest.mark.parametrize("again", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_copies(learnt, again):
    ours = ByteLevelBPE(*learnt)
    ids = ours.encode("A copy, and naïve.")
    assert ours.decode(ids) == "A copy, and naïve."
    other = again(ours)
    assert other.encode("A copy, and naïve, too.") == ours.encode("A copy, and naïve, too.") and other.decode(ids)


# --- files ---------------------------------------------------------------------------------------
def test_merges_as_lines_or_pairs(learnt):
    vocab, merges = learnt
    pairs = ByteLevelBPE(vocab, [m.split(" ") for m in merges])
    assert pairs.merges == merges == ByteLevelBPE(vocab, [tuple(m.split(" ")) for m in merges]).merges


@pytest.mark.parametrize("head", ["", "#version: 0.2\n"])
@pytest.mark.parametrize("end", ["\n", "", "\n\n", "\r\n"])
def test_reading_merges(tmp_path, head, end):
    path = tmp_path / "merges.txt"
    path.write_bytes((head + "Ġ t\nh e" + end).encode())
    assert read_merges(path) == ["Ġ t", "h e"]
    path.write_text(head, encoding="utf-8")
    assert read_merges(path) == []


@pytest.mark.parametrize("bad", ["th e x", "the", " the", "the ", ""])
def test_a_line_that_is_no_merge_is_named(tmp_path, bad):
    path = tmp_path / "merges.txt"
    path.write_text(f"#version: 0.2\nĠ t\n{bad}\nh e\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"merges\.txt, line 3"):
        read_merges(path)


def test_merges_of_another_model_are_refused_on_loading(learnt):
    with pytest.raises(ValueError, match="merge 1, 'q Ж' .line 2.*needs 'Ж', which the vocabulary of 4000 tokens lacks"):
        ByteLevelBPE(learnt[0], ["q Ж", "Ж q"])


def test_a_single_wrong_merge_is_named_when_needed(learnt):
    vocab, merges = learnt
    for wrong, lacks in (("a \u4e00", "\u4e00"), ("Q \u0120", "Q\u0120")):
        ours = ByteLevelBPE(vocab, [*merges[:100], wrong, *merges[100:]])
        with pytest.raises(ValueError, match=f"merge 101, '{wrong}' .*needs '{lacks}'"):
            ours.encode("word")
    with pytest.raises(ValueError, match="merge 8, 'a b c'"):
        ByteLevelBPE(vocab, [*merges[:7], "a b c", *merges[7:]]).encode("word")


def test_other_errors(learnt):
    with pytest.raises(ValueError, match="unk_token '<nothing>'"):
        ByteLevelBPE(*learnt, unk_token="<nothing>")
    with pytest.raises(ValueError, match="id 99999 .*4000"):
        ByteLevelBPE(*learnt).decode([5, 99999])


@pytest.mark.parametrize("add_prefix_space", [False, True])
def test_the_reference_reads_what_we_write(learnt, texts, add_prefix_space):
    ours = ByteLevelBPE(*learnt, add_prefix_space)
    whole = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "post_processor": None}
    theirs = Tokenizer.from_str(json.dumps(whole | ours.to_json()))
    back = ByteLevelBPE.from_json(json.loads(theirs.to_str()))
    assert back.to_json() == ours.to_json()
    for text in texts[:200]:
        same_everything(back, theirs, text)


def byte_level(**kwargs):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True} | kwargs


SPLIT = {"type": "Split", "pattern": {"Regex": LLAMA}, "behavior": "Isolated", "invert": False}
STEPS = {
    "llama": [SPLIT, byte_level(use_regex=False)],
    "removed": [SPLIT | {"behavior": "Removed", "invert": True}, byte_level(use_regex=False)],
    "starcoder": [{"type": "Digits", "individual_digits": True}, byte_level()],
    "digits": [{"type": "Digits", "individual_digits": False}, byte_level()],
    "string": [{"type": "Split", "pattern": {"String": "e."}, "behavior": "Isolated", "invert": False}, byte_level()],
    "several": [
        {"type": "Split", "pattern": {"Regex": r"\p{N}{1,3}"}, "behavior": "Isolated", "invert": False},
        {"type": "Split", "pattern": {"Regex": "[一-龥]+"}, "behavior": "Isolated", "invert": False},
        byte_level(),
    ],
    "alone": [byte_level()],
}


@pytest.mark.parametrize("name", STEPS)
def test_cuts_of_later_models(learnt, texts, name):
    parts = ByteLevelBPE(*learnt).to_json() | {"pre_tokenizer": {"type": "Sequence", "pretokenizers": STEPS[name]}}
    whole = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "post_processor": None}
    theirs, ours = Tokenizer.from_str(json.dumps(whole | parts)), ByteLevelBPE.from_json(parts)
    for text in texts[:400]:
        same_everything(ours, theirs, text)
    again = ByteLevelBPE.from_json(ours.to_json())
    assert all(again.encode(o) == ours.encode(o) for o in texts[:200])


WRONG = {
    "normalizer": ({"normalizer": {"type": "NFC"}}, "normalizer 'NFC'"),
    "decoder": ({"decoder": {"type": "WordPiece"}}, "decoder 'WordPiece'"),
    "pre": ({"pre_tokenizer": {"type": "Whitespace"}}, "pre_tokenizer 'Whitespace'"),
    "none": ({"pre_tokenizer": None}, "pre_tokenizer None"),
    "step": ({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Punctuation"}, byte_level()]}}, "Punctuation"),
    "behavior": (
        {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [SPLIT | {"behavior": "Merged"}, byte_level()]}},
        "'Merged'",
    ),
    "model": ({"model": {"type": "Unigram", "vocab": []}}, "model 'Unigram'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_done_is_refused(learnt, name):
    change, said = WRONG[name]
    with pytest.raises(ValueError, match=said):
        ByteLevelBPE.from_json(ByteLevelBPE(*learnt).to_json() | change)


@pytest.mark.parametrize("field,value", [("dropout", 0.1), ("end_of_word_suffix", "</w>"), ("continuing_subword_prefix", "##")])
def test_model_settings_without_meaning_here_are_refused(learnt, field, value):
    parts = ByteLevelBPE(*learnt).to_json()
    parts["model"][field] = value
    with pytest.raises(ValueError, match=field):
        ByteLevelBPE.from_json(parts)


def test_import_is_light():
    code = "import sys, minihf.tokenizers.bpe; print(sorted({'torch', 'regex', 'numpy', 'tokenizers'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]", out.stdout


def test_module_names():
    assert {"ByteLevelBPE", "GPT2_PATTERN", "read_merges", "token_bytes", "to_symbols", "split"} <= set(module.__all__)


# --- merging in any order ------------------------------------------------------------------------
def naive(symbols, merges):
    "Replay: the lowest rank, leftmost, one merge at a time"
    ranks, symbols = {m: n for n, m in enumerate(merges)}, list(symbols)
    while True:
        found = [(ranks[f"{a} {b}"], i) for i, (a, b) in enumerate(zip(symbols, symbols[1:])) if f"{a} {b}" in ranks]
        if not found:
            return symbols
        i = min(found)[1]
        symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_all_ways_of_merging_agree(data):
    "For random tables, also with the merges the wrong way round"
    letters = "abc"[: data.draw(st.integers(1, 3))]
    tokens, merges = list(letters), []
    for _ in range(data.draw(st.integers(0, 10))):
        pair = data.draw(st.tuples(st.sampled_from(tokens), st.sampled_from(tokens)))
        tokens.append("".join(pair))
        merges.append(" ".join(pair))
    merges = data.draw(st.sampled_from([merges, merges[::-1], data.draw(st.permutations(merges))]))
    symbols = data.draw(st.lists(st.sampled_from(letters), max_size=40))
    ranks, want = rank_table(merges), naive(symbols, merges)
    assert merge(list(symbols), ranks) == merge_long(symbols, ranks) == want
    trees = Whole(merges, ranks)
    assert all(naive(t, merges) == [t] for t in set(tokens) if trees[t])


@pytest.mark.parametrize("merges", [["ab c", "a b"], ["a b", "ab c"], ["c a", "ab c", "a b"], ["abc abc", "ab c", "a b"]])
def test_long_texts_by_inverted_merges(merges):
    vocab = {c: i for i, c in enumerate(sorted(BYTES))}
    for m in merges:
        vocab.setdefault(m.replace(" ", ""), len(vocab))
    ours, theirs = ByteLevelBPE(vocab, merges), reference(vocab, merges, use_regex=False)
    for text in ("abc" * 30_000, "ab" * 30_000 + "c"):
        assert ours.encode(text) == theirs.encode(text).ids


def test_sure_merges_are_sure(rng):
    "Whatever the table, also with merges twice or the wrong way round, on runs, on what repeats itself, between walls"
    done = 0
    for _ in range(1500):
        letters = "abcdef"[: rng.randint(1, 6)]
        tokens, merges = list(letters), []
        for _ in range(rng.randint(0, 40)):
            pair = rng.choice(tokens), rng.choice(tokens)
            tokens = list(dict.fromkeys([*tokens, "".join(pair)]))
            merges.append(" ".join(pair))
        merges = rng.choice([merges, merges[::-1], rng.sample(merges, len(merges))])
        ranks, quick = rank_table(merges), SureMerges(merges, letters)
        for _ in range(4):
            word = "".join(rng.choices(letters, k=rng.randint(0, 90)))
            word = rng.choice([word, word[: rng.randint(1, 6)] * 15, f"{word} {word[:5]} {letters[0] * 30}"])
            some, where = quick.merge(word)
            assert merge_long(some, ranks, where=where) == merge(list(word), ranks), (word, merges)
            done += len(word) - len(some)
    assert done > 20_000


LONG = {
    "letters": "etaoinshrdlu", "digits": "0123456789", "kana": "あいうえおかきくけこアイウエオ", "Cyrillic": "абвгдежзийклмнопрст",
    "marks": "!?.,;:-_=", "emoji": "😀😁🤖🚀", "mixed": "aé今ж1!", "runs": "aab",
}


@pytest.mark.parametrize("kind", LONG)
def test_long_words_of_every_kind(learnt, rng, kind):
    ours, theirs = ByteLevelBPE(*learnt), reference(*learnt)
    for n in (450, 3000, 20_000):  # without tables, while they are made, and with them
        same_everything(ours, theirs, "".join(rng.choices(LONG[kind], k=n)))
    text = " ".join("".join(rng.choices(LONG[kind], k=rng.randint(20, 300))) for _ in range(60))
    same_everything(ours, theirs, text)
    same_everything(ours, theirs, "a few words, " + text.replace(" ", ", ") + "\n" + "=" * 3000)


# --- the model alone, with its options -----------------------------------------------------------
def random_model(rng, letters="abé今", prefix=None, suffix=None):
    "A vocabulary and merges in any order; with an unknown letter and bytes of another"
    first, rest = [*letters], [(prefix or "") + c for c in letters]
    ends = [c + suffix for c in (*first, *rest)] if suffix else []
    tokens = [o for o in dict.fromkeys([*first, *rest, *ends]) if rng.random() < 0.95]
    tokens += [f"<0x{b:02X}>" for b in "é今x".encode() if rng.random() < 0.9] + ["<unk>"]
    tokens, merges = list(dict.fromkeys(tokens)), []
    for _ in range(rng.randint(0, 25)):
        left, right = rng.choice(tokens), rng.choice(tokens)
        if prefix and not right.startswith(prefix):
            continue
        merges.append((left, right))
        tokens = list(dict.fromkeys([*tokens, left + right[len(prefix or "") :]]))
    merges = list(dict.fromkeys(merges))
    return {o: i for i, o in enumerate(tokens)}, rng.sample(merges, len(merges)) if rng.random() < 0.5 else merges


def same_pieces(ours, theirs, word):
    want = theirs.encode(word)
    found = ours.pieces(word)
    assert [i for i, _, _ in found] == want.ids, (word, ours)
    assert [(a, b) for _, a, b in found] == want.offsets, (word, ours)


@pytest.mark.parametrize("unk", [None, "<unk>"])
@pytest.mark.parametrize("fuse", [False, True])
@pytest.mark.parametrize("fallback", [False, True])
@pytest.mark.parametrize("ignore", [False, True])
def test_models_with_every_option(rng, unk, fuse, fallback, ignore):
    how = dict(unk_token=unk, fuse_unk=fuse, byte_fallback=fallback, ignore_merges=ignore)
    for _ in range(25):
        vocab, merges = random_model(rng)
        ours, theirs = BPE(vocab, merges, **how), Tokenizer(models.BPE(vocab, merges, **how))
        again = BPE.from_model(json.loads(theirs.to_str())["model"])
        assert again.model_json() == ours.model_json() == json.loads(theirs.to_str())["model"]
        for word in ["", "a", *("".join(rng.choices("aabbé今xй🤖", k=rng.randint(1, 60))) for _ in range(8))]:
            same_pieces(ours, theirs, word)
            same_pieces(again, theirs, word)


@pytest.mark.parametrize("prefix,suffix", [(None, "</w>"), ("##", None), ("##", "</w>"), ("▁", None)])
@pytest.mark.parametrize("fuse", [False, True])
@pytest.mark.parametrize("ignore", [False, True])
def test_models_that_mark_the_place_in_a_word(rng, prefix, suffix, fuse, ignore):
    how = dict(unk_token="<unk>", fuse_unk=fuse, ignore_merges=ignore)
    marks = dict(continuing_subword_prefix=prefix, end_of_word_suffix=suffix)
    how |= {k: v for k, v in marks.items() if v is not None}
    for _ in range(25):
        vocab, merges = random_model(rng, "abc今", prefix, suffix)
        ours, theirs = BPE(vocab, merges, **how), Tokenizer(models.BPE(vocab, merges, **how))
        assert ours.model_json() == json.loads(theirs.to_str())["model"]
        for word in ["", "a", *("".join(rng.choices("aabbc今xй", k=rng.randint(1, 60))) for _ in range(8))]:
            same_pieces(ours, theirs, word)


def test_models_whose_tokens_have_line_feeds():
    vocab = {"a": 0, "\n": 1, "\n\n": 2, "a\n\n": 3}
    merges = [("\n", "\n"), ("a", "\n\n")]
    same_pieces(BPE(vocab, merges), Tokenizer(models.BPE(vocab, merges)), "a\n\n\na\n" * 200)
    assert BPE.from_model(BPE(vocab, merges).model_json()).merges == ["\n \n", "a \n\n"]


def test_an_unknown_token_that_is_unknown_is_named_when_it_is_needed():
    model = BPE({"a": 0}, [], unk_token="<unk>")
    assert model.pieces("a") == [(0, 0, 1)]
    with pytest.raises(ValueError, match="'ab' has characters .* unk_token '<unk>'"):
        model.pieces("ab")


def test_models_say_what_they_are(learnt):
    assert repr(BPE({"a": 0}, [], byte_fallback=True)) == "BPE(1 tokens, 0 merges, byte_fallback=True)"
    assert repr(ByteLevelBPE(*learnt)).startswith("ByteLevelBPE(4000 tokens, ")


# --- patterns from files -------------------------------------------------------------------------
@pytest.mark.parametrize("pattern", ["(a{9000}){9000}", "a{100000000}", "x" * 20_000, "(a", "(" * 3000 + ")" * 3000, 5, None, ["a"]])
def test_patterns_that_cannot_be_used_are_named(learnt, pattern):
    with pytest.raises(ValueError, match=r"patterns\[1\]"):
        ByteLevelBPE(*learnt, patterns=[GPT2_PATTERN, pattern])
    parts = ByteLevelBPE(*learnt).to_json()
    parts["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [SPLIT | {"pattern": {"Regex": pattern}}, byte_level()]}
    with pytest.raises(ValueError, match="tokenizer.json.*Split"):
        ByteLevelBPE.from_json(parts)


def test_a_pattern_that_takes_for_ever_is_stopped(learnt, monkeypatch):
    monkeypatch.setattr(module, "SECONDS", 0.2)
    slow = "(?:(?:(?:a{1,9}){1,9}){1,9}){1,9}c"
    with pytest.raises(ValueError, match="did not finish a text of 3001 characters"):
        ByteLevelBPE(*learnt, patterns=[slow]).encode("a" * 3000 + "b")


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize("behavior", ["Isolated", "Removed", "Contiguous", "MergedWithPrevious", "MergedWithNext"])
@pytest.mark.parametrize("pattern", [{"String": "-"}, {"Regex": r"\s"}, {"Regex": "[aeiou]+"}])
def test_every_behaviour_of_split(learnt, texts, pattern, behavior, invert):
    step = {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}
    pre = {"type": "Sequence", "pretokenizers": [step, byte_level(use_regex=False)]}
    parts = ByteLevelBPE(*learnt).to_json() | {"pre_tokenizer": pre}
    whole = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "post_processor": None}
    theirs, ours = Tokenizer.from_str(json.dumps(whole | parts)), ByteLevelBPE.from_json(parts)
    again = ByteLevelBPE.from_json(ours.to_json())
    for text in ["", "-", "--", "a--b-", "the-final--countdown", "  a e i ", "éa今-- x", *texts[20:80]]:
        e = theirs.encode(text)
        assert ours.encode_offsets(text) == (e.ids, e.offsets, e.word_ids), text
        assert ours.encode(text) == again.encode(text) == e.ids


# --- parts of files ------------------------------------------------------------------------------
ODD = [None, True, 5, -1, 2.5, "x", [], {}, [1], {"a": 1}]


@pytest.mark.parametrize("field", ["vocab", "merges", "fuse_unk", "byte_fallback", "ignore_merges", "unk_token", "dropout", "type", "new"])
@pytest.mark.parametrize("value", ODD, ids=repr)
def test_a_model_is_read_or_refused_by_name(learnt, field, value):
    parts = ByteLevelBPE(*learnt).to_json()
    parts["model"][field] = value
    try:
        ByteLevelBPE.from_json(parts)
    except ValueError as e:
        assert "tokenizer.json" in str(e) and ("model" in str(e) or field in str(e)) or "vocabulary" in str(e)


@pytest.mark.parametrize("part", ["model", "pre_tokenizer", "normalizer", "decoder"])
@pytest.mark.parametrize("value", [True, 5, "x", [], [1], {"a": 1}, {"type": "Sequence"}, {"type": "Sequence", "pretokenizers": 5}, {"type": 5}], ids=repr)
def test_odd_parts_are_refused_by_name(learnt, part, value):
    if part == "decoder" and not value:
        return
    with pytest.raises(ValueError, match="tokenizer.json"):
        ByteLevelBPE.from_json(ByteLevelBPE(*learnt).to_json() | {part: value})


@pytest.mark.parametrize("vocab", [{"a": 0, "b": 0}, {"a": True}, {"a": -1}, {"a": None}, {"a": 1.0}, {}, {5: 0}, [], None])
def test_vocabularies_that_are_none(vocab):
    with pytest.raises(ValueError, match="model.vocab"):
        ByteLevelBPE.from_json(ByteLevelBPE({"a": 0}, []).to_json() | {"model": {"type": "BPE", "vocab": vocab, "merges": []}})


@pytest.mark.parametrize("merges", [["a b", 5], [["a", "b"], ["a"]], [["a", "b"], None], ["a b", "abc"], "a b", [["a", "b c"]], [5]])
def test_merges_that_are_none(merges):
    with pytest.raises(ValueError, match="model.merges"):
        ByteLevelBPE.from_json(ByteLevelBPE({"a": 0}, []).to_json() | {"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": merges}})


@pytest.mark.parametrize("text", [None, 5, 2.5, b"bytes", ["a"], {}])
def test_what_is_no_text_is_a_type_error(learnt, text):
    ours = ByteLevelBPE(*learnt)
    for call in (ours.encode, ours.encode_offsets):
        with pytest.raises(TypeError, match="text must be a string"):
            call(text)
