"Searching for text: ids, scores and all outputs equal to the reference's on random models, prompts and settings."
import copy
import json
import queue
import random
import threading
import warnings

import pytest
import torch

transformers = pytest.importorskip("transformers")
from minihf.generation.logits import LogitsProcessor, MaxLengthCriteria, StoppingCriteria, TopKLogitsWarper  # noqa: E402
from minihf.generation.config import SETTINGS, GenerationConfig  # noqa: E402
from minihf.generation.decode import Feed  # noqa: E402
from minihf.generation.drafts import accept_draft  # noqa: E402
from minihf.generation.generate import GenerationMixin, generate  # noqa: E402
from minihf.generation.streamers import TextIteratorStreamer, TextStreamer  # noqa: E402
from minihf.models.gpt2 import GPT2LMHeadModel  # noqa: E402

V, END, PAD = 40, 5, 3
Reference = transformers.GPT2LMHeadModel


def make(seed, folder, **kwargs):
    torch.manual_seed(seed)
    config = transformers.GPT2Config(
        vocab_size=V, n_positions=64, n_embd=16, n_layer=2, n_head=2, bos_token_id=1, eos_token_id=END,
        attn_implementation="eager", **kwargs)
    model = Reference(config).eval()
    with torch.no_grad():  # far from uniform, so that beams and cuts have something to do
        for p in model.parameters():
            p.mul_(6 if p.ndim > 1 else 1)
    model.save_pretrained(folder)
    return model, GPT2LMHeadModel.from_pretrained(folder)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    "Pairs of the same model, the reference's and ours: with a padding token, and without one."
    folder = tmp_path_factory.mktemp("models")
    return make(0, folder / "a", pad_token_id=PAD), make(1, folder / "b")


def both(theirs, ours, seed=0, **kwargs):
    "Results of the two under the same seed; an exception is a result too."
    found = []
    for model in (theirs, ours):
        torch.manual_seed(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                found.append(model.generate(**copy.deepcopy(kwargs)))
            except (ValueError, RuntimeError, IndexError) as e:
                found.append(e)
    return found


def same(a, b, where=""):
    if a is None or b is None:
        assert a is None and b is None, where
    elif torch.is_tensor(a):
        assert a.shape == b.shape, (where, a.shape, b.shape)
        if a.is_floating_point():
            assert torch.allclose(a, b, atol=1e-4, rtol=1e-4), (where, (a - b).abs().max())
        else:
            assert torch.equal(a.long(), b.long()), (where, a.tolist(), b.tolist())
    else:
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b)):
            same(x, y, f"{where}.{i}")


FIELDS = "sequences scores logits attentions hidden_states sequences_scores beam_indices".split()


