"What people hand to `generate`: vectors, caches, numbers of numpy, None, single objects, and things that can't work."
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

transformers = pytest.importorskip("transformers")
import minihf  # noqa: E402
from minihf import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, MaxLengthCriteria  # noqa: E402
from minihf.generation.logits import LogitsProcessor, SuppressTokensLogitsProcessor  # noqa: E402
from minihf.generation.generate import generate  # noqa: E402

FOLDER = str(Path(minihf.__file__).parent / "assets/tiny-gpt2")
IDS = torch.tensor([[33, 447, 289]])
PLAIN = [33, 447, 289, 258, 447, 294, 916, 312]
NAN, INF = float("nan"), float("inf")
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def theirs():
    return transformers.AutoModelForCausalLM.from_pretrained(FOLDER).eval()


@pytest.fixture(scope="module")
def ours():
    return AutoModelForCausalLM.from_pretrained(FOLDER)


def run(model, *args, seed=0, **kwargs):
    torch.manual_seed(seed)
    return model.generate(*args, **dict(pad_token_id=0) | kwargs)


# ------------------------------------------------------------------ vectors in place of ids

WAYS = [dict(max_new_tokens=5), dict(max_length=6), dict(max_length=8, min_length=7), dict(), dict(max_new_tokens=5, num_beams=3),
        dict(max_new_tokens=5, num_beams=3, num_return_sequences=2, do_sample=True), dict(max_new_tokens=5, do_sample=True),
        dict(max_new_tokens=5, do_sample=True, num_return_sequences=3, top_p=0.8), dict(max_new_tokens=5, use_cache=False),
        dict(max_new_tokens=5, repetition_penalty=1.5), dict(max_new_tokens=6, no_repeat_ngram_size=1, min_new_tokens=5),
        dict(max_new_tokens=5, forced_bos_token_id=5), dict(max_new_tokens=5, begin_suppress_tokens=[258]),
        dict(max_new_tokens=4, num_beams=2, use_cache=False)]


def test_the_value_in_the_docs(ours):
    x = ours.get_input_embeddings()(IDS)
    assert run(ours, inputs_embeds=x, max_new_tokens=5).tolist() == [PLAIN[3:]]
    assert run(ours, IDS, inputs_embeds=x, max_new_tokens=5).tolist() == [PLAIN]


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("form", ["alone", "with ids", "batch", "padded", "padded with ids"])
def test_vectors_equal_the_reference(theirs, ours, form, way):
    ids = IDS if form in ("alone", "with ids") else torch.tensor([[0, 447, 289], [33, 447, 258]])
    with torch.no_grad():
        kwargs = dict(inputs_embeds=theirs.get_input_embeddings()(ids) * 0.9)
    if "ids" in form:
        kwargs["input_ids"] = ids
    if "padded" in form:
        kwargs["attention_mask"] = torch.tensor([[0, 1, 1], [1, 1, 1]])
    want, got = (run(m, **kwargs, **way) for m in (theirs, ours))
    assert got.tolist() == want.tolist()


def test_vectors_that_stand_for_no_token(theirs, ours):
    x = torch.randn(2, 4, 128, generator=torch.Generator().manual_seed(0))
    for way in WAYS:
        assert run(ours, inputs_embeds=x, **way).tolist() == run(theirs, inputs_embeds=x, **way).tolist(), way
    out = run(ours, inputs_embeds=x, max_new_tokens=3, return_dict_in_generate=True, output_logits=True, eos_token_id=None)
    ref = run(theirs, inputs_embeds=x, max_new_tokens=3, return_dict_in_generate=True, output_logits=True, eos_token_id=None)
    assert torch.allclose(torch.stack(out.logits), torch.stack(ref.logits), atol=1e-5)
    assert out.past_key_values.get_seq_length() == 6


@pytest.mark.parametrize("kwargs,kind,message", [
    (dict(inputs_embeds=[[1.0]]), TypeError, "inputs_embeds.*tensor"), (dict(inputs_embeds=IDS), ValueError, r"\(b, s, d\)"),
    (dict(inputs_embeds=torch.randn(3, 128)), ValueError, r"\(3, 128\)"), (dict(inputs_embeds=torch.randn(1, 0, 128)), ValueError, "embeds"),
    (dict(inputs_embeds=torch.randn(1, 2, 128), input_ids=IDS), ValueError, r"\(1, 3\).*\(1, 2, 128\)"),
    (dict(inputs_embeds=torch.randn(1, 2, 128), attention_mask=torch.ones(1, 1)), ValueError, "attention_mask")])
