"WordPiece against the reference's fast tokenizer: ids, offsets, words, every code point, training, files, bad input."
import copy
import pickle
import random
import threading
import unicodedata
from collections import Counter
from itertools import chain

import pytest
from hypothesis import given, settings, strategies as st

from minihf.tokenizers.wordpiece import (
    SORTED, SPECIAL, Memo, Spelled, Tracer, WordPiece, is_control, is_mark, is_punctuation, is_space, learn_merges, letters,
    longest_by_first, longest_match, lower, match_ids, read_vocab_txt, sizes_by_start, spell, train_wordpiece,
)

tokenizers = pytest.importorskip("tokenizers")
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers  # noqa: E402

OPTIONS = {
    "uncased": {},
    "cased": dict(lowercase=False),
    "cased, accents stripped": dict(lowercase=False, strip_accents=True),
    "uncased, accents kept": dict(strip_accents=False),
    "no Chinese": dict(handle_chinese_chars=False),
    "not cleaned": dict(clean_text=False),
    "nothing": dict(lowercase=False, handle_chinese_chars=False, clean_text=False),
}
SCALARS = [chr(i) for i in range(0x110000) if not 0xD800 <= i < 0xE000]


@pytest.fixture(scope="module")
def vocab(minilm):
    lines = (minilm / "vocab.txt").read_text(encoding="utf-8").split("\n")
    return {token: i for i, token in enumerate(lines) if token}


def reference(vocab, unk="[UNK]", limit=100, **how):
    t = tokenizers.Tokenizer(models.WordPiece(vocab, unk_token=unk, max_input_chars_per_word=limit))
    t.normalizer = normalizers.BertNormalizer(**how)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.WordPiece()
    return t


def differences(wp, ref, texts):
    "The texts on which the two disagree, or our own fast road and the slow one"
    wrong = []
    for text, e in zip(texts, ref.encode_batch(texts, add_special_tokens=False)):
        ours = wp.encode_offsets(text)
        same = ours == (e.ids, e.offsets, e.word_ids) == wp.locator.slowly(text)
        if not same or wp.encode(text) != e.ids:
            wrong.append(ascii(text)[:200])
    return wrong


@pytest.mark.parametrize("how", OPTIONS.values(), ids=OPTIONS)
def test_equals_the_reference(vocab, texts, how):
    some = texts if how in ({}, dict(lowercase=False)) else texts[::3]
    assert differences(WordPiece(vocab, **how), reference(vocab, **how), some) == []


@pytest.mark.parametrize("how", OPTIONS.values(), ids=OPTIONS)
def test_marks_in_odd_orders(vocab, rng, how):
    movable = [chr(i) for a, b in zip(SORTED[::2], SORTED[1::2]) for i in range(a, b)]
    marks = [c for c in SCALARS if unicodedata.combining(c)]
    odd = [*"aé한\u0344\u0901\u200b\x00 今", "\U0001d15e", "\U000105c9", "\uf900"]
    texts = ["".join(rng.choices(movable + odd, k=rng.randint(1, 8))) for _ in range(800)]
    texts += ["".join(rng.choices(marks + odd, k=rng.randint(1, 8))) for _ in range(500)]
    texts += ["".join(rng.choices(SCALARS, k=12)) for _ in range(200)]
    texts += ["".join(rng.choices(SCALARS[:0x3100], k=12)) for _ in range(400)]
    assert differences(WordPiece(vocab, **how), reference(vocab, **how), texts) == []


SPACES = [c for c in SCALARS[:0x10000] if c.isspace() or is_space(c)] + ["\u200b", "\u180e", "\x00", "  ", "\r\n"]