def real(step, mask, queries):
    "The outputs of a step without the places of padding, where a model may say what it likes"
    if mask is None or mask.all() or step is None:
        return step
    shown = []
    for x in step:
        m = mask.repeat_interleave(len(x) // len(mask), 0)
        m = torch.nn.functional.pad(m, (0, max(0, x.shape[queries] - m.shape[1])), value=1)[:, -x.shape[queries] :]
        shown.append(x.movedim(queries, 1)[m.bool()] if x.shape[queries] >= mask.shape[1] else x)
    return shown


def same_output(a, b, mask=None):
    if torch.is_tensor(a) or torch.is_tensor(b):
        return same(a, b, "ids")
    for name in FIELDS:
        x, y = getattr(a, name, None), getattr(b, name, None)
        if name in ("attentions", "hidden_states") and x is not None and y is not None:
            queries = 2 if name == "attentions" else 1
            x, y = ([real(step, mask, queries) for step in z] for z in (x, y))
        same(x, y, name)


def prompts(r):
    "Ids with padding on the left, and their mask"
    b, s = r.choice([1, 1, 2, 3]), r.randint(1, 7)
    ids = torch.tensor([[r.randrange(V) for _ in range(s)] for _ in range(b)])
    mask = torch.ones_like(ids)
    for i in range(b if b > 1 else 0):
        mask[i, : r.randint(0, s - 1)] = 0
    return dict(input_ids=ids.masked_fill(mask == 0, PAD), attention_mask=mask)


def token(r):
    return r.randrange(V)


SAMPLING = dict(
    temperature=[0.3, 0.7, 1.5], top_k=[0, 1, 5, 20], top_p=[0.1, 0.5, 0.9], min_p=[0.05, 0.3], typical_p=[0.2, 0.8],
    epsilon_cutoff=[0.01, 0.1], eta_cutoff=[0.01, 0.1])
RULES = dict(
    min_length=lambda r: r.randint(1, 12), min_new_tokens=lambda r: r.randint(1, 6),
    repetition_penalty=lambda r: r.choice([0.8, 1.2, 2.0]), no_repeat_ngram_size=lambda r: r.choice([1, 2, 3]),
    bad_words_ids=lambda r: [[token(r) for _ in range(r.randint(1, 2))] for _ in range(r.randint(1, 4))],
    forced_bos_token_id=token, forced_eos_token_id=lambda r: r.choice([5, [5, 7]]),
    suppress_tokens=lambda r: [r.randrange(8, V) for _ in range(3)], begin_suppress_tokens=lambda r: [token(r), token(r)],
    renormalize_logits=lambda r: True, remove_invalid_values=lambda r: True, use_cache=lambda r: False,
    exponential_decay_length_penalty=lambda r: (r.randint(0, 4), r.choice([1.1, 1.5])),
    eos_token_id=lambda r: r.choice([[5, 7], [5, 7, 11], 9]),
    sequence_bias=lambda r: {(token(r),): 2.0, (token(r), token(r)): -3.0})


def settings(r):
    "A random combination of settings"
    k = dict(max_length=r.randint(8, 20)) if r.random() < 0.2 else dict(max_new_tokens=r.randint(1, 12))
    k |= dict(num_beams=r.choice([1, 1, 1, 2, 3, 4]), do_sample=r.random() < 0.5)
    if k["num_beams"] > 1:
        k |= dict(num_return_sequences=r.randint(1, k["num_beams"]), early_stopping=r.choice([False, True, "never"]),
                  length_penalty=r.choice([-1.0, 0.0, 0.5, 1.0, 2.0]))
    elif k["do_sample"]:
        k["num_return_sequences"] = r.choice([1, 1, 2, 3])
    if k["do_sample"]:
        k |= {name: r.choice(values) for name, values in SAMPLING.items() if r.random() < 0.3}
    k |= {name: make(r) for name, make in RULES.items() if r.random() < 0.15}
    if r.random() < 0.5:
        outputs = ("output_scores", "output_logits", "output_attentions", "output_hidden_states")
        k |= dict(return_dict_in_generate=True, **{name: True for name in outputs if r.random() < 0.6})
    return k


@pytest.mark.parametrize("part", range(8))
def test_random_settings(models, part):
    ran = 0
    for seed in range(45 * part, 45 * part + 45):
        r = random.Random(seed)
        pair, kwargs = r.choice(models), settings(r) | prompts(r)
        a, b = both(*pair, seed, **kwargs)
        try:
            if isinstance(a, Exception) or isinstance(b, Exception):
                assert isinstance(a, Exception) and isinstance(b, Exception), (a, b)
            else:
                same_output(a, b, kwargs["attention_mask"])
                ran += 1
        except AssertionError as e:
            raise AssertionError(f"seed {seed}, {kwargs}: {e}") from e
    assert ran >= 35  # the rest are e.g. prompts longer than max_length, refused by both


def test_cache_changes_nothing(models):
    for seed in range(30):
        r = random.Random(1000 + seed)
        kwargs = settings(r) | prompts(r)
        kwargs |= dict(max_new_tokens=8, return_dict_in_generate=True, output_scores=True)
        for name in ("max_length", "output_attentions", "output_hidden_states"):
            kwargs.pop(name, None)
        a, b = (both(r.choice(models)[0], models[seed % 2][1], seed, **kwargs | dict(use_cache=c))[1] for c in (True, False))
        same(a.sequences, b.sequences, f"{seed} {kwargs}")
        same(a.scores, b.scores)


def test_padding_changes_nothing(models):
    ours = models[0][1]
    ids = torch.tensor([[7, 8, 9]])
    padded = torch.tensor([[PAD, PAD, 7, 8, 9], [1, 2, 4, 6, 8]])
    for kwargs in (dict(), dict(num_beams=3), dict(repetition_penalty=1.5)):
        alone = ours.generate(ids, max_new_tokens=6, **kwargs)[0, 3:].tolist()
        row = ours.generate(padded, max_new_tokens=6, **kwargs)[0, 5:].tolist()  # the mask is found from the padding
        assert row[: len(alone)] == alone and set(row[len(alone) :]) <= {PAD}


# ------------------------------------------------------------------ any model

class Table:
    "A model that knows nothing of caches, masks or configs"

    def __init__(self, seed=0, v=V):
        self.logits = torch.randn(v, v, generator=torch.Generator().manual_seed(seed))

    def __call__(self, input_ids):
        class Out:
            logits = self.logits[input_ids]
        return Out


def test_any_callable():
    model, ids = Table(), torch.tensor([[1, 2], [3, 4]])
    want = ids
    for _ in range(5):
        want = torch.cat([want, model.logits[want[:, -1]].argmax(-1, keepdim=True)], 1)
    assert generate(model, ids, max_new_tokens=5).tolist() == want.tolist()
    best = generate(model, ids, num_beams=V, max_new_tokens=2, return_dict_in_generate=True, output_scores=True)
    logp = model.logits.log_softmax(-1)
    for row, score in zip(ids, best.sequences_scores):  # all pairs of tokens were looked at
        total = logp[row[-1]][:, None] + logp
        assert torch.allclose(total.max() / 2, score, atol=1e-5)


def test_wrapped_reference(models):
    "The reference's own model and cache under our loop"
    theirs = models[0][0]

    class Wrapped:
        config, device = theirs.config, theirs.device

        def forward(self, input_ids, attention_mask=None, position_ids=None, past_key_values=None, use_cache=None):
            return theirs(input_ids=input_ids, attention_mask=attention_mask, position_ids=position_ids,
                          past_key_values=past_key_values, use_cache=use_cache)
        __call__ = forward

    for seed in range(20):
        r = random.Random(2000 + seed)
        kwargs = dict(num_beams=r.choice([1, 3]), max_new_tokens=8) | prompts(r)
        want = theirs.generate(**kwargs)
        assert generate(Wrapped(), **kwargs).tolist() == want.tolist()


def test_token_types_and_inputs(models):
    theirs, ours = models[0]
    ids, types = torch.tensor([[7, 8, 9], [4, 6, 2]]), torch.tensor([[0, 1, 1], [2, 2, 0]])
    same(*both(theirs, ours, input_ids=ids, token_type_ids=types, max_new_tokens=6))
    same(*both(theirs, ours, inputs=ids, max_new_tokens=4))
    same(*both(theirs, ours, max_new_tokens=4))  # from the beginning-of-sequence token
    same(*both(theirs, ours, inputs=ids, do_sample=True, num_return_sequences=2))  # 20 tokens


def test_going_on_with_a_cache(models):
    ours = models[0][1]
    ids = torch.tensor([[7, 8, 9]])
    first = ours.generate(ids, max_new_tokens=4, return_dict_in_generate=True, eos_token_id=None)
    more = ours.generate(first.sequences, max_new_tokens=4, past_key_values=first.past_key_values)
    assert more.tolist() == ours.generate(first.sequences, max_new_tokens=4).tolist()


def test_generator_and_global_seed(models):
    ours, ids = models[0][1], torch.tensor([[7, 8, 9]])
    for kwargs in (dict(), dict(num_beams=3)):
        run = lambda **k: ours.generate(ids, do_sample=True, max_new_tokens=10, **kwargs, **k).tolist()
        torch.manual_seed(3)
        want = run()
        torch.manual_seed(0)
        assert run(generator=torch.Generator().manual_seed(3)) == want


def test_transition_scores(models):
    theirs, ours = models[0]
    ids = torch.tensor([[7, 8, 9], [1, 2, 4]])
    for kwargs in (dict(), dict(num_beams=3, num_return_sequences=2), dict(do_sample=True)):
        kwargs |= dict(input_ids=ids, max_new_tokens=9, return_dict_in_generate=True, output_scores=True)
        for normal in (False, True):
            a, b = both(theirs, ours, **kwargs)
            args = lambda o: (o.sequences, o.scores, getattr(o, "beam_indices", None), normal)
            same(theirs.compute_transition_scores(*args(a)), ours.compute_transition_scores(*args(b)))


def test_the_manual_loop(models):
    theirs, ours = models[0]
    texts = []
    for model in (theirs, ours):
        torch.manual_seed(0)
        ids, past = torch.tensor([[7, 8, 9]]), None
        for _ in range(8):
            with torch.no_grad():
                out = model(ids if past is None else ids[:, -1:], past_key_values=past)
            past = out.past_key_values
            probs = torch.softmax(out.logits[:, -1, :] / 0.8, dim=-1)
            ids = torch.cat([ids, torch.multinomial(probs, num_samples=1)], dim=-1)
        texts.append(ids.tolist())
    assert texts[0] == texts[1]


# ------------------------------------------------------------------ the user's own objects

def test_own_processors_and_criteria(models):
    class Only(LogitsProcessor):
        def __call__(self, input_ids, scores):
            return scores.masked_fill(torch.arange(V) % 2 == 0, -1e9)

    class Three(StoppingCriteria):
        def __call__(self, input_ids, scores, **kwargs):
            return torch.full((len(input_ids),), input_ids.shape[1] >= 6)

    class RefThree(transformers.StoppingCriteria):
        __call__ = Three.__call__

    theirs, ours = models[0]
    ids = torch.tensor([[7, 8, 9], [1, 2, 4]])
    for kwargs in (dict(), dict(num_beams=3), dict(do_sample=True, top_p=0.8), dict(do_sample=True, num_beams=2)):
        kwargs |= dict(max_new_tokens=9, return_dict_in_generate=True, output_scores=True)
        torch.manual_seed(0)
        a = theirs.generate(ids, logits_processor=[Only()], stopping_criteria=[RefThree()], **kwargs)
        torch.manual_seed(0)
        b = ours.generate(ids, logits_processor=[Only()], stopping_criteria=[Three()], **kwargs)
        same_output(a, b)
    assert b.sequences.shape[1] == 6
    with pytest.warns(UserWarning, match="takes the place"):
        short = ours.generate(ids, stopping_criteria=[MaxLengthCriteria(5)], max_new_tokens=9)
    assert short.shape[1] == 5
    torch.manual_seed(0)
    a = ours.generate(ids, logits_processor=[TopKLogitsWarper(1)], do_sample=True, max_new_tokens=5)
    assert a.tolist() == ours.generate(ids, max_new_tokens=5).tolist()


def test_prefix_allowed_tokens(models):
    theirs, ours = models[0]
    allowed = lambda batch, ids: [10 + batch, 20 + len(ids), 30] if len(ids) % 2 else [6, 7]
    for kwargs in (dict(), dict(num_beams=2), dict(do_sample=True)):
        kwargs |= dict(input_ids=torch.tensor([[7, 8, 9], [1, 2, 4]]), max_new_tokens=6)
        same(*both(theirs, ours, prefix_allowed_tokens_fn=allowed, **kwargs))
    with pytest.raises(ValueError, match="allows no token"):
        ours.generate(torch.tensor([[7]]), prefix_allowed_tokens_fn=lambda b, ids: [], max_new_tokens=2)


def test_max_time(models):
    out = models[0][1].generate(torch.tensor([[7]]), max_time=0.0, max_new_tokens=50, eos_token_id=None)
    assert out.shape[1] == 2


# ------------------------------------------------------------------ drafts

@pytest.fixture(scope="module")
def drafts(tmp_path_factory):
    pair = make(7, tmp_path_factory.mktemp("drafts"))
    for model in pair:
        model.generation_config.assistant_confidence_threshold = 0.0
        model.generation_config.num_assistant_tokens = 4
    return pair


def test_greedy_drafts_are_exact(models, drafts):
    for seed in range(12):
        r = random.Random(seed)
        kwargs = {k: make(r) for k, make in RULES.items() if r.random() < 0.2 and k != "use_cache"}
        kwargs |= dict(max_new_tokens=r.randint(1, 20), input_ids=torch.tensor([[token(r) for _ in range(r.randint(1, 5))]]))
        ours = models[seed % 2][1]
        _, want = both(models[0][0], ours, **kwargs)
        for assistant in (drafts[1], ours, Table(seed)):
            if isinstance(assistant, Table):
                assistant.config = ours.config
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                got = ours.generate(assistant_model=assistant, **kwargs)
            assert got.tolist() == want.tolist(), (seed, kwargs)


def test_sampled_drafts_equal_the_reference(models, drafts):
    for seed in range(20):
        r = random.Random(seed)
        kwargs = dict(input_ids=torch.tensor([[7, 8, r.randrange(V)]]), max_new_tokens=15, do_sample=True, top_k=r.choice([5, 50]),
                      return_dict_in_generate=True, output_scores=True, output_logits=True)
        theirs, ours = models[seed % 2]
        torch.manual_seed(seed)
        a = theirs.generate(assistant_model=drafts[0], **kwargs)
        torch.manual_seed(seed)
        b = ours.generate(assistant_model=drafts[1], **kwargs)
        same_output(a, b)


def test_accepted_drafts_have_the_right_distribution():
    torch.manual_seed(0)
    q, p = torch.rand(2, 6).softmax(-1), torch.rand(3, 6).mul(3).softmax(-1)
    counts, n = torch.zeros(6, 6), 6_000
    for _ in range(n):
        tokens = accept_draft(torch.stack([torch.multinomial(x, 1)[0] for x in q]), q, p)
        counts[tokens[0], tokens[1] if len(tokens) > 1 else 0] += 1
    first = counts.sum(1) / n
    assert torch.allclose(first, p[0], atol=0.03)


def test_drafts_refused(models, drafts):
    ours, ids = models[0][1], torch.tensor([[1, 2], [3, 4]])
    with pytest.raises(ValueError, match="one text at a time"):
        ours.generate(ids, assistant_model=drafts[1], max_new_tokens=3)
    other = Table()
    other.config = transformers.GPT2Config(vocab_size=9)
    with pytest.raises(ValueError, match="share a vocabulary"):
        ours.generate(ids[:1], assistant_model=other, max_new_tokens=3)
    with pytest.raises(ValueError, match="use_cache"):
        ours.generate(ids[:1], assistant_model=drafts[1], max_new_tokens=3, use_cache=False)


# ------------------------------------------------------------------ streamers

class Bytes:
    "A tokenizer whose tokens are bytes, so that characters are split"

    def decode(self, ids, **kwargs):
        return bytes(ids).decode("utf-8", "replace")


@pytest.mark.parametrize("skip", [False, True])
def test_streamers_show_the_same_pieces(skip):
    from transformers.generation import TextIteratorStreamer as Theirs

    text = "How are you? \nI am  fine: 你好吗 and naïve\nthe end".encode()
    shown = []
    for kind in (Theirs, TextIteratorStreamer):
        streamer = kind(Bytes(), skip_prompt=skip, timeout=1)
        streamer.put(torch.tensor([list(text[:5])]))
        for b in text[5:]:
            streamer.put(torch.tensor([b]))
        streamer.end()
        shown.append(list(streamer))
    assert "".join(shown[1]) == "".join(shown[0]) == text[5 * skip :].decode()
    assert shown[0] == shown[1]


def test_streaming_while_writing(models, capsys):
    ours, ids = models[0][1], torch.tensor([[65, 66]]) % V

    class Letters:
        def decode(self, ids):
            return "".join(chr(97 + i) + " " * (i % 3 == 0) for i in ids)

    want = ours.generate(ids, max_new_tokens=8, do_sample=True, generator=torch.Generator().manual_seed(0))
    run = dict(max_new_tokens=8, do_sample=True, generator=torch.Generator().manual_seed(0))
    streamer = TextIteratorStreamer(Letters(), timeout=10)
    thread = threading.Thread(target=ours.generate, args=(ids,), kwargs=run | dict(streamer=streamer))
    thread.start()
    assert "".join(streamer) == Letters().decode(want[0].tolist())
    thread.join()
    ours.generate(ids, max_new_tokens=8, streamer=TextStreamer(Letters(), skip_prompt=True))
    assert capsys.readouterr().out == Letters().decode(ours.generate(ids, max_new_tokens=8)[0, 2:].tolist()) + "\n"


def test_streamers_refuse_and_time_out(models):
    ours = models[0][1]
    with pytest.raises(ValueError, match="num_beams"):
        ours.generate(torch.tensor([[1]]), num_beams=2, streamer=TextStreamer(Bytes()), max_new_tokens=2)
    with pytest.raises(ValueError, match="one text"):
        ours.generate(torch.tensor([[1], [2]]), streamer=TextStreamer(Bytes()), max_new_tokens=2)
    with pytest.raises(queue.Empty):
        next(TextIteratorStreamer(Bytes(), timeout=0.01))


# ------------------------------------------------------------------ GenerationConfig

def test_config_files_both_ways(tmp_path):
    kwargs = dict(do_sample=True, top_p=0.9, eos_token_id=[1, 2], max_new_tokens=7, bad_words_ids=[[3]], my_own="kept")
    GenerationConfig(**kwargs).save_pretrained(tmp_path / "ours")
    theirs = transformers.GenerationConfig.from_pretrained(tmp_path / "ours")
    assert {k: getattr(theirs, k) for k in kwargs} == kwargs
    theirs.save_pretrained(tmp_path / "theirs")
    ours = GenerationConfig.from_pretrained(tmp_path / "theirs")
    assert {k: getattr(ours, k) for k in kwargs} == kwargs and ours.transformers_version
    assert json.loads((tmp_path / "ours/generation_config.json").read_text()).keys() == kwargs.keys()
    bias = GenerationConfig(sequence_bias={(1, 2): -1.0})
    bias.save_pretrained(tmp_path / "bias")
    assert transformers.GenerationConfig.from_pretrained(tmp_path / "bias").sequence_bias == [[[1, 2], -1.0]]
    assert repr(transformers.GenerationConfig(top_k=3, do_sample=True)) == repr(GenerationConfig(top_k=3, do_sample=True))


def test_config_fields_are_the_references():
    theirs = transformers.GenerationConfig()
    for name, default in theirs._get_default_generation_params().items():
        assert hasattr(GenerationConfig(), name) or name.startswith(("assistant_look", "target_look")), name
        row = SETTINGS.get(name)
        assert row is None or row.heard == "never" or row.default == default, name
    config, rest = GenerationConfig.from_dict({"top_k": 3, "do_sample": True}, return_unused_kwargs=True, top_p=0.5, other=1)
    assert (config.top_k, config.top_p, rest) == (3, 0.5, {"other": 1})
    assert config.update(top_k=4, nothing=2) == {"nothing": 2} and config.top_k == 4


def test_config_comes_with_the_model(tmp_path, models):
    ours = models[0][1]
    assert (ours.generation_config.eos_token_id, ours.generation_config.pad_token_id) == (END, PAD)
    config = GenerationConfig(do_sample=True, top_k=1, max_new_tokens=3, eos_token_id=END, pad_token_id=PAD)
    ours.save_pretrained(tmp_path)
    config.save_pretrained(tmp_path)
    loaded = GPT2LMHeadModel.from_pretrained(tmp_path)
    assert loaded.generation_config == config
    ids = torch.tensor([[7, 8]])
    assert loaded.generate(ids).tolist() == ours.generate(ids, max_new_tokens=3).tolist()
    assert loaded.generate(ids, generation_config=GenerationConfig(max_new_tokens=5)).shape[1] <= 7
    old = GenerationConfig.from_model_config({"eos_token_id": 4, "max_length": 9, "n_layer": 2, "output_scores": True})
    theirs = transformers.GenerationConfig.from_model_config(
        {"eos_token_id": 4, "max_length": 9, "n_layer": 2, "output_scores": True})
    assert (old.eos_token_id, old.max_length, old.return_dict_in_generate) == (
        theirs.eos_token_id, theirs.max_length, theirs.return_dict_in_generate) == (4, 9, True)
    assert not hasattr(old, "n_layer")


@pytest.mark.parametrize("kwargs", [
    dict(early_stopping="maybe"), dict(max_new_tokens=0), dict(num_return_sequences=3),
    dict(num_beams=2, num_return_sequences=3), dict(suppress_tokens=[1], forced_eos_token_id=1), dict(streamer=1)])
def test_config_refuses(kwargs):
    for kind in (GenerationConfig, transformers.GenerationConfig):
        with pytest.raises(ValueError, match=next(iter(kwargs)) if len(kwargs) == 1 else None):
            kind(**kwargs)


@pytest.mark.parametrize("kwargs", [
    dict(temperature=0.5), dict(top_p=0.5), dict(top_k=3), dict(min_p=0.1), dict(typical_p=0.3), dict(length_penalty=2.0),
    dict(early_stopping=True), dict(output_scores=True), dict(pad_token_id=-1)])
def test_settings_without_effect_warn_and_are_not_saved(kwargs, tmp_path):
    with pytest.warns(UserWarning, match="not valid and may be ignored.*" + next(iter(kwargs))):
        config = GenerationConfig(**kwargs)
    with pytest.raises(ValueError, match=next(iter(kwargs))):
        config.save_pretrained(tmp_path)
    assert not list(tmp_path.iterdir())


def test_settings_of_the_file_do_not_warn(models):
    ours = models[0][1]
    own = ours.generation_config
    ours.generation_config = GenerationConfig(do_sample=True, temperature=0.7, top_k=7)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            ours.generate(torch.tensor([[1]]), max_new_tokens=2, do_sample=False)
    finally:
        ours.generation_config = own


# ------------------------------------------------------------------ wrong arguments

class Fails:
    "A model that must not be run"

    def forward(self, input_ids, attention_mask=None):
        raise AssertionError("the model was run")

    __call__ = forward


WRONG = [
    (dict(do_sample=True, temperature=-1.0), "temperature.*-1.0"), (dict(do_sample=True, temperature=0.0), "do_sample=False"),
    (dict(num_beams=0), "num_beams.*0"), (dict(num_beams=2.5), "num_beams"), (dict(num_return_sequences=0), "num_return"),
    (dict(num_return_sequences=2), "num_return_sequences"), (dict(num_beams=2, num_return_sequences=3), "num_beams"),
    (dict(top_p=1.5, do_sample=True), "top_p.*1.5"), (dict(top_p=-0.1, do_sample=True), "top_p"),
    (dict(top_k=-1, do_sample=True), "top_k"), (dict(top_k=2.0, do_sample=True), "top_k"), (dict(min_p=2, do_sample=True), "min_p"),
    (dict(typical_p=0, do_sample=True), "typical_p"), (dict(epsilon_cutoff=1.0, do_sample=True), "epsilon"),
    (dict(eta_cutoff=-1, do_sample=True), "eta"), (dict(repetition_penalty=0), "repetition_penalty"),
    (dict(repetition_penalty="a"), "repetition_penalty"), (dict(no_repeat_ngram_size=-1), "no_repeat"),
    (dict(max_new_tokens=0), "max_new_tokens"), (dict(max_new_tokens=-3), "max_new_tokens.*-3"), (dict(max_length=3), "max_new_tokens"),
    (dict(max_length=2), "3 tokens"), (dict(min_length=-1), "min_length"), (dict(max_time=-1), "max_time"),
    (dict(early_stopping="soon", num_beams=2), "early_stopping.*soon"), (dict(temprature=0.5), "did you mean `temperature`"),
    (dict(foo=1), "foo"), (dict(stop_strings="a"), "tokenizer"), (dict(stop_strings="", tokenizer=1), "stop_strings"),
    (dict(bad_words_ids=[]), "bad_words_ids"), (dict(bad_words_ids=[3]), "bad_words_ids"), (dict(bad_words_ids=[[40]]), "from 0 to 39"),
    (dict(suppress_tokens=[41]), "from 0 to 39"), (dict(forced_eos_token_id=40), "from 0 to 39"),
    (dict(forced_bos_token_id=-1), "from 0 to 39"), (dict(begin_suppress_tokens=[99]), "from 0 to 39"),
    (dict(guidance_scale=2.0), "guidance_scale"), (dict(cache_implementation="static"), "cache_implementation"),
    (dict(penalty_alpha=0.5), "penalty_alpha"), (dict(attention_mask=torch.ones(1, 2)), "attention_mask"),
    (dict(attention_mask=torch.ones(1, 1, 3, 3)), "attention_mask"), (dict(input_ids=torch.tensor([[1]])), "two names"),
]


@pytest.mark.parametrize("kwargs,message", WRONG, ids=lambda x: str(x)[:40])
def test_wrong_arguments_are_refused_before_the_first_step(kwargs, message):
    model = Fails()
    model.config = transformers.GPT2Config(vocab_size=V)
    with warnings.catch_warnings(), pytest.raises(ValueError, match=message):
        warnings.simplefilter("ignore")
        generate(model, torch.tensor([[1, 2, 3]]), **dict(max_new_tokens=4) | kwargs if "max_length" not in kwargs else kwargs)


@pytest.mark.parametrize("inputs,kind,message", [
    (None, ValueError, "bos_token_id"), ([1, 2], TypeError, "tensor"), ({"input_ids": torch.tensor([[1]])}, TypeError, "unpack"),
    (torch.tensor([1, 2]), ValueError, r"ids\[None\]"), (torch.tensor([[1.0]]), ValueError, "float"),
    (torch.zeros(1, 0, dtype=torch.long), ValueError, "no tokens")])
def test_wrong_prompts(inputs, kind, message):
    with pytest.raises(kind, match=message):
        generate(Fails(), inputs, max_new_tokens=2)


def test_warnings(models):
    ours = models[1][1]  # no padding token
    one, two = torch.tensor([[1, 2, 3]]), torch.tensor([[1, 2, 3], [4, 6, 7]])
    warn = lambda text: pytest.warns(UserWarning, match=text)
    with warn("neither `max_new_tokens` nor `max_length`.*20"):
        assert ours.generate(one, eos_token_id=None).shape[1] == 23
    with warn("both `max_new_tokens`=2 and `max_length`=9"):
        ours.generate(one, max_new_tokens=2, max_length=9)
    with warn("both `min_new_tokens`"):
        ours.generate(one, max_new_tokens=2, min_new_tokens=1, min_length=1)
    with warn("can't be reached"):
        ours.generate(one, max_new_tokens=2, min_length=30)
    with warn("do_sample=True"):
        ours.generate(one, max_new_tokens=2, temperature=0.5)
    with warn("num_beams"):
        ours.generate(one, max_new_tokens=2, length_penalty=0.5)
    with warn("attention_mask"):
        ours.generate(two, max_new_tokens=2)
    with warn("padded on the right"):
        ours.generate(two, attention_mask=torch.tensor([[1, 1, 0], [1, 1, 1]]), max_new_tokens=2)
    with warn("generation_config"):
        ours.generate(one, GenerationConfig(max_new_tokens=2), top_k=3, do_sample=True)
    with warnings.catch_warnings():  # and none without a reason
        warnings.simplefilter("error")
        ours.generate(one, max_new_tokens=2)
        ours.generate(two, max_new_tokens=2, attention_mask=torch.ones_like(two), num_beams=2, early_stopping=True)
        ours.generate(one, GenerationConfig(max_new_tokens=2))


def test_nothing_is_left_changed(models):
    ours, ids = models[0][1], torch.tensor([[1, 2, 3]])
    config, before = GenerationConfig(max_new_tokens=3), repr(ours.generation_config)
    ours.train()
    out = ours.generate(ids, config, num_beams=2)
    assert ours.training and not out.requires_grad and torch.is_grad_enabled()
    ours.eval()
    assert repr(config) == repr(GenerationConfig(max_new_tokens=3)) and repr(ours.generation_config) == before
    assert ids.tolist() == [[1, 2, 3]]


def test_a_class_of_ones_own():
    class Mine(torch.nn.Module, GenerationMixin):
        def __init__(self):
            super().__init__()
            self.table, self.config = torch.nn.Embedding(V, V), {"eos_token_id": END, "vocab_size": V}

        def forward(self, input_ids):
            class Out:
                logits = self.table(input_ids)
            return Out

    model = Mine()
    assert model.generation_config.eos_token_id == END
    assert model.generate(torch.tensor([[1]]), max_new_tokens=4, min_new_tokens=4).shape == (1, 5)
    assert model.generate(torch.tensor([[1]]), max_new_tokens=4, num_beams=2, num_return_sequences=2).shape[0] == 2


def test_long_texts_outgrow_the_buffer():
    out = generate(Table(), torch.tensor([[1]]), max_new_tokens=700)
    assert out.shape == (1, 701)
    feed = Feed(Table())
    assert feed(torch.tensor([[1, 2]])).shape == (1, V)


def test_what_leaves_can_be_trained_on(models):
    "Ids, scores and a hook's findings are ordinary tensors, whatever mode the search ran in."
    model, ids, seen = models[0][1], torch.tensor([[7, 8, 9]]), []
    new = model.generate(ids, max_new_tokens=4)
    out = model.generate(ids, max_new_tokens=4, output_scores=True, return_dict_in_generate=True)
    hook = model.transformer.h[0].register_forward_hook(lambda m, i, o: seen.append(o[0]))
    model.generate(ids, max_new_tokens=4)
    hook.remove()
    cache = model(ids).past_key_values
    model.generate(torch.cat([ids, ids], 1), past_key_values=cache, max_new_tokens=2)
    tensors = [new, out.sequences, *out.scores, out.past_key_values[0][0], *seen, cache[0][0]]
    assert len(seen) == 4 and not any(t.is_inference() for t in tensors)
    model(new, labels=new).loss.backward()