def test_wrong_vectors(ours, kwargs, kind, message):
    with pytest.raises(kind, match=message):
        ours.generate(max_new_tokens=2, **kwargs)


def test_who_can_read_no_vectors_says_so(ours):
    with pytest.raises(ValueError, match="inputs_embeds"):
        generate(lambda input_ids: None, inputs_embeds=torch.randn(1, 2, 8), max_new_tokens=2)
    with pytest.raises(ValueError, match="input_ids"):
        ours.generate(inputs_embeds=torch.randn(1, 2, 128), assistant_model=ours, max_new_tokens=2)


# ------------------------------------------------------------------ caches

def cache_of(model, n, rows=1):
    with torch.no_grad():
        return model(IDS[:, :n].expand(rows, -1)).past_key_values


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("way", [dict(), dict(num_beams=3), dict(do_sample=True, num_return_sequences=2), dict(use_cache=False)], ids=str)
def test_a_cache_of_some_or_all_tokens_changes_nothing(ours, n, way):
    way = way | dict(max_new_tokens=3)
    want = run(ours, IDS, **way)
    rows = max(way.get("num_beams", 1), way.get("num_return_sequences", 1))
    for past in (cache_of(ours, n), tuple(cache_of(ours, n)), cache_of(ours, n, rows)):
        assert run(ours, IDS, past_key_values=past, **way).tolist() == want.tolist()
    if way == dict(max_new_tokens=3):
        assert want.tolist() == [[33, 447, 289, 258, 447, 294]]


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_a_cache_of_the_reference(theirs, ours, n):
    past = transformers.DynamicCache() if n == 0 else cache_of(theirs, n)
    assert run(ours, IDS, past_key_values=past, max_new_tokens=3).tolist() == [PLAIN[:6]]
    mask = torch.ones(1, 3, dtype=torch.long)
    with_mask = run(ours, IDS[:, 2:], past_key_values=cache_of(theirs, 2), attention_mask=mask, max_new_tokens=3)
    ref = run(theirs, IDS[:, 2:], past_key_values=cache_of(theirs, 2), attention_mask=mask, max_new_tokens=3)
    assert with_mask.tolist() == ref.tolist() == [PLAIN[2:6]]  # only what is new was given


@pytest.mark.parametrize("make,kind,message", [
    (lambda m: cache_of(m, 3, 2), ValueError, "holds 2 sequences"), (lambda m: "x", TypeError, "past_key_values"),
    (lambda m: 5, TypeError, "past_key_values"), (lambda m: [1], TypeError, "layer 0"),
    (lambda m: m(torch.cat([IDS, IDS], 1)).past_key_values, ValueError, "holds 6 tokens.*has 3")])
def test_wrong_caches(ours, make, kind, message):
    with pytest.raises(kind, match=message):
        ours.generate(IDS, past_key_values=make(ours), max_new_tokens=2)


# ------------------------------------------------------------------ numbers, None, single objects

@pytest.mark.parametrize("name,value,plain", [
    ("max_new_tokens", np.int64(3), 3), ("max_new_tokens", torch.tensor(3), 3), ("num_beams", np.int32(2), 2),
    ("top_k", torch.tensor(3), 3), ("temperature", np.float32(0.5), 0.5), ("eos_token_id", np.array([0, 447]), [0, 447]),
    ("eos_token_id", torch.tensor([447]), [447]), ("min_length", np.int64(7), 7), ("repetition_penalty", torch.tensor(1.5), 1.5),
    ("suppress_tokens", np.array([258]), [258]), ("bad_words_ids", [np.array([258])], [[258]]), ("top_p", np.float64(0.5), 0.5),
    ("sequence_bias", {(np.int64(5),): np.float32(9.0)}, {(5,): 9.0}), ("no_repeat_ngram_size", np.int64(1), 1),
    ("forced_eos_token_id", np.int64(7), 7), ("exponential_decay_length_penalty", (np.int64(1), np.float64(1.5)), (1, 1.5))])
