"`GPT2Tokenizer` against the reference's: files of both forms, every mode of a call, special and added tokens, decoding."
import json
import pickle
import random
import threading

import pytest

from minihf.tokenizers.base import AddedToken, GPT2Tokenizer, GPT2TokenizerFast

transformers = pytest.importorskip("transformers")
Theirs = transformers.GPT2Tokenizer
END = "<|endoftext|>"


@pytest.fixture(scope="module")
def folders(texts, tmp_path_factory):
    "A learnt vocabulary as vocab.json + merges.txt, as the reference saves it, and as tokenizer.json alone"
    tokenizers = pytest.importorskip("tokenizers")
    out = {name: tmp_path_factory.mktemp(name) for name in ("files", "saved", "alone")}
    bpe = tokenizers.ByteLevelBPETokenizer()
    bpe.train_from_iterator(texts, vocab_size=1500, special_tokens=[END], show_progress=False)
    bpe.save_model(str(out["files"]))
    Theirs.from_pretrained(out["files"]).save_pretrained(out["saved"])
    (out["alone"] / "tokenizer.json").write_bytes((out["saved"] / "tokenizer.json").read_bytes())
    return out


@pytest.fixture(scope="module", params=["files", "saved", "alone"])
def pair(request, folders):
    folder = folders[request.param]
    return GPT2Tokenizer.from_pretrained(folder), Theirs.from_pretrained(folder)


@pytest.fixture
def both(folders):
    "Builds (ours, theirs) with options, to be changed by a test"
    def build(folder="files", **options):
        return GPT2Tokenizer.from_pretrained(folders[folder], **options), Theirs.from_pretrained(folders[folder], **options)

    return build


def plain(x):
    return x.tolist() if hasattr(x, "tolist") else x


def same(ours, theirs, note=None):
    assert set(ours.keys()) == set(theirs.keys()), note
    for k in theirs.keys():
        assert plain(ours[k]) == plain(theirs[k]), (k, note)


def everything(a, b, texts):
    "Ids, masks, offsets, words, tokens and decoded text of both are equal"
    x, y = (t(texts, return_offsets_mapping=True, verbose=False) for t in (a, b))
    same(x, y)
    same(a(texts, verbose=False), b(texts, verbose=False))
    for i, text in enumerate(texts):
        assert x.word_ids(i) == y.word_ids(i) and x.tokens(i) == y.tokens(i), text
    for skip in (False, True):
        assert a.batch_decode(x["input_ids"], skip_special_tokens=skip) == b.batch_decode(
            y["input_ids"], skip_special_tokens=skip)


# --- parity --------------------------------------------------------------------------------------
def test_two_thousand_texts(pair, texts):
    everything(*pair, [*texts, END, f"a{END}b", f" {END} {END}{END}x ", "<|endoftext|", "<|ENDOFTEXT|>"])


def test_two_thousand_texts_with_a_space_before(both, texts):
    everything(*both(add_prefix_space=True), [*texts, f"a{END}b {END} c"])


@pytest.mark.parametrize("folder", ["saved", "alone"])
def test_add_prefix_space_over_a_tokenizer_json(both, texts, folder):
    everything(*both(folder, add_prefix_space=True), [*texts[:300], f"a{END}b {END} c"])


def test_single_calls(pair, texts):
    ours, theirs = pair
    for text in texts[::13]:
        same(ours(text, verbose=False), theirs(text, verbose=False), text)
        assert ours.tokenize(text) == theirs.tokenize(text)
        assert ours.encode(text, verbose=False) == theirs.encode(text, verbose=False)
        ids = ours.encode(text, verbose=False)
        assert ours.decode(ids) == theirs.decode(ids)
        assert ours.convert_ids_to_tokens(ids) == theirs.convert_ids_to_tokens(ids)
        assert ours.convert_tokens_to_string(ours.tokenize(text)) == theirs.convert_tokens_to_string(theirs.tokenize(text))


def test_text_comes_back_whole(pair, texts):
    for text in texts[:500]:
        assert pair[0].decode(pair[0].encode(text, verbose=False)) == text


