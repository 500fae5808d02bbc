"Whatever comes in, what comes out is a right answer or an error that says what is wrong."
import json
import os
import signal
import struct
import threading

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import minihf
from minihf.hub import read_tensors

quick = settings(max_examples=150, deadline=None, derandomize=True, database=None,
                 suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
REFUSALS = (ValueError, TypeError, OSError, NotImplementedError)
odd = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
mixed = st.lists(st.one_of(odd, st.sampled_from(["[MASK]", "<|endoftext|>", "##", "Ġ", "\u200d👩🏽‍🚀", "e\u0301", "\x00", "  \n"])),
                 max_size=8).map("".join)
TOKENIZERS = {name: minihf.AutoTokenizer.from_pretrained(f"minihf/{name}") for name in ("tiny-bert", "tiny-gpt2")}


# --- tokenizers --------------------------------------------------------------------------------
@quick
@given(mixed, st.sampled_from(sorted(TOKENIZERS)))
@example("\ud7ff\ue000\uffff", "tiny-bert")
def test_any_text_has_ids_and_offsets_inside_it(text, name):
    tokenizer = TOKENIZERS[name]
    enc = tokenizer(text, return_offsets_mapping=True, verbose=False)
    assert all(0 <= i < len(tokenizer) for i in enc["input_ids"])
    assert all(0 <= a <= b <= len(text) for a, b in enc["offset_mapping"])
    assert enc["input_ids"] == tokenizer(text, verbose=False)["input_ids"]  # the readable path and the fast one
    assert tokenizer.tokenize(text) == tokenizer.convert_ids_to_tokens(tokenizer.encode(text, add_special_tokens=False))


@quick
@given(mixed)
def test_bytes_come_back_exactly(text):
    tokenizer = TOKENIZERS["tiny-gpt2"]
    assert tokenizer.decode(tokenizer.encode(text), clean_up_tokenization_spaces=False) == text


@quick
@given(mixed)
def test_reading_what_was_decoded_changes_nothing_more(text):
    tokenizer = TOKENIZERS["tiny-bert"]
    again = lambda t: tokenizer.decode(tokenizer.encode(t, add_special_tokens=False), clean_up_tokenization_spaces=False)
    once = again(text)
    assert again(again(once)) == again(once)


@quick
@given(mixed, mixed, st.integers(0, 12), st.sampled_from(["longest_first", "only_first", "only_second"]),
       st.sampled_from([False, True, "max_length"]), st.sampled_from(sorted(TOKENIZERS)))
def test_lengths_are_kept_or_refused(a, b, limit, truncation, padding, name):
    tokenizer = TOKENIZERS[name]
    try:
        enc = tokenizer(a, b, max_length=limit, truncation=truncation, padding=padding, verbose=False)
    except REFUSALS as e:
        assert len(str(e)) > 20
        return
    n = len(enc["input_ids"])
    assert all(len(v) == n for v in enc.values())
    if padding == "max_length":
        assert n >= limit


@pytest.mark.parametrize("name", sorted(TOKENIZERS))
@pytest.mark.parametrize("char", ["a", " ", "\n", "'", "#", "[", "é", "中", "👩", "\u0301", "\u200d", "\x00", "1", "."])
def test_a_megabyte_of_one_character(name, char):
    tokenizer = TOKENIZERS[name]
    ids = tokenizer(char * 2**18, verbose=False)["input_ids"]
    assert len(ids) >= (3 if name == "tiny-bert" and char not in " \n\x00\u200d\u0301" else 0)
    if name == "tiny-gpt2":
        assert tokenizer.decode(ids) == char * 2**18


# --- files -------------------------------------------------------------------------------------
values = st.one_of(st.none(), st.booleans(), st.integers(-5, 70), st.floats(allow_nan=True, width=32), odd,
                   st.lists(st.integers(-1, 3), max_size=3), st.dictionaries(odd, st.integers(), max_size=2))
KEYS = ("vocab_size hidden_size num_hidden_layers num_attention_heads intermediate_size hidden_act max_position_embeddings "
        "pad_token_id layer_norm_eps id2label num_labels label2id problem_type dtype architectures tie_word_embeddings "
        "is_decoder attn_implementation made_up type_vocab_size initializer_range hidden_dropout_prob").split()
SMALL = dict(vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, max_position_embeddings=8)


@quick
@given(st.dictionaries(st.sampled_from(KEYS), values, max_size=4), st.sampled_from(["bert", "gpt2", "distilbert", 3, None, "x"]))
def test_config_files_load_and_build_or_say_why_not(tmp_path, found, model_type):
    folder = tmp_path / "m"
    folder.mkdir(exist_ok=True)
    big = any(isinstance(v, int) and v > 60 for v in found.values())
    (folder / "config.json").write_text(json.dumps({"model_type": model_type, **SMALL, **found}))
    try:
        config = minihf.AutoConfig.from_pretrained(folder)
        assert json.loads(config.to_json_string())["model_type"] == model_type
        if not big:
            minihf.AutoModel.from_config(config)(torch.tensor([[1, 2]]))
    except (*REFUSALS, KeyError, AssertionError) as e:  # an unknown activation; torch about padding_idx
        assert len(str(e)) > 10


@quick
@given(st.binary(max_size=200), st.one_of(st.none(), st.integers(0, 2**63)))
def test_broken_tensor_files_are_refused(tmp_path, payload, length):
    path = tmp_path / "model.safetensors"
    path.write_bytes((b"" if length is None else struct.pack("<Q", length)) + payload)
    with pytest.raises(REFUSALS, match="model.safetensors"):
        read_tensors(str(path))


@quick
@given(st.data())
def test_changed_tensor_files_are_read_or_refused(tmp_path, data):
    path = tmp_path / "model.safetensors"
    minihf.hub.save_tensors({"a": torch.arange(6.0), "b": torch.ones(2, 2)}, str(tmp_path))
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.none(), st.integers(0, len(raw))))
    path.write_bytes(bytes(raw[:cut]))
    try:
        tensors = read_tensors(str(path))
        assert all(torch.is_tensor(t) for t in tensors.values())
    except REFUSALS as e:
        assert "model.safetensors" in str(e)