def test_numbers_of_numpy_and_torch(ours, name, value, plain):
    common = dict(max_new_tokens=5) | dict(do_sample=name in ("top_k", "top_p", "temperature"))
    want = run(ours, IDS, **common | {name: plain}).tolist()
    assert run(ours, IDS, **common | {name: value}).tolist() == want
    config = GenerationConfig(**common | {name: value})
    assert run(ours, IDS, generation_config=config).tolist() == want
    assert config.to_json_string() == GenerationConfig(**common | {name: plain}).to_json_string()


UNSET = "max_length temperature top_k top_p min_p typical_p do_sample eos_token_id repetition_penalty early_stopping length_penalty " \
    "min_length no_repeat_ngram_size bad_words_ids pad_token_id output_scores"


@pytest.mark.parametrize("name", UNSET.split())
@pytest.mark.parametrize("sampled", [False, True])
def test_none_unsets(theirs, ours, name, sampled):
    kwargs = dict(max_new_tokens=6, do_sample=sampled) | {name: None}
    for own in (dict(), dict(top_k=3, do_sample=True, temperature=0.1, max_length=9, repetition_penalty=2.0)):
        before = theirs.generation_config, ours.generation_config
        theirs.generation_config = transformers.GenerationConfig(eos_token_id=294, **own)
        ours.generation_config = GenerationConfig(eos_token_id=294, **own)
        try:
            torch.manual_seed(0)
            want = theirs.generate(IDS, **kwargs).tolist()
            torch.manual_seed(0)
            assert ours.generate(IDS, **kwargs).tolist() == want
        finally:
            theirs.generation_config, ours.generation_config = before


def test_none_everywhere(ours):
    want = run(ours, IDS, max_new_tokens=5).tolist()
    names = [k for k in vars(GenerationConfig()) if k != "max_new_tokens" and k[0] != "_"]
    assert run(ours, IDS, max_new_tokens=5, **dict.fromkeys(names)).tolist() == want
    assert run(ours, IDS, max_new_tokens=5, num_beams=None, num_return_sequences=None, use_cache=None).tolist() == want
    assert run(ours, IDS, max_length=None, eos_token_id=None).shape == (1, 23)


def test_temperature_zero_without_sampling(ours):
    assert run(ours, IDS, max_new_tokens=5, temperature=0.0, do_sample=False).tolist() == [PLAIN]
    assert run(ours, IDS, generation_config=GenerationConfig(temperature=0.0, max_new_tokens=5)).tolist() == [PLAIN]


def test_one_object_needs_no_list(ours):
    assert run(ours, IDS, stopping_criteria=MaxLengthCriteria(5), max_new_tokens=9).tolist() == [PLAIN[:5]]
    one = SuppressTokensLogitsProcessor([258])
    want = run(ours, IDS, logits_processor=[one], max_new_tokens=4).tolist()
    assert run(ours, IDS, logits_processor=one, max_new_tokens=4).tolist() == want != [PLAIN[:7]]
    for wrong in ("x", 5, [None], {"a": 1}):
        for name in ("logits_processor", "stopping_criteria"):
            with pytest.raises(TypeError, match=name):
                ours.generate(IDS, max_new_tokens=2, **{name: wrong})


def test_plain_ids_in_sequence_bias(theirs, ours):
    want = run(theirs, IDS, max_new_tokens=5, sequence_bias={(258,): -9.0, (447, 294): -5.0}).tolist()
    for bias in ({(258,): -9.0, (447, 294): -5.0}, {258: -9.0, (447, 294): -5.0}, [[[258], -9.0], [[447, 294], -5.0]],
                 [[258, -9], [(447, 294), -5]], {258: -9, (447, 294): -5}):
        assert run(ours, IDS, max_new_tokens=5, sequence_bias=bias).tolist() == want != [PLAIN]
        back = GenerationConfig.from_dict(__import__("json").loads(GenerationConfig(sequence_bias=bias).to_json_string()))
        assert run(ours, IDS, max_new_tokens=5, generation_config=back).tolist() == want
    for wrong in (5, "x", [], [5], [[5]], [[5, "x"]], {"x": 1.0}, {(-1,): 1.0}, {(): 1.0}, {5: None}, [[[5], [1.0]]]):
        with pytest.raises(ValueError, match="sequence_bias"):
            ours.generate(IDS, max_new_tokens=2, sequence_bias=wrong or 7)