@pytest.mark.parametrize("how", OPTIONS.values(), ids=OPTIONS)
def test_chunks_do_not_depend_on_their_neighbours(vocab, rng, how):
    "The same few chunks, so that most come from the memory, parted by every kind of space, or by none"
    chunks = ["", "the", "cats:", "Né!", "\u0301\u302e\u1b44x", "今天a", "\x07", "unaffable", "a" * 40, "\u0344\u0301", "don't"]
    wp, ref = WordPiece(vocab, **how), reference(vocab, **how)
    texts = ["".join(rng.choice(chunks) + rng.choice([" ", " ", "\n", "", *SPACES]) for _ in range(12)) for _ in range(400)]
    texts += [s for c in SPACES for s in (c, c * 3, f"{c}a{c}{c}b{c}")]
    assert differences(wp, ref, texts) == []
    assert 0 < len(wp.locator.known) and differences(wp, ref, texts[:50]) == []


def test_offsets_are_the_callers_own(vocab):
    "What was returned may be changed without harm to the memory"
    wp = WordPiece(vocab)
    want = wp.locator.slowly("unaffable cats")
    for column in wp.encode_offsets("unaffable cats"):
        column.clear()
    assert wp.encode_offsets("unaffable cats") == want


def test_memory_of_chunks_is_bounded(vocab, rng):
    wp = WordPiece(vocab)
    wp.locator.known.size = 300
    for _ in range(10):
        text = " ".join("".join(rng.choices("abcdefgh", k=rng.randint(1, 60))) for _ in range(60))
        assert wp.encode_offsets(text) == wp.locator.slowly(text)
    assert 0 < len(wp.locator.known) <= 300
    assert max(map(len, wp.locator.known)) <= 32


# --- every code point ------------------------------------------------------------------------
# Planes 4 to 13 are empty, 15 and 16 are for private use: every 61st character of theirs is enough
PROBED = [c for c in SCALARS if ord(c) < 0x40000 or 0xDFFFE <= ord(c) < 0xF0003 or ord(c) % 61 == 0]


def batches(n=4096):
    return (PROBED[i : i + n] for i in range(0, len(PROBED), n))


def test_every_code_point_is_normalised_as_in_the_reference():
    ref, wrong = normalizers.BertNormalizer(), []
    for chars in batches():
        theirs = ref.normalize_str("_0_".join(chars)).split("_0_")
        assert len(theirs) == len(chars)
        ours = ("".join(x for x in spell(c) if x != " ") for c in chars)
        wrong += [hex(ord(c)) for c, a, b in zip(chars, ours, theirs) if a != b.replace(" ", "")]
    assert wrong == []