# --- modes ---------------------------------------------------------------------------------------
def modes(r):
    options = dict(padding=r.choice([False, True, "longest", "max_length"]), truncation=r.choice([False, True, "only_first"]))
    options["max_length"] = r.choice([None, 8, 16, 32])
    if options["padding"] == "max_length" or options["truncation"]:
        options["max_length"] = options["max_length"] or 16
    options["padding_side"] = r.choice([None, "left", "right"])
    options["pad_to_multiple_of"] = r.choice([None, 8])
    options["add_special_tokens"] = r.random() < 0.7
    for k in ("return_token_type_ids", "return_special_tokens_mask", "return_offsets_mapping", "return_length"):
        if r.random() < 0.3:
            options[k] = True
    if options["truncation"] and r.random() < 0.3:
        options["stride"] = 2
        options["return_overflowing_tokens"] = True
    return options


@pytest.mark.parametrize("settings", [{}, {"add_bos_token": True}, {"add_prefix_space": True}, {"padding_side": "left"}])
def test_call_modes(both, texts, settings):
    ours, theirs = both(**settings)
    ours.pad_token, theirs.pad_token = ours.eos_token, theirs.eos_token
    r = random.Random(3)
    short = [o for o in texts if len(o) < 60]
    for _ in range(60):
        options, kind = modes(r), r.choice(["one", "batch", "pairs", "words"])
        if kind == "one":
            options.pop("return_overflowing_tokens", None)
            args = (r.choice(short),)
        elif kind == "batch":
            args = (r.sample(short, 4),)
        elif kind == "pairs":
            args = (r.sample(short, 3), r.sample(short, 3))
            options.pop("return_overflowing_tokens", None)
            options["truncation"] = False if options["truncation"] == "only_first" else options["truncation"]
        else:
            args, options["is_split_into_words"] = ([o.split() or ["a"] for o in r.sample(short, 3)],), True
        if "stride" in options and "return_overflowing_tokens" not in options:
            del options["stride"]
        same(ours(*args, **options, verbose=False), theirs(*args, **options, verbose=False), (args, options))


@pytest.mark.parametrize("kind", ["np", "pt"])
def test_tensors(both, kind):
    ours, theirs = both()
    ours.pad_token, theirs.pad_token = END, END
    batch = ["one", "two and three", ""]
    a, b = (t(batch, padding=True, return_tensors=kind) for t in (ours, theirs))
    same(a, b)
    assert type(a["input_ids"]) is type(b["input_ids"]) and str(a["input_ids"].dtype) == str(b["input_ids"].dtype)


def test_padding_without_a_pad_token_says_what_to_set(pair):
    ours = pair[0]
    assert ours.pad_token is None and ours.pad_token_id is None
    for call in (dict(padding=True), dict(padding="max_length", max_length=9), dict(padding="longest", return_tensors="np")):
        with pytest.raises(ValueError, match="pad_token = tokenizer.eos_token"):
            ours(["a", "b c d"], **call)
    same(ours(["a", "b c d"]), pair[1](["a", "b c d"]))


@pytest.mark.parametrize("prefix", [False, True])
def test_words_that_are_already_cut(both, texts, prefix):
    ours, theirs = both(add_prefix_space=prefix)
    for text in texts[10:300:7]:
        words = text.split()
        a, b = (t(words, is_split_into_words=True, return_offsets_mapping=True, verbose=False) for t in (ours, theirs))
        same(a, b, words)
        assert a.word_ids() == b.word_ids()


# --- tokens --------------------------------------------------------------------------------------
def test_special_tokens_and_sizes(pair):
    ours, theirs = pair
    for name in ("bos", "eos", "unk", "pad", "cls", "sep", "mask"):
        assert getattr(ours, f"{name}_token") == getattr(theirs, f"{name}_token"), name
        assert getattr(ours, f"{name}_token_id") == getattr(theirs, f"{name}_token_id"), name
    assert (len(ours), ours.vocab_size, ours.all_special_tokens) == (len(theirs), theirs.vocab_size, theirs.all_special_tokens)
    assert ours.get_vocab() == theirs.get_vocab() and ours.get_added_vocab() == theirs.get_added_vocab()
    assert ours.model_input_names == theirs.model_input_names == ["input_ids", "attention_mask"]
    for token in ("Ġ", "a", "no such token", END):
        assert ours.convert_tokens_to_ids(token) == theirs.convert_tokens_to_ids(token), token


