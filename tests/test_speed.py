"Quicker ways to the same numbers: they must be the same, and leave no trace."
import copy
import json
import pickle

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

import minihf
from minihf import speed
from minihf.models.bert import BertForSequenceClassification, BertForTokenClassification, BertModel
from minihf.body import Places
from minihf.models.gpt2 import Conv1D, GPT2LMHeadModel
from minihf.speed import PackedConv1D, PackedLinear, optimize_for_inference

CONFIG = dict(vocab_size=50, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=64,
              max_position_embeddings=40)


def bert(kind=BertModel, seed=0, **kwargs):
    torch.manual_seed(seed)
    return kind(minihf.BertConfig(**CONFIG, **kwargs)).eval()


@pytest.fixture
def always_packed(monkeypatch):
    if not speed.can_pack():
        pytest.skip("this torch has no packed linear layers")
    always = type("Always", (dict,), {"get": lambda self, key: True})
    monkeypatch.setattr(speed, "CHOICES", always())


def ragged(rng, b=5, s=12, side="right"):
    lengths = [rng.randint(1, s - 1) for _ in range(b - 1)] + [s]
    mask = torch.tensor([[1] * n + [0] * (s - n) for n in lengths])
    mask = mask.flip(1) if side == "left" else mask
    return torch.randint(1, 50, (b, s)), mask


def test_places_round_trip(rng):
    _, mask = ragged(rng)
    x, places = torch.randn(5, 12, 4), Places(mask)
    assert places.gather(x).shape == (mask.sum(), 4)
    assert torch.equal(places.spread(places.gather(x)), x * mask[..., None])


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_without_padding_equals_with_it(rng, side, implementation):
    model = bert(attn_implementation=implementation)
    quick = optimize_for_inference(copy.deepcopy(model))
    for _ in range(5):
        ids, mask = ragged(rng, side=side)
        types = torch.randint(0, 2, ids.shape)
        with torch.no_grad():
            a, b = (m(ids, attention_mask=mask, token_type_ids=types) for m in (model, quick))
        real = mask == 1
        torch.testing.assert_close(b.last_hidden_state[real], a.last_hidden_state[real], atol=1e-5, rtol=0)
        assert not b.last_hidden_state[~real].any()
        if side == "right":
            torch.testing.assert_close(b.pooler_output, a.pooler_output, atol=1e-5, rtol=0)


def test_heads_on_top(rng):
    for kind in (BertForSequenceClassification, BertForTokenClassification):
        model = bert(kind)
        quick = optimize_for_inference(copy.deepcopy(model))
        assert quick.bert.skip_padding
        ids, mask = ragged(rng)
        with torch.no_grad():
            a, b = model(ids, mask).logits, quick(ids, mask).logits
        if a.dim() == 3:
            a, b = a[mask == 1], b[mask == 1]
        torch.testing.assert_close(b, a, atol=1e-5, rtol=0)


def test_all_that_cannot_skip_padding_is_as_before(rng):
    model = bert()
    quick = optimize_for_inference(copy.deepcopy(model))
    ids, mask = ragged(rng)
    cases = [dict(output_hidden_states=True), dict(output_attentions=True), {}, dict(return_dict=False)]
    with torch.no_grad():
        for kwargs in cases:
            given = None if not kwargs else mask
            a, b = (m(ids, attention_mask=given, **kwargs) for m in (model, quick))
            for x, y in zip(a if isinstance(a, tuple) else a.to_tuple(), b if isinstance(b, tuple) else b.to_tuple()):
                if torch.is_tensor(x):
                    keep = slice(None) if given is None or x.dim() < 3 or kwargs else mask == 1
                    keep = mask == 1 if kwargs.get("return_dict") is False and x.dim() == 3 else keep
                    torch.testing.assert_close(y[keep], x[keep], atol=1e-5, rtol=0)
    square = mask[:, None, :].expand(-1, 12, -1)
    with torch.no_grad():
        torch.testing.assert_close(quick(ids, square)[0], model(ids, square)[0], atol=1e-5, rtol=0)
    loss = quick(ids, mask)[0][mask == 1].sum()  # with gradients: the ordinary way
    loss.backward()
    assert quick.embeddings.word_embeddings.weight.grad is not None
    with pytest.raises(ValueError, match="positions"), torch.no_grad():
        quick(torch.ones(1, 50, dtype=torch.long), torch.tensor([[1] * 49 + [0]]))