# --- generation --------------------------------------------------------------------------------
torch.manual_seed(0)
MODEL = minihf.GPT2LMHeadModel(minihf.GPT2Config(vocab_size=30, n_embd=8, n_layer=1, n_head=2, n_positions=24,
                                                 eos_token_id=3, bos_token_id=1)).eval()
number = st.one_of(st.none(), st.integers(-2, 6), st.floats(-1, 3), st.sampled_from(["3", True, [2]]))
ARGUMENTS = st.fixed_dictionaries({}, optional={
    **{name: number for name in ("max_new_tokens max_length min_length temperature top_k top_p min_p typical_p num_beams "
                                 "num_return_sequences repetition_penalty length_penalty no_repeat_ngram_size epsilon_cutoff "
                                 "eos_token_id pad_token_id").split()},
    "do_sample": st.booleans(), "use_cache": st.booleans(), "early_stopping": st.sampled_from([True, False, "never", "x"]),
    "bad_words_ids": st.sampled_from([None, [[4]], [], [[99]], "x"]), "suppress_tokens": st.sampled_from([None, [4], [99], "x"]),
    "return_dict_in_generate": st.booleans(), "output_scores": st.booleans()})


@quick
@pytest.mark.filterwarnings("ignore")
@given(ARGUMENTS, st.integers(1, 3), st.integers(1, 6))
def test_any_settings_write_or_are_refused(kwargs, b, s):
    ids = torch.randint(4, 30, (b, s))
    try:
        out = MODEL.generate(ids, **{"max_new_tokens": 4, **kwargs})
    except REFUSALS as e:
        assert len(str(e)) > 10
        return
    rows = out.sequences if hasattr(out, "sequences") else out
    assert rows.shape[0] % b == 0 and torch.equal(rows[:: rows.shape[0] // b, :s], ids)


@pytest.fixture
def interruptible():
    "Ctrl-C means KeyboardInterrupt, even where a shell started the tests in the background"
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupted_generation_leaves_a_usable_model(interruptible):
    ids, steps = torch.tensor([[5, 6, 7]]), []
    expected = MODEL.generate(ids, max_new_tokens=8, do_sample=False)

    class Stop(minihf.StoppingCriteria):
        def __call__(self, input_ids, scores, **kwargs):
            steps.append(input_ids.shape[1])
            if len(steps) == 3:
                signal.raise_signal(signal.SIGINT)
            return torch.zeros(len(input_ids), dtype=torch.bool)

    with pytest.raises(KeyboardInterrupt):
        MODEL.generate(ids, max_new_tokens=8, do_sample=False, stopping_criteria=[Stop()])
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
    assert torch.equal(MODEL.generate(ids, max_new_tokens=8, do_sample=False), expected)


def test_threads_share_a_tokenizer_and_a_model():
    tokenizer = minihf.AutoTokenizer.from_pretrained("minihf/tiny-gpt2")
    model = minihf.AutoModelForCausalLM.from_pretrained("minihf/tiny-gpt2")
    texts = [f"The {word} statement" for word in "for while if return import def class with".split()]
    write = lambda t: tokenizer.decode(
        model.generate(**tokenizer(t, return_tensors="pt"), max_new_tokens=8, do_sample=False, pad_token_id=0)[0])
    expected, found = [write(t) for t in texts], {}

    def work(order):
        for i in order:
            found.setdefault(i, []).append(write(texts[i]))

    threads = [threading.Thread(target=work, args=(order,)) for order in (range(8), range(7, -1, -1), [3, 3, 5, 5])]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert all(set(found[i]) == {expected[i]} for i in range(8))


# --- pipelines ---------------------------------------------------------------------------------
def resident():
    "Megabytes that this process holds"
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * 4096 / 2**20


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="asks Linux for the memory in use")
def test_ten_thousand_calls_take_no_more_memory_than_two_thousand(rng):
    config = minihf.BertConfig(vocab_size=len(TOKENIZERS["tiny-bert"]), hidden_size=8, num_hidden_layers=1,
                               num_attention_heads=2, intermediate_size=8)
    sort = minihf.pipeline("text-classification", model=minihf.BertForSequenceClassification(config).eval(),
                           tokenizer=TOKENIZERS["tiny-bert"])
    words = ["".join(rng.choices("abcdefgh", k=5)) for _ in range(5000)]
    text = lambda: " ".join(rng.choices(words, k=rng.randint(1, 12)))
    for _ in range(2000):
        sort(text())
    before = resident()
    for _ in range(8000):
        sort(text())
    assert resident() - before < 8