def test_added_tokens(both, texts):
    ours, theirs = both()
    for t, Added in ((ours, AddedToken), (theirs, transformers.AddedToken)):
        assert t.add_special_tokens({"pad_token": "<pad>", "additional_special_tokens": ["<user>", "<bot>"]}) == 3
        assert t.add_tokens(["new word", Added("mid", single_word=True), Added("<l>", lstrip=True), Added("<r>", rstrip=True)]) == 4
    extra = ["<user>hi<bot> there", "a new word, new words", "mid amid mid.", "x  <l>  y", "x <r>  \n y", "<pad><pad>", "<user> <r><l> <bot>"]
    everything(ours, theirs, [*extra, *texts[:100]])
    a, b = (t([*extra, "x"], padding=True) for t in (ours, theirs))
    same(a, b)
    assert len(ours) == len(theirs) and ours.pad_token_id == theirs.pad_token_id
    assert ours.decode(a["input_ids"][0]) == theirs.decode(b["input_ids"][0])


def test_other_special_tokens_at_the_start(folders):
    names = dict(bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>")
    ours, theirs = (T.from_pretrained(folders["files"], **names) for T in (GPT2Tokenizer, Theirs))
    everything(ours, theirs, ["<s>a</s>", "a <pad> b", "<unk>", END])
    assert ours.get_added_vocab() == theirs.get_added_vocab()


# --- decoding ------------------------------------------------------------------------------------
def test_decoding_any_ids(pair, rng):
    ours, theirs = pair
    for _ in range(300):
        ids = rng.choices(range(len(ours)), k=rng.randint(0, 20))
        for skip in (False, True):
            assert ours.decode(ids, skip_special_tokens=skip) == theirs.decode(ids, skip_special_tokens=skip)
    assert ours.decode(5) == theirs.decode(5) and ours.decode([]) == ""
    assert ours.decode([7, len(ours) + 5, 8]) == theirs.decode([7, len(ours) + 5, 8])


def test_clean_up_happens_only_if_asked_for(pair):
    "The reference ignores the request for BPE; here the call or the settings decide"
    ours, theirs = pair
    ids = ours.encode("Well , it 's so . Do n't !")
    for clean in (None, False):
        assert ours.decode(ids, clean_up_tokenization_spaces=clean) == theirs.decode(ids, clean_up_tokenization_spaces=clean)
    assert ours.decode(ids, clean_up_tokenization_spaces=True) == "Well, it's so. Don't!"


def test_errors_are_obeyed(folders):
    "The reference takes `errors` too, but always replaces"
    ours = GPT2Tokenizer.from_pretrained(folders["files"], errors="ignore")
    half = ours.convert_tokens_to_ids(["a", "Ã", "b"])
    assert ours.decode(half) == "ab" and GPT2Tokenizer.from_pretrained(folders["files"]).decode(half) == "a\ufffdb"


# --- files ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("settings", [{}, {"add_prefix_space": True}, {"pad_token": "<pad>", "padding_side": "left"}])
def test_saving_both_ways(folders, texts, tmp_path, settings):
    ours, theirs = (T.from_pretrained(folders["files"], **settings) for T in (GPT2Tokenizer, Theirs))
    ours.save_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs")
    sample = [*texts[:150], f"a{END} b<pad>"]
    for folder in ("ours", "theirs"):
        a, b = GPT2Tokenizer.from_pretrained(tmp_path / folder), Theirs.from_pretrained(tmp_path / folder)
        everything(a, b, sample)
        everything(a, theirs, sample)
        assert a.padding_side == theirs.padding_side and a.pad_token == theirs.pad_token
    names = {p.name for p in (tmp_path / "ours").iterdir()}
    assert {"vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"} <= names


def test_each_form_of_our_files_is_enough(folders, texts, tmp_path):
    ours = GPT2Tokenizer.from_pretrained(folders["files"])
    for name, keep in (("a", ["vocab.json", "merges.txt"]), ("b", ["tokenizer.json"])):
        ours.save_pretrained(tmp_path / name)
        for file in (tmp_path / name).iterdir():
            if file.name not in keep:
                file.unlink()
        everything(GPT2Tokenizer.from_pretrained(tmp_path / name), Theirs.from_pretrained(tmp_path / name), texts[:150])


def test_merges_survive_a_version_line_or_none(folders, tmp_path):
    vocab, lines = folders["files"] / "vocab.json", (folders["files"] / "merges.txt").read_text(encoding="utf-8").split("\n")
    body = [o for o in lines if not o.startswith("#version")]
    (tmp_path / "vocab.json").write_bytes(vocab.read_bytes())
    want = GPT2Tokenizer.from_pretrained(folders["files"]).encode("the same as ever")
    for text in ("\n".join(body), "#version: 0.2\n" + "\n".join(body), "\r\n".join(body)):
        (tmp_path / "merges.txt").write_bytes(text.encode())
        assert GPT2Tokenizer.from_pretrained(tmp_path).encode("the same as ever") == want


def test_from_vocab_and_merges(folders):
    vocab = json.loads((folders["files"] / "vocab.json").read_text())
    merges = (folders["files"] / "merges.txt").read_text(encoding="utf-8").split("\n")[1:-1]
    pairs = [tuple(o.split(" ")) for o in merges]
    a, b = GPT2Tokenizer(vocab=vocab, merges=pairs), Theirs(vocab=vocab, merges=pairs)
    everything(a, b, ["from memory", f"and {END}"])
    assert GPT2Tokenizer(str(folders["files"] / "vocab.json"), str(folders["files"] / "merges.txt")).encode("x y") == a.encode("x y")
    assert GPT2TokenizerFast is GPT2Tokenizer


def test_broken_files_are_named(folders, tmp_path):
    vocab = (folders["files"] / "vocab.json").read_bytes()
    (tmp_path / "vocab.json").write_bytes(vocab)
    with pytest.raises((FileNotFoundError, ValueError), match="merges.txt"):
        GPT2Tokenizer.from_pretrained(tmp_path)
    (tmp_path / "merges.txt").write_text("#version: 0.2\nĠ t\nbroken line here\n", encoding="utf-8")
    with pytest.raises(ValueError, match="merges.txt, line 3"):
        GPT2Tokenizer.from_pretrained(tmp_path)
    (tmp_path / "merges.txt").write_text("#version: 0.2\nĠ Ж\n", encoding="utf-8")
    with pytest.raises(ValueError, match="'Ж'"):
        GPT2Tokenizer.from_pretrained(tmp_path)
    (tmp_path / "merges.txt").write_bytes((folders["files"] / "merges.txt").read_bytes())
    (tmp_path / "vocab.json").write_bytes(vocab[: len(vocab) // 2])
    with pytest.raises(ValueError, match="vocab.json"):
        GPT2Tokenizer.from_pretrained(tmp_path)


# --- the rest ------------------------------------------------------------------------------------
def test_training_anew(both, texts):
    ours, theirs = both(add_prefix_space=True)
    lines = [o for o in texts if len(o) < 500][:400]
    a, b = (t.train_new_from_iterator([lines[:200], lines[200:]], vocab_size=600) for t in (ours, theirs))
    assert a.get_vocab() == b.get_vocab()
    everything(a, b, texts[:100])


def test_lone_surrogates_are_refused_with_their_place(pair):
    ours = pair[0]
    for call in (ours, ours.encode, ours.tokenize):
        with pytest.raises(ValueError, match=r"text 0 .*'\\ud800', at character 1.*surrogatepass"):
            call("x\ud800y")
    with pytest.raises(ValueError, match="text 1 .*character 4"):
        ours(["fine", "half\udfff"], return_offsets_mapping=True)
    with pytest.raises(ValueError, match="text_pair 0 .*character 0"):
        ours(["fine"], ["\udfff"])
    with pytest.raises(ValueError, match="text 0, word 1 .*character 1"):
        ours(["fine", "é\udfff"], is_split_into_words=True)
    repaired = "\ud83d\ude00 \ud800".encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert ours(repaired)["input_ids"] == ours("😀 \ufffd")["input_ids"]


def test_pickle_and_threads(pair, texts):
    ours = pair[0]
    want = ours(texts, verbose=False)["input_ids"]
    again = pickle.loads(pickle.dumps(ours))
    assert again(texts[:50], verbose=False)["input_ids"] == want[:50]
    wrong = []

    def work(part):
        wrong.extend(i for i in part if again(texts[i], verbose=False)["input_ids"] != want[i])

    threads = [threading.Thread(target=work, args=(range(len(texts))[::step],)) for step in (1, -1)]
    [o.start() for o in threads]
    [o.join() for o in threads]
    assert not wrong