@pytest.mark.parametrize("plain, packed", [(nn.Linear, PackedLinear), (Conv1D, PackedConv1D)])
def test_packed_layers_are_equal_and_follow_their_weights(always_packed, plain, packed):
    torch.manual_seed(0)
    layer = plain(48, 96)
    quick = optimize_for_inference(copy.deepcopy(layer).requires_grad_(True))
    assert type(quick) is packed
    for shape in [(1, 48), (4, 48), (3, 7, 48), (2, 1, 48), (0, 48)]:
        x = torch.randn(shape)
        with torch.no_grad():
            torch.testing.assert_close(quick(x), layer(x), atol=1e-5, rtol=1e-5)
    x = torch.randn(4, 48)
    other = plain(48, 96)
    quick.load_state_dict(other.state_dict())  # in place
    with torch.no_grad():
        torch.testing.assert_close(quick(x), other(x), atol=1e-5, rtol=1e-5)
        quick.weight.mul_(2)
        torch.testing.assert_close(quick(x), 2 * other(x) - other.bias, atol=1e-5, rtol=1e-5)
    out = quick(x.requires_grad_())  # gradients
    out.sum().backward()
    assert quick.weight.grad is not None and x.grad is not None
    double = quick.double()(x.double())
    torch.testing.assert_close(double, quick.train()(x.double()))
    assert type(quick) is plain and not {"packed", "stamp"} & quick.__dict__.keys()


def test_it_leaves_no_trace(tmp_path, always_packed):
    model = bert(BertForSequenceClassification)
    names = list(model.state_dict())
    quick = optimize_for_inference(copy.deepcopy(model))
    ids = torch.randint(1, 50, (4, 6))
    with torch.no_grad():
        expected = model(ids).logits
        torch.testing.assert_close(quick(ids).logits, expected, atol=1e-5, rtol=0)
        for twin in (copy.deepcopy(quick), pickle.loads(pickle.dumps(quick))):
            torch.testing.assert_close(twin(ids).logits, expected, atol=1e-5, rtol=0)
    assert list(quick.state_dict()) == names
    quick.save_pretrained(tmp_path / "head")
    quick.bert.save_pretrained(tmp_path / "body")
    for part, name in (("head", "BertForSequenceClassification"), ("body", "BertModel")):
        assert json.loads((tmp_path / part / "config.json").read_text())["architectures"] == [name]
    back = BertForSequenceClassification.from_pretrained(tmp_path / "head")
    with torch.no_grad():
        torch.testing.assert_close(back(ids).logits, expected, atol=1e-6, rtol=0)
    quick.train()
    kinds = {type(m) for m in quick.modules()}
    assert kinds == {type(m) for m in model.modules()} and not any("packed" in m.__dict__ for m in quick.modules())


def test_generation_is_the_same(always_packed):
    torch.manual_seed(0)
    model = GPT2LMHeadModel(minihf.GPT2Config(vocab_size=60, n_embd=32, n_layer=2, n_head=4, n_positions=64)).eval()
    quick = optimize_for_inference(copy.deepcopy(model))
    assert sum(type(m) is PackedConv1D for m in quick.modules()) == 8
    ids = torch.randint(0, 60, (3, 5))
    for how in (dict(), dict(num_beams=3), dict(do_sample=True)):
        out = []
        for m in (model, quick):
            torch.manual_seed(1)
            out.append(m.generate(ids, max_new_tokens=12, pad_token_id=0, eos_token_id=None, **how))
        assert torch.equal(*out)