def test_every_code_point_is_split_as_in_the_reference():
    ref, wrong = pre_tokenizers.BertPreTokenizer(), []
    for chars in batches():
        pieces = Counter(start // 4 for _, (start, _) in ref.pre_tokenize_str(" ".join(f"a{c}b" for c in chars)))
        for k, c in enumerate(chars):
            space = is_space(c) or c in "\x0b\x0c\x85"  # what clean-up removes parts words without it
            ours = 3 if is_punctuation(c) else 2 if space else 1
            if ours != pieces[k]:
                wrong.append(hex(ord(c)))
    assert wrong == []


def test_whole_blocks_on_the_fast_road():
    norm, split, wp = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer(), WordPiece({})
    for chars in [*batches(), *batches(128)][::13]:  # every 13th block, small and large
        text = " ".join(f"a{c}b" for c in chars)
        assert wp.splitter.words(text) == [w for w, _ in split.pre_tokenize_str(norm.normalize_str(text))]


@pytest.mark.parametrize("how", [dict(lowercase=False, strip_accents=False), dict(lowercase=False, strip_accents=True),
                                 dict(strip_accents=False)], ids=["clean", "accents", "case"])
def test_each_step_alone_on_the_basic_plane(how):
    ref = normalizers.BertNormalizer(handle_chinese_chars=False, **how)
    for c in SCALARS[:0x20000:7]:
        ours = spell(c, **{"lowercase": True, "handle_chinese_chars": False} | how)
        assert ours.replace(" ", "") == ref.normalize_str(c).replace(" ", ""), hex(ord(c))


def test_classes_of_some_characters():
    assert is_space("\u2028") and is_space("\t") and not is_space("\x0b") and not is_space("\u200b")
    assert is_control("\x00") and is_control("\ufffd") and not is_control("\n") and not is_control("\u0378")
    assert is_mark("\u0301") and not is_mark("\u08e1") and is_mark("\u1734")
    assert is_punctuation("$") and is_punctuation("—") and not is_punctuation("→")
    assert lower("Σ") == "σ" and lower("İ") == "i̇"


@pytest.mark.parametrize("how", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("text,place", [("hel\ud800lo", 3), ("a \udfff", 2), ("\ud83e\u302e", 0), ("今" * 70_000 + "\ud83e", 70_000)])
def test_lone_surrogates_are_an_error_that_says_where(vocab, how, text, place):
    wp = WordPiece(vocab, **how)
    for call in (wp.encode, wp.encode_offsets, wp.locator.slowly):
        with pytest.raises(ValueError, match=f"character {place} of the text|half a character"):
            call(text)


# --- settings --------------------------------------------------------------------------------
def test_word_length_limit(vocab):
    for limit in (1, 5, 100):
        words = ["a" * n for n in (1, 4, 5, 6, 99, 100, 101)] + ["é" * limit, "é" * (limit + 1)]
        wp = WordPiece(vocab, max_input_chars_per_word=limit)
        assert differences(wp, reference(vocab, limit=limit), words) == []


def test_unknown_token():
    vocab = {"<unk>": 7, "a": 1, "##b": 2}
    wp = WordPiece(vocab, unk_token="<unk>")
    assert wp.encode("ab abb abc c") == [1, 2, 1, 2, 2, 7, 7]
    assert wp.encode_offsets("abc")[1] == [(0, 3)]
    with pytest.raises(KeyError, match=r"'\[UNK\]'.*unk_token"):
        WordPiece({"a": 0}).encode("a b")
    assert WordPiece({"a": 0}).encode("a a") == [0, 0]


def test_never_split(vocab):
    wp = WordPiece(vocab | {"[X]": 99_999}, never_split=["[X]", "Hello"])
    ids, offsets, words = wp.encode_offsets("a [X] Hello, Hello [x]")
    assert ids == wp.encode("a [X] Hello, Hello [x]")
    assert ids[1] == 99_999 and offsets[1] == (2, 5)
    assert vocab["[UNK]"] == ids[4] and vocab["hello"] == ids[2]  # "Hello" alone is not in the vocabulary
    assert words == sorted(words)
    assert WordPiece(vocab, never_split=["zzz"]).encode("Né\x07! 今") == WordPiece(vocab).encode("Né\x07! 今")


def test_longest_match_is_greedy():
    heads = {"un": 0, "una": 1, "a": 2}
    tails = {"ffable": 3, "f": 4, "a": 5}
    longest = longest_by_first([*heads, *tails])
    assert longest_match("unaffable", heads, tails, longest) == [(1, 0, 3), (3, 3, 9)]
    assert longest_match("unab", heads, tails, longest) == []
    assert longest_match("", heads, tails, longest) == []


# --- robustness ------------------------------------------------------------------------------
@pytest.mark.parametrize("c", ["a", "é", "今", "!", " ", "\0", "\u0301", "\u0130", "1 ", "\U00010d24"], ids=ascii)
def test_a_megabyte_of_one_character(vocab, c):
    wp, text = WordPiece(vocab), c * (1_000_000 // len(c))
    ids = wp.encode(text)  # a road that is not linear would take hours
    assert len(ids) in (0, 1, text.count(c) if c in "今!1 " else 1)


def test_memory_is_bounded(vocab, rng):
    wp = WordPiece(vocab)
    wp.matcher.known.size = 1000
    for _ in range(10):
        text = " ".join("".join(rng.choices("abcdefgh", k=rng.randint(1, 60))) for _ in range(200))
        assert wp.encode(text) == wp.encode_offsets(text)[0]
    assert 0 < len(wp.matcher.known) <= 1000
    assert max(map(len, wp.matcher.known)) <= 32


def test_memo():
    calls = []
    memo = Memo(lambda k: calls.append(k) or k * 2, size=2, longest=3)
    assert [memo[k] for k in ("a", "a", "b", "abcd", "abcd", "c", "a")] == ["aa", "aa", "bb", *["abcdabcd"] * 2, "cc", "aa"]
    assert calls == ["a", "b", "abcd", "abcd", "c", "a"] and len(memo) <= 2


def test_threads_agree(vocab, texts):
    wp = WordPiece(vocab)
    wp.matcher.known.size = 50
    want, got = [WordPiece(vocab).encode(t) for t in texts[:40]], {}
    work = lambda n: got.__setitem__(n, [wp.encode(t) for t in texts[:40]])
    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    [t.start() for t in threads], [t.join() for t in threads]
    assert all(got[n] == want for n in range(4))


def test_copies(vocab):
    wp = WordPiece(vocab, lowercase=False)
    wp.encode("Hello wörld"), wp.tokens_to_string(["a", "b"])
    wp.encode_offsets("Hello wörld")
    for other in (pickle.loads(pickle.dumps(wp)), copy.deepcopy(wp)):
        assert other.encode_offsets("Hello, wörld") == wp.encode_offsets("Hello, wörld")
        assert other.encode("Hello wörld, again") == wp.encode("Hello wörld, again")
        assert other.settings == wp.settings


# --- decoding --------------------------------------------------------------------------------
def test_decoding(vocab, rng):
    tokens = list(vocab)
    extra = ["'", "n't", "'s", "##.", "##", ".", ",", "!", "?", "do not", "'m", "a . b", "##a ' b"]
    for cleanup in (True, False):
        wp, ref = WordPiece(vocab, cleanup=cleanup), decoders.WordPiece(cleanup=cleanup)
        for _ in range(1000):
            some = rng.choices(tokens, k=rng.randint(0, 8)) + rng.choices(extra, k=rng.randint(0, 4))
            rng.shuffle(some)
            assert wp.tokens_to_string(some) == ref.decode(some)


# --- training --------------------------------------------------------------------------------
def learn(texts, size, special=("[PAD]", "[UNK]"), **how):
    t = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.normalizer, t.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=list(special), show_progress=False, **how)
    t.train_from_iterator(texts, trainer)
    return t.get_vocab()


def english():
    topics = pytest.importorskip("pydoc_data.topics").topics
    return [topics[k] for k in sorted(topics)]


CORPORA = {
    "english": lambda: (english()[:12], 900),
    "repeats": lambda: (["aaa aaaa aaaaa aa baab abab " * 3, "xyxyxyx yxy"], 60),
    "random": lambda: (["".join(random.Random(0).choices("ab c", k=3000))], 300),
    "chinese": lambda: (["今天天气真好 kana かな カタカナ 한국어 мир мира миру"] * 2, 80),
    "tiny": lambda: (["a"], 2),
}


@pytest.mark.parametrize("name", CORPORA)
@pytest.mark.parametrize("frequency", [0, 3])
def test_training_gives_the_same_vocabulary(name, frequency):
    """The reference numbers continuing letters in the order of a hash table, another one in each run, and breaks ties by
    these numbers. From the same numbers on, every id is equal."""
    texts, size = CORPORA[name]()
    want = learn(texts, size, min_frequency=frequency)
    counts = Counter(chain.from_iterable(map(WordPiece({}).splitter.words, texts)))
    start = letters(counts, ["[PAD]", "[UNK]"])
    assert sorted(start, key=want.get) == sorted(want, key=want.get)[: len(start)]
    start = {t: i for i, t in enumerate(sorted(start, key=want.get))}
    words = [[start["##" + c if k else c] for k, c in enumerate(word)] for word in counts]
    learn_merges(words, list(counts.values()), start, size, frequency, "##")
    assert start == want


def test_alphabet_settings_match_the_reference():
    texts = ["abc abc abd xyz q"] * 3
    counts = Counter(chain.from_iterable(map(WordPiece({}).splitter.words, texts)))
    for how in (dict(limit_alphabet=3), dict(initial_alphabet=["ß", "q"]), dict(limit_alphabet=4, initial_alphabet=["ß"])):
        assert train_wordpiece(counts, 10, 0, ["[UNK]"], **how).keys() == learn(texts, 10, ["[UNK]"], **how).keys()


def test_training_is_repeatable_and_sizes_nest():
    counts = Counter(chain.from_iterable(map(WordPiece({}).splitter.words, english()[:10])))
    large, small = train_wordpiece(counts, 1200), train_wordpiece(counts, 600)
    assert len(large) == 1200 and list(large)[:600] == list(small)
    shuffled = dict(sorted(counts.items(), reverse=True))
    assert train_wordpiece(shuffled, 1200) == large


def test_training_a_vocabulary_of_the_usual_size():
    wp = WordPiece({"[UNK]": 0}).train_new(english(), 4096, special_tokens=SPECIAL)
    assert len(wp.vocab) == 4096


def test_train_new_keeps_settings_and_special_tokens():
    vocab = {t: i for i, t in enumerate(["[PAD]", "<u>", "[CLS]", "[SEP]", "[MASK]", "a"])}
    old = WordPiece(vocab, lowercase=False, unk_token="<u>", max_input_chars_per_word=50)
    new = old.train_new(["Hello World hello"] * 2, vocab_size=60)
    assert list(new.vocab)[:5] == ["[PAD]", "<u>", "[CLS]", "[SEP]", "[MASK]"]
    assert (new.lowercase, new.unk_token, new.max_input_chars_per_word) == (False, "<u>", 50)
    assert new.encode("Hello") == [new.vocab["Hello"]] and len(old.vocab) == 6
    assert list(old.train_new(["b"], special_tokens=["[Z]", "<u>"]).vocab) == ["[Z]", "<u>", "b"]


# --- tokenizer.json --------------------------------------------------------------------------
@pytest.mark.parametrize("how", OPTIONS.values(), ids=OPTIONS)
def test_the_reference_reads_our_parts(vocab, texts, how):
    import json

    wp = WordPiece(vocab, **how)
    whole = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "post_processor": None, **wp.to_json()}
    ref = tokenizers.Tokenizer.from_str(json.dumps(whole))
    assert differences(wp, ref, texts[:100]) == []
    back = WordPiece.from_json(json.loads(ref.to_str()))
    assert back.to_json() == wp.to_json()


def test_other_normalizers(vocab, texts):
    import json

    bert, low = normalizers.BertNormalizer, normalizers.Lowercase
    for n in (None, normalizers.Sequence([]), normalizers.Sequence([bert(lowercase=False)]),
              normalizers.Sequence([bert(lowercase=False), low()]), low(), bert(strip_accents=True, lowercase=False)):
        ref = reference(vocab)
        if n is None:
            ref = tokenizers.Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
            ref.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        else:
            ref.normalizer = n
        assert differences(WordPiece.from_json(json.loads(ref.to_str())), ref, texts[:100]) == []


@pytest.mark.parametrize("part, value", [
    ("normalizer", {"type": "NFKC"}),
    ("normalizer", {"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "StripAccents"}]}),
    ("pre_tokenizer", {"type": "Whitespace"}),
    ("pre_tokenizer", None),
    ("model", {"type": "BPE", "vocab": {}, "merges": []}),
    ("decoder", {"type": "ByteLevel"}),
])
def test_foreign_parts_are_refused(vocab, part, value):
    parts = WordPiece({"[UNK]": 0}).to_json() | {part: value}
    with pytest.raises(ValueError, match=part):
        WordPiece.from_json(parts)


# --- hostile texts: the fast roads against the slow ones -----------------------------------------
def test_quick_match_is_the_longest_match(rng):
    for _ in range(300):
        words = ["".join(rng.choices("abc", k=rng.randint(1, 9))) for _ in range(rng.randint(1, 12))]
        heads, tails = [{w: i for i, w in enumerate(rng.sample(words, rng.randint(0, len(words))))} for _ in range(2)]
        longest, sizes = longest_by_first([*heads, *tails]), (sizes_by_start(heads), sizes_by_start(tails))
        for word in [*words, "".join(rng.choices("abc", k=40)), "ab", "c"]:
            assert match_ids(word, heads, tails, *sizes) == tuple(i for i, _, _ in longest_match(word, heads, tails, longest))


def test_texts_learn_their_new_characters_together():
    asked, kept = [], Spelled(lambda codes: asked.append(codes) or {c: chr(c).upper() for c in codes}, size=3)
    assert [kept.translate(t) for t in ("ab", "ba", "bc", "cd", "abcdefg")] == ["AB", "BA", "BC", "CD", "ABCDEFG"]
    assert [sorted(map(chr, o)) for o in asked] == [["a", "b"], ["c"], ["c", "d"], [*"abcdefg"]]
    assert kept.translate("x") == "X" and len(kept) == 1


@pytest.mark.parametrize("how", OPTIONS.values(), ids=OPTIONS)
def test_places_count_every_code_point(how):
    "No character becomes two words that are told apart, which `places` would count wrongly"
    splitter = WordPiece({"[UNK]": 0}, **how).splitter
    for start in range(0, len(PROBED), 5000):
        text = " ".join(PROBED[start : start + 5000])
        words, places = splitter.places(text)
        assert len("".join(words)) == len(places)


LIKELY = st.sampled_from([*"ab #!é今한İ\x00\u200b\n\xa0\u0301\u302e\u1b44\u0344\U0001d15e\ue000\U00010d24"])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(LIKELY | st.characters(exclude_categories=["Cs"])), max_size=5), st.sampled_from([*OPTIONS.values()]))
def test_all_roads_agree(texts, how):
    "One tokenizer for all texts, so that some characters, words and chunks are known and some are new"
    vocab = {t: i for i, t in enumerate(["[UNK]", *"ab#!e今i", "##a", "##b", "ab", "##ba", "aba", "##이", "é", "##\u0301"])}
    assert differences(WordPiece(vocab, **how), reference(vocab, **how), [*texts, "".join(texts)]) == []


def test_many_new_chunks_are_learnt_a_few_at_a_time(vocab, rng):
    wp, text = WordPiece(vocab), " ".join("".join(rng.choices("abcdefgh", k=6)) for _ in range(100))
    sizes = []
    for _ in range(5):
        assert wp.encode_offsets(text) == wp.locator.slowly(text)
        sizes.append(len(wp.locator.known))
    assert sizes == [32, 64, 96, 100, 100]


@pytest.mark.parametrize("how", [(True, True), (True, False), (False, True), (False, False)])
def test_the_quick_spelling_is_the_plain_one(how):
    how = (*how, True, how[0])
    quick = Tracer(*how).spell
    points = [*range(0xD800), *range(0xE000, 0x20000, 3), *range(0x20000, 0x110000, 501)]
    assert [hex(i) for i in points if quick(i) != spell(chr(i), *how)] == []


@pytest.mark.parametrize("how", OPTIONS.values(), ids=OPTIONS)
def test_hostile_texts(vocab, rng, how):
    marks = [c for c in SCALARS if unicodedata.combining(c)]
    movable = [chr(i) for a, b in zip(SORTED[::2], SORTED[1::2]) for i in range(a, b)]
    pools = [SCALARS, SCALARS[:0x3100], [chr(i) for i in range(0x4E00, 0x9FFF)], [*"abc", *marks], [*"ab \x00\u200b", *movable]]
    pools += ["!?.,;\u1fef", "\x00\u200b\ufeff a", "abcdefg", [chr(i) for i in range(0xAC00, 0xD7A3)]]
    texts = ["".join(rng.choices(pool, k=k)) for pool in pools for k in (5, 40, 1500)]
    texts += [c * 700 for c in "a=今🤖 \n'é\u0301\x00\u1b44한"]
    texts += [" ".join("".join(rng.choices("etaoin", k=rng.randint(3, 95))) for _ in range(40))]
    assert differences(WordPiece(vocab, **how), reference(vocab, **how), texts) == []


def test_a_huge_limit_of_the_word_length(vocab, rng):
    "Longest pieces over 200,000 characters; quadratic work would take minutes"
    wp, text = WordPiece(vocab, max_input_chars_per_word=10**9), "".join(rng.choices("etaoin", k=200_000))
    ids, offsets, words = wp.encode_offsets(text)
    assert ids == wp.encode(text) and set(words) == {0}
    assert offsets[0][0] == 0 and offsets[-1][1] == len(text) and all(a[1] == b[0] for a, b in zip(offsets, offsets[1:]))
    short = text[:3000]
    assert wp.encode(short) == reference(vocab, limit=10**9).encode(short).ids


# --- files ---------------------------------------------------------------------------------------
ODD = [None, True, 5, -1, 2.5, "x", [], {}, [1], {"a": 1}, {"type": 5}, {"type": "Sequence"}, {"type": "Sequence", "normalizers": [5]}]


@pytest.mark.parametrize("part", ["normalizer", "pre_tokenizer", "model", "decoder"])
@pytest.mark.parametrize("value", ODD, ids=repr)
def test_odd_parts_are_refused_by_name(part, value):
    parts = WordPiece({"[UNK]": 0}).to_json() | {part: value}
    try:
        WordPiece.from_json(parts)
    except ValueError as e:
        assert "tokenizer.json" in str(e) and part in str(e).replace("pretokenizers", part).replace("normalizers", part)
    else:
        assert value is None  # nothing to normalise or to decode with


@pytest.mark.parametrize("part,field,value", [
    ("normalizer", "lowercase", "yes"), ("normalizer", "strip_accents", 2), ("normalizer", "new", 1), ("pre_tokenizer", "new", 1),
    ("model", "max_input_chars_per_word", -1), ("model", "max_input_chars_per_word", "9"), ("model", "unk_token", 5),
    ("model", "continuing_subword_prefix", ["##"]), ("model", "new", 1), ("decoder", "new", 1), ("model", "vocab", {"a": 0, "b": 0}),
    ("model", "vocab", {"a": True}), ("model", "vocab", {"a": None}), ("model", "vocab", {"a": -3}), ("model", "vocab", []),
])
def test_odd_fields_are_refused_by_name(part, field, value):
    parts = WordPiece({"[UNK]": 0}).to_json()
    parts[part][field] = value
    with pytest.raises(ValueError, match=f"tokenizer.json.*{field}"):
        WordPiece.from_json(parts)


@pytest.mark.parametrize("content,said", [(b"", "empty"), (b"<!DOCTYPE html>\n<html>", "web page"), (b"\n<html>", None), (b"\xff\xfe\x00a", "UTF-8")])
def test_a_vocab_txt_that_is_none(tmp_path, content, said):
    path = tmp_path / "vocab.txt"
    path.write_bytes(content)
    if said is None:
        assert read_vocab_txt(path) == {"": 0, "<html>": 1}
        return
    with pytest.raises(ValueError, match=f"vocab.txt.*{said}"):
        read_vocab_txt(path)


@pytest.mark.parametrize("content", ["a\nb\n", "a \r\nb\t\n", "a\n  c\n\nd\n[UNK]", "今\n##今\n"])
def test_a_vocab_txt_is_read_as_the_reference_does(tmp_path, content):
    path = tmp_path / "vocab.txt"
    path.write_text(content, encoding="utf-8", newline="")
    assert read_vocab_txt(path) == models.WordPiece.read_file(str(path))


@pytest.mark.parametrize("text", [None, 5, 2.5, b"bytes", ["a"], {}])
def test_what_is_no_text_is_a_type_error(vocab, text):
    wp = WordPiece(vocab)
    for call in (wp.encode, wp.encode_offsets):
        with pytest.raises(TypeError, match="text must be a string"):
            call(text)
