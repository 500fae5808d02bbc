"Every part of a tokenizer.json alone, against the package `tokenizers`: on every character, on generated texts, with offsets, and as a file"
import json
import random

import pytest
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers

from minihf.tokenizers.parts import STAGES_OF_FILE, Sequence, read_part

ASSIGNED = [*range(0xD800), *range(0xE000, 0x33500), *range(0xE0000, 0xE0200)]  # beyond them, a sample
POINTS = list(map(chr, [*ASSIGNED, *range(0x33500, 0xE0000, 97), *range(0xE0200, 0x110000, 97)]))
LETTERS = "aàéZß\u0301\u0323\u0300\u0344 \t\n\r\u00a0\u3000ﬁ²ＡŁİẞÅΣς今か゛が\u3099한\u1100\u1161\u11a8뷁가’'.,-_12½Ⅷ€🤖👩\u200d🔬🇩🇪\ufe0f\u093f\u0e33\u0590\u05d0ש\u0627\u064b\u200f\ufeff\ufffd\u0000\u0001\u007f▁ĠÃ©<>|"
LETTERS += "\u1e69\u0958\u2126\u0b94\u1d15e\u0f73\u0340\u0f43\u0b48\u06c2\u0654\U0001d15f\U0001d1bb\U00011938"


def generated(n, seed=0, length=14):
    r = random.Random(seed)
    anywhere = map(chr, [*r.sample(range(0x20, 0xD800), 300), *r.sample(range(0xE000, 0x20000), 100)])
    alphabets = [LETTERS, "ab e\u0301\u0323\u0327\u0345", "\u1100\u1161\u11a8가각 ", "don't 12 .", [*anywhere]]
    return ["".join(r.choices(r.choice(alphabets), k=r.randint(0, length))) for _ in range(n)]


TEXTS = generated(1000) + generated(200, 1, 60)