def test_without_the_operations_everything_works(monkeypatch):
    monkeypatch.setattr(speed, "can_pack", lambda: False)
    quick = optimize_for_inference(bert())
    assert not any(isinstance(m, PackedLinear) for m in quick.modules())


@pytest.mark.parametrize("packed", [0.5, 2.0])
def test_the_choice_is_measured_in_use(monkeypatch, packed):
    if not speed.can_pack():
        pytest.skip("this torch has no packed linear layers")
    now, ways = [0.0], []

    def linear(layer, x, quick):
        ways.append(quick)
        now[0] += packed if quick else 1.0
        return nn.functional.linear(x, layer.weight, layer.bias)

    for name, value in dict(CHOICES={}, TRIALS={}, linear=linear, perf_counter=lambda: now[0]).items():
        monkeypatch.setattr(speed, name, value)
    layer = optimize_for_inference(nn.Linear(8, 8))
    with torch.no_grad():
        for i in range(13):
            layer(torch.randn(5, 8) if i % 2 else torch.randn(2, 3, 8))  # as many bits
    assert speed.CHOICES == {(8, 8, 3): packed < 1}
    assert ways == [True] + 5 * [False, True] + 2 * [packed < 1]  # the first call packs and is not timed


LOOKS = "__bool__ __int__ __float__ __index__ item tolist numpy cpu nonzero equal".split()


class Looks(TorchFunctionMode):
    "Counts how often the program waits for a value of a tensor"

    seen = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.seen += getattr(func, "__name__", "") in LOOKS
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("how", [
    dict(), dict(do_sample=True, top_k=5, top_p=0.9, temperature=0.7), dict(repetition_penalty=1.2, suppress_tokens=[4]), dict(no_repeat_ngram_size=2, bad_words_ids=[[4, 5]]),
    dict(num_beams=3), dict(num_beams=3, do_sample=True), dict(num_beams=2, length_penalty=2.0, early_stopping=True),
], ids=str)
def test_a_step_of_generation_looks_at_one_value(how):
    "On a GPU every look waits until all that was ordered is done"
    torch.manual_seed(0)
    model = GPT2LMHeadModel(minihf.GPT2Config(vocab_size=60, n_embd=32, n_layer=2, n_head=4, n_positions=64)).eval()
    ids, mask = torch.randint(5, 60, (2, 4)), torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
    looks = []
    for n in (17, 31):  # that all numbers are finite is looked up at the powers of two
        with Looks() as count:
            out = model.generate(ids, attention_mask=mask, max_new_tokens=n, pad_token_id=0, eos_token_id=3, **{"min_new_tokens": n, **how})
        assert out.shape == (2, 4 + n) or "num_beams" in how
        looks.append(count.seen)
    assert looks[1] - looks[0] <= 14


@pytest.mark.parametrize("wrong", [None, "x", 5, [nn.Linear(2, 2)]])
def test_only_models_are_made_quicker(wrong):
    with pytest.raises(TypeError, match="model should be Module"):
        optimize_for_inference(wrong)


def test_a_packed_decoder_reads_several_tokens_behind_a_cache():
    "Without an attention mask there is still the causal one, and nothing is padding"
    torch.manual_seed(0)
    model = GPT2LMHeadModel(minihf.GPT2Config(vocab_size=40, n_positions=32, n_embd=16, n_layer=2, n_head=2)).eval()
    ids = torch.randint(40, (2, 9))
    want = model(ids).logits
    packed = optimize_for_inference(model)
    with torch.inference_mode():
        past = packed(ids[:, :4]).past_key_values
        torch.testing.assert_close(packed(ids[:, 4:], past_key_values=past).logits, want[:, 4:], atol=1e-5, rtol=1e-4)