# ------------------------------------------------------------------ what can't work

NAMED = [
    (dict(bad_words_ids=["list"]), "bad_words_ids"), (dict(bad_words_ids="list"), "bad_words_ids"), (dict(bad_words_ids=[[2.5]]), "bad_words"),
    (dict(bad_words_ids=[[-1]]), "bad_words_ids"), (dict(suppress_tokens="x"), "suppress_tokens"), (dict(suppress_tokens=["x"]), "suppress"),
    (dict(begin_suppress_tokens="x"), "begin_suppress"), (dict(stop_strings=5), "stop_strings"), (dict(stop_strings=[5]), "stop_strings"),
    (dict(force_words_ids="x"), "force_words_ids"), (dict(constraints=["x"]), "constraints"), (dict(eos_token_id=2.5), "eos_token_id.*2.5"),
    (dict(eos_token_id="x"), "eos_token_id"), (dict(eos_token_id=["x"]), "eos_token_id"), (dict(eos_token_id=[[0]]), "eos_token_id"),
    (dict(eos_token_id=True), "eos_token_id"), (dict(eos_token_id=10**30), "eos_token_id"), (dict(pad_token_id="x"), "pad_token_id"),
    (dict(pad_token_id=2.5), "pad_token_id"), (dict(bos_token_id=[1]), "bos_token_id"), (dict(forced_bos_token_id=2.5), "forced_bos"),
    (dict(forced_eos_token_id="x"), "forced_eos"), (dict(forced_eos_token_id=-1), "forced_eos"), (dict(do_sample="yes"), "do_sample"),
    (dict(use_cache="no"), "use_cache"), (dict(output_scores=3), "output_scores"), (dict(return_dict_in_generate="x"), "return_dict"),
    (dict(num_beams=10**30), "num_beams"), (dict(num_return_sequences=10**30, do_sample=True), "num_return_sequences"),
    (dict(num_beams="2"), "num_beams"), (dict(max_new_tokens="3"), "max_new_tokens"), (dict(max_new_tokens=10**30), "max_new_tokens"),
    (dict(max_new_tokens=True), "max_new_tokens"), (dict(max_new_tokens=NAN), "max_new_tokens"), (dict(temperature=NAN), "temperature"),
    (dict(temperature=INF, do_sample=True), "temperature"), (dict(length_penalty=NAN), "length_penalty"),
    (dict(length_penalty="x"), "length_penalty"), (dict(max_time="x"), "max_time"), (dict(early_stopping=["x"]), "early_stopping"),
    (dict(early_stopping=np.array([1, 2])), "early_stopping"), (dict(repetition_penalty=[1.0]), "repetition_penalty"),
    (dict(exponential_decay_length_penalty=5), "exponential_decay"), (dict(exponential_decay_length_penalty=(1,)), "exponential_decay"),
    (dict(exponential_decay_length_penalty=("x", 1.1)), "exponential_decay"), (dict(num_assistant_tokens="x"), "num_assistant_tokens"),
    (dict(assistant_confidence_threshold="x"), "assistant_confidence"), (dict(num_assistant_tokens_schedule="x"), "schedule"),
    (dict(top_h=0.5), "top_h"), (dict(update=3), "update"), (dict(to_dict=3), "to_dict"), (dict(negative_prompt_ids=IDS), "negative_prompt"),
    (dict(custom_generate="x"), "custom_generate")]


@pytest.mark.parametrize("kwargs,message", NAMED, ids=str)
def test_settings_that_cannot_work_are_named(ours, kwargs, message):
    with pytest.raises(ValueError, match=message):
        ours.generate(IDS, **dict(max_new_tokens=2) | kwargs)
    name = next(iter(kwargs))
    checked_later = {"max_new_tokens": 10**30, "temperature": INF}  # the model and the mode decide
    if name in vars(GenerationConfig()) and not name.startswith(("force", "constr", "top_h")):
        if repr(kwargs[name]) != repr(checked_later.get(name)) and "-1" not in repr(kwargs[name]):
            with pytest.raises(ValueError, match=message):
                GenerationConfig(**kwargs)