NORMALIZERS = [
    *({"type": o} for o in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt", "ByteLevel")),
    {"type": "Strip", "strip_left": True, "strip_right": True},
    {"type": "Strip", "strip_left": True, "strip_right": False},
    {"type": "Strip", "strip_left": False, "strip_right": True},
    {"type": "Prepend", "prepend": "▁"},
    {"type": "Prepend", "prepend": "ab"},
    {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
    {"type": "Replace", "pattern": {"String": "a"}, "content": "é今"},
    {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
    {"type": "Replace", "pattern": {"Regex": "[a-z]+"}, "content": ""},
    *({"type": "BertNormalizer", "clean_text": a, "handle_chinese_chars": b, "strip_accents": c, "lowercase": d}
      for a, b, c, d in [(True, True, None, True), (False, True, True, False), (True, False, False, True), (True, True, None, False)]),
    {"type": "Sequence", "normalizers": [{"type": "NFKD"}, {"type": "StripAccents"}, {"type": "Lowercase"}, {"type": "Strip", "strip_left": True, "strip_right": True}]},
    {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
]
CUTTERS = [
    *({"type": o} for o in ("BertPreTokenizer", "Whitespace", "WhitespaceSplit")),
    *({"type": "Punctuation", "behavior": o} for o in ("Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous")),
    *({"type": "Digits", "individual_digits": o} for o in (True, False)),
    *({"type": "ByteLevel", "add_prefix_space": a, "trim_offsets": True, "use_regex": b} for a in (True, False) for b in (True, False)),
    *({"type": "Metaspace", "replacement": "▁", "prepend_scheme": o, "split": s} for o in ("always", "first", "never") for s in (True, False)),
    {"type": "CharDelimiterSplit", "delimiter": "a"},
    *({"type": "Split", "pattern": {"Regex": "[a-z]+|\\d"}, "behavior": o, "invert": i}
      for o in ("Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous") for i in (True, False)),
    {"type": "Split", "pattern": {"String": "a."}, "behavior": "Removed", "invert": False},
    {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": True}]},
    {"type": "Sequence", "pretokenizers": [{"type": "Whitespace"}, {"type": "Digits", "individual_digits": True}, {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": False}]},
]
named = lambda o: json.dumps(o, ensure_ascii=True)[:70]


def reference_of(step, stage):
    "The reference's object for a part of a file"
    whole = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": None,
             "post_processor": None, "decoder": None, "model": {"type": "WordLevel", "vocab": {"<unk>": 0}, "unk_token": "<unk>"}}
    return Tokenizer.from_str(json.dumps(whole | {stage: step}))


def spans(owners, start=0):
    return (start + owners[0], start + owners[-1] + 1) if owners[0] >= 0 else (start, start + owners[-1] + 1)


@pytest.mark.parametrize("step", NORMALIZERS, ids=named)
def test_normalizers(step):
    ours, theirs = read_part(step, "normalizer"), reference_of(step, "normalizer").normalizer
    assert ours.to_json() == step
    assert [ours(o) for o in TEXTS] == [theirs.normalize_str(o) for o in TEXTS]
    assert [ours.trace(o)[0] for o in TEXTS] == [ours(o) for o in TEXTS]


@pytest.mark.parametrize("step", NORMALIZERS, ids=named)
def test_normalizers_keep_places(step):
    "The offsets of each character of the new text"
    ours = read_part(step, "normalizer")
    each = {"type": "Split", "pattern": {"Regex": "(?m:[\\s\\S])"}, "behavior": "Isolated", "invert": False}
    theirs = reference_of(step, "normalizer")
    theirs.pre_tokenizer = reference_of(each, "pre_tokenizer").pre_tokenizer
    rows = theirs.encode_batch(TEXTS[:600], add_special_tokens=False)
    for text, row in zip(TEXTS, rows):
        _, owners = ours.trace(text)
        assert [(k, k + 1) if k >= 0 else (0, 0) for k in owners] == row.offsets, ascii(text)


@pytest.mark.parametrize("step", [o for o in NORMALIZERS if o["type"] in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt", "Strip")], ids=named)
def test_normalizers_on_every_character(step):
    ours, theirs = read_part(step, "normalizer"), reference_of(step, "normalizer").normalizer
    for k in range(0, len(POINTS), 512):  # with letters between, so that nothing joins
        text = "x".join(POINTS[k : k + 512])
        if ours(text) != theirs.normalize_str(text):
            for c in text:
                assert ours(c) == theirs.normalize_str(c), ascii(c)
            assert ours(text) == theirs.normalize_str(text)


@pytest.mark.parametrize("step", CUTTERS, ids=named)
def test_pre_tokenizers(step):
    ours, theirs = read_part(step, "pre_tokenizer"), reference_of(step, "pre_tokenizer").pre_tokenizer
    assert ours.to_json() == step
    for text in filter(None, TEXTS):
        want = theirs.pre_tokenize_str(text)
        found = ours.trace(text)
        assert [(piece, spans(owners)) for piece, owners in found] == want, ascii(text)
        assert ours(text) == [piece for piece, _ in want], ascii(text)


@pytest.mark.parametrize("step", [*CUTTERS[:4], *CUTTERS[8:9]], ids=named)
def test_pre_tokenizers_on_every_character(step):
    ours, theirs = read_part(step, "pre_tokenizer"), reference_of(step, "pre_tokenizer").pre_tokenizer
    for k in range(0, len(POINTS), 1024):
        text = "x".join(POINTS[k : k + 1024])
        if ours(text) != [piece for piece, _ in theirs.pre_tokenize_str(text)]:
            for c in text:
                assert ours(f"x{c}x") == [piece for piece, _ in theirs.pre_tokenize_str(f"x{c}x")], ascii(c)


DECODERS = [
    *({"type": "WordPiece", "prefix": "##", "cleanup": o} for o in (True, False)),
    {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
    *({"type": "Metaspace", "replacement": "▁", "prepend_scheme": o, "split": True} for o in ("always", "first", "never")),
    {"type": "BPEDecoder", "suffix": "</w>"},
    {"type": "ByteFallback"},
    {"type": "Fuse"},
    {"type": "Strip", "content": " ", "start": 1, "stop": 0},
    {"type": "Strip", "content": "a", "start": 1, "stop": 1},
    {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
    {"type": "CTC", "pad_token": "<pad>", "word_delimiter_token": "|", "cleanup": True},
    {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
                                      {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
]


@pytest.mark.parametrize("step", DECODERS, ids=named)
def test_decoders(step):
    ours, theirs = read_part(step, "decoder"), reference_of(step, "decoder").decoder
    assert ours.to_json() == step
    r = random.Random(0)
    tokens = ["a", "aa", "##b", ".", "'", "n't", "▁", "▁a", "Ġb", "Ã", "©", "é", "</w>", "x</w>", "<0x41>", "<0xE4>", "<0xBB>", "<0x8A>", "<0x+F>", "<0xZZ>", "<pad>", "|", " do not", "", "今", "  a ", "'s"]
    for _ in range(3000):
        row = r.choices(tokens, k=r.randint(1, 9))
        if step["type"] == "Strip" and step["stop"]:
            row = [o for o in row if len(o) > 1]  # the reference fails on tokens that are shorter than what it takes
        assert "".join(ours.decode(row)) == theirs.decode(row), row


def test_every_part_that_the_reference_knows_is_known_or_refused_by_name():
    missing = {"pre_tokenizer": ["UnicodeScripts", "FixedLength"]}
    for stage, module in (("normalizer", normalizers), ("pre_tokenizer", pre_tokenizers), ("decoder", decoders)):
        for name in dir(module):
            if name[0].isupper() and isinstance(getattr(module, name), type) and name not in ("Normalizer", "PreTokenizer", "Decoder", "DecodeStream", "Sequence"):
                if name in missing.get(stage, ()):
                    with pytest.raises(ValueError, match=name):
                        read_part({"type": name}, stage)
                else:
                    assert name in STAGES_OF_FILE[stage][0], (stage, name)


@pytest.mark.parametrize("stage, step, said", [
    ("normalizer", {"type": "Zalgo"}, "Zalgo"),
    ("normalizer", {"type": "NFC", "speed": 3}, "speed"),
    ("normalizer", {"type": "Strip", "strip_left": True}, "strip_right"),
    ("normalizer", {"type": "Strip", "strip_left": 1, "strip_right": True}, "strip_left"),
    ("normalizer", {"type": "Replace", "pattern": {"Glob": "*"}, "content": ""}, "Glob"),
    ("normalizer", {"type": "Replace", "pattern": {"Regex": "("}, "content": ""}, "pattern"),
    ("normalizer", {"type": "Precompiled", "precompiled_charsmap": "!"}, "Precompiled"),
    ("normalizer", {"type": "Precompiled", "precompiled_charsmap": "////fw=="}, "Precompiled"),
    ("normalizer", {"type": "Sequence"}, "normalizers"),
    ("normalizer", "NFC", "without a type"),
    ("pre_tokenizer", {"type": "Sequence", "pretokenizers": [{"type": "NFC"}]}, "NFC"),
    ("pre_tokenizer", {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "often"}, "often"),
    ("pre_tokenizer", {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "add_prefix_space": False}, "disagree"),
    ("pre_tokenizer", {"type": "Split", "pattern": {"String": "a"}, "behavior": "Shred", "invert": False}, "Shred"),
    ("decoder", {"type": "Strip", "content": " ", "start": "1", "stop": 0}, "start"),
])
def test_nothing_in_a_file_is_ignored(stage, step, said):
    with pytest.raises(ValueError, match=said):
        read_part(step, stage)


def test_how_older_files_write_metaspace():
    old = {"type": "Metaspace", "replacement": "▁", "add_prefix_space": True, "str_rep": "▁"}
    assert read_part(old, "pre_tokenizer").prepend_scheme == "always"
    assert read_part(old | {"add_prefix_space": False}, "pre_tokenizer").prepend_scheme == "never"


def test_parts_print_as_what_they_are():
    step = {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Prepend", "prepend": "▁"}]}
    assert repr(read_part(step, "normalizer")) == "Sequence([NFC(), Prepend(prepend='▁')])"