@pytest.mark.parametrize("kwargs,message", [
    (dict(attention_mask=[[1, 1, 1]]), "attention_mask.*return_tensors"), (dict(attention_mask="x"), "attention_mask"),
    (dict(position_ids=[[0, 1, 2]]), "position_ids"), (dict(token_type_ids=5), "token_type_ids"), (dict(generator=5), "generator"),
    (dict(generation_config={"max_new_tokens": 3}), "generation_config.*GenerationConfig"), (dict(generation_config="x"), "generation_config"),
    (dict(streamer="x"), "streamer"), (dict(streamer=5), "streamer"), (dict(assistant_model="x"), "assistant_model")])
def test_objects_of_the_wrong_kind_are_named(ours, kwargs, message):
    with pytest.raises(TypeError, match=message):
        ours.generate(IDS, **dict(max_new_tokens=2) | kwargs)


def test_other_wrong_objects(ours):
    with pytest.raises(ValueError, match="prefix_allowed_tokens_fn"):
        ours.generate(IDS, prefix_allowed_tokens_fn="x", max_new_tokens=2)
    for wrong in (lambda b, i: None, lambda b, i: "x", lambda b, i: [10**9], lambda b, i: 5, lambda b, i: [2.5]):
        with pytest.raises(ValueError, match="prefix_allowed_tokens_fn"):
            ours.generate(IDS, prefix_allowed_tokens_fn=wrong, max_new_tokens=2)
    with pytest.raises(ValueError, match="tokenizer"):
        ours.generate(IDS, stop_strings="x", tokenizer=5, max_new_tokens=2)
    with pytest.raises(ValueError, match="position_ids"):
        ours.generate(IDS, position_ids=torch.zeros(2, 3, dtype=torch.long), max_new_tokens=2)
    with pytest.raises(TypeError, match="model"):
        generate("x", IDS)


def test_prompts_that_are_no_tensors(ours):
    tokenizer = AutoTokenizer.from_pretrained("minihf/tiny-gpt2")
    for args, kwargs in [(("text",), {}), ((tokenizer("a"),), {}), ((), dict(tokenizer("a"))), ((IDS.tolist(),), {}), ((5,), {}),
                         ((np.array([[1]]),), {})]:
        with pytest.raises(TypeError, match='return_tensors="pt"'):
            ours.generate(*args, max_new_tokens=2, **kwargs)
    for wrong in (torch.zeros(0, 3, dtype=torch.long), torch.zeros(1, 2, dtype=torch.bool), torch.zeros(1, 2, dtype=torch.complex64)):
        with pytest.raises(ValueError, match="prompt"):
            ours.generate(wrong, max_new_tokens=2)


# ------------------------------------------------------------------ room for the text

class Counted:
    "Counts how often a model is called."

    def __init__(self, model):
        self.model, self.config, self.device, self.calls = model, model.config, model.device, 0

    def forward(self, input_ids=None, inputs_embeds=None, attention_mask=None, position_ids=None, past_key_values=None, use_cache=None):
        self.calls += 1
        return self.model(input_ids, past_key_values, attention_mask, None, position_ids, inputs_embeds, use_cache=use_cache)

    __call__ = forward


def test_a_text_longer_than_the_model_is_refused_before_the_first_token(ours):
    model = Counted(ours)
    mask = torch.tensor([[0, 0, 1]])
    for kwargs in (dict(max_new_tokens=255), dict(max_length=258), dict(max_new_tokens=257, attention_mask=mask)):
        with pytest.raises(ValueError, match=rf"{next(iter(kwargs))}.*{255 if 'attention_mask' not in kwargs else 257}.*256 positions"):
            generate(model, IDS, **kwargs)
    with pytest.raises(ValueError, match="256 positions"):
        generate(model, inputs_embeds=torch.randn(1, 200, 128), max_new_tokens=60)
    with pytest.raises(ValueError, match="prompt of 300"):
        generate(model, torch.ones(1, 300, dtype=torch.long), max_new_tokens=1)
    assert model.calls == 0
    assert generate(model, IDS, max_new_tokens=254, eos_token_id=None).shape == (1, 257)  # the last token is never read
    padded = generate(model, IDS, max_new_tokens=256, attention_mask=mask, eos_token_id=None)
    assert padded.shape == (1, 259)
    long = torch.ones(1, 250, dtype=torch.long)
    assert generate(model, long, eos_token_id=None).shape == (1, 256)  # nothing was asked for, so it ends in time


# ------------------------------------------------------------------ scores that say nothing

class From(LogitsProcessor):
    "From the third new token on all scores are `value`."

    def __init__(self, value):
        self.value = value

    def __call__(self, input_ids, scores):
        return torch.full_like(scores, self.value) if input_ids.shape[1] >= 5 else scores


HOW = dict(greedy=dict(), sample=dict(do_sample=True), beams=dict(num_beams=3), drawn=dict(num_beams=3, do_sample=True),
           drafts=dict(assistant_model=1), drawn_drafts=dict(assistant_model=1, do_sample=True), batch=dict(batch=True),
           no_end=dict(eos_token_id=None), scores=dict(output_scores=True, return_dict_in_generate=True))


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_nan_and_infinity_are_named_with_their_token(ours, how, value):
    kwargs = dict(HOW[how])
    ids = IDS.expand(2, -1) if kwargs.pop("batch", False) else IDS
    if "assistant_model" in kwargs:
        kwargs["assistant_model"] = ours
    token = "1 or a later one" if how == "drawn_drafts" else "3"
    with pytest.raises(ValueError, match=f"new token {token} can't be chosen.*{'forbidden' if value == -INF else 'NaN or infinite'}"):
        run(ours, ids, logits_processor=[From(value)], max_new_tokens=40, **kwargs)


def test_a_broken_model_is_named_at_its_first_token(ours):
    import copy

    broken = copy.deepcopy(ours)
    with torch.no_grad():
        broken.transformer.h[1].ln_1.weight[3] = NAN
    model = Counted(broken)
    for kwargs in (dict(), dict(do_sample=True), dict(num_beams=2), dict(eos_token_id=None)):
        model.calls = 0
        with pytest.raises(ValueError, match="new token 1 can't be chosen.*dtype"):
            generate(model, IDS, max_new_tokens=50, **kwargs)
        assert model.calls == 1
    assert broken.generate(IDS, remove_invalid_values=True, max_new_tokens=2).shape[1] >= 4


def test_finished_rows_may_have_no_choice(ours):
    class Ended(LogitsProcessor):  # the first row must end at once, and then has nothing left to write
        def __call__(self, input_ids, scores):
            scores = scores.clone()
            scores[0] = -INF
            if input_ids.shape[1] == 3:
                scores[0, 0] = 1.0
            return scores

    rows = run(ours, IDS.expand(2, -1), logits_processor=[Ended()], max_new_tokens=5)
    assert rows.tolist() == [[33, 447, 289, 0, 0, 0, 0, 0], PLAIN]


def test_no_step_waits_for_the_scores(ours):
    "Looks at values that live on the device: a few for many tokens, and none for each"
    from torch.utils._python_dispatch import TorchDispatchMode

    class Looks(TorchDispatchMode):
        n = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            self.n += function is torch.ops.aten._local_scalar_dense.default
            return function(*args, **kwargs or {})

    def looks(n):
        with Looks() as seen:
            ours.generate(IDS, max_new_tokens=n, eos_token_id=None)
        return seen.n

    assert looks(130) - looks(70) <= 1  # the one after 128 tokens


# ------------------------------------------------------------------ files

def test_generation_config_writes_only_into_its_folder(tmp_path):
    for name in ("../x", "a/b", "..", "/tmp/x"):
        with pytest.raises(ValueError, match="config_file_name"):
            GenerationConfig().save_pretrained(tmp_path / "in", config_file_name=name)
    assert not list(tmp_path.iterdir())
    GenerationConfig(max_new_tokens=3).save_pretrained(tmp_path, config_file_name="mine.json")
    assert GenerationConfig.from_pretrained(tmp_path, config_file_name="mine.json").max_new_tokens == 3


def test_a_wrong_setting_in_a_file_names_the_file(tmp_path):
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": 2.5}')
    with pytest.raises(ValueError, match="generation_config.json.*eos_token_id.*2.5") as e:
        GenerationConfig.from_pretrained(tmp_path)
    assert isinstance(e.value, OSError)


def test_two_warnings_of_vectors(ours):
    x = torch.randn(1, 2, 128)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        ours.generate(inputs_embeds=x, max_new_tokens=2, repetition_penalty=1.2)
    assert any("inputs_embeds" in str(w.message) and w.filename == __file__ for w in seen)
