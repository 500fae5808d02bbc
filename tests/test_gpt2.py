"GPT-2: outputs, losses, gradients, attention and files equal to the reference's."
import itertools
import random

import pytest
import torch

from minihf.body import Along
from minihf.cache import DynamicCache
from minihf.config import GPT2Config
from minihf.models import gpt2

tf = pytest.importorskip("transformers")
from safetensors.torch import load_file, save_file  # noqa: E402

SIZES = dict(vocab_size=61, n_positions=40, n_embd=32, n_layer=3, n_head=4)
HEADS = ("GPT2Model", "GPT2LMHeadModel", "GPT2DoubleHeadsModel", "GPT2ForSequenceClassification",
         "GPT2ForTokenClassification", "GPT2ForQuestionAnswering")


def twins(folder, head="GPT2LMHeadModel", impl="eager", **config):
    "The reference's model with random weights, and ours loaded from its folder"
    torch.manual_seed(0)
    config = {**SIZES, "initializer_range": 0.3, **config}  # large weights: mistakes show
    theirs = getattr(tf, head)(tf.GPT2Config(**config, attn_implementation=impl)).eval()
    for p in theirs.parameters():
        if p.dim() == 1:
            torch.nn.init.normal_(p, std=0.3)
    theirs.save_pretrained(folder)
    ours, info = getattr(gpt2, head).from_pretrained(folder, attn_implementation=impl, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    return ours, theirs


def close(a, b, tol=1e-5):
    assert a.shape == b.shape
    worst = (a - b).abs().max().item()
    assert worst <= tol * max(1.0, b.abs().max().item()), worst


def ids_of(*shape, seed=0):
    return torch.randint(SIZES["vocab_size"], shape, generator=torch.Generator().manual_seed(seed))


def masks():
    left, right, hole = torch.ones(3, 3, 9, dtype=torch.long).unbind(0)
    left[0, :4] = left[2, :1] = 0
    right[0, 5:] = right[1, 8:] = 0
    hole[1, 3:5] = 0
    return dict(none=None, ones=torch.ones(3, 9, dtype=torch.long), left=left, right=right, hole=hole)


def random_config(seed):
    r = random.Random(seed)
    h = r.choice([1, 2, 3, 4])
    return dict(
        vocab_size=61, n_positions=r.choice([16, 40]), n_head=h, n_embd=h * r.choice([4, 6, 16]),
        n_layer=r.choice([1, 2, 3]), n_inner=r.choice([None, None, 20]),
        activation_function=r.choice(["gelu_new", "gelu", "relu", "silu", "tanh", "gelu_fast", "quick_gelu"]),
        layer_norm_epsilon=r.choice([1e-5, 1e-3]), scale_attn_weights=r.random() < 0.7,
        scale_attn_by_inverse_layer_idx=r.random() < 0.4, reorder_and_upcast_attn=r.random() < 0.4,
        tie_word_embeddings=r.random() < 0.7)


@pytest.mark.parametrize("impl", ["eager", "sdpa"])
@pytest.mark.parametrize("seed", range(10))
def test_everything_equal_on_random_configs(seed, impl, tmp_path):
    ours, theirs = twins(tmp_path, impl=impl, **random_config(seed))
    ids = ids_of(3, 9, seed=seed)
    for name, mask in masks().items():
        args = dict(attention_mask=mask, output_hidden_states=True, output_attentions=impl == "eager")
        a, b = theirs(ids, labels=ids, **args), ours(ids, labels=ids, **args)
        real = torch.ones(3, 9).bool() if mask is None else mask.bool()
        close(b.logits[real], a.logits[real])
        keys = [k for k in a if k != "cross_attentions"]  # an empty tuple there
        assert keys == list(b) and len(a.hidden_states) == len(b.hidden_states)
        for x, y in zip(a.hidden_states, b.hidden_states):
            close(y[real], x[real])
        for x, y in zip(a.attentions or (), b.attentions or ()):
            close(y.transpose(1, 2)[real], x.transpose(1, 2)[real])
        if name != "left":  # there the reference's loss includes padded places, which the two kernels fill in differently
            close(b.loss, a.loss)


@pytest.mark.parametrize("impl", ["eager", "sdpa"])
@pytest.mark.parametrize("seed", range(4))
def test_gradients(seed, impl, tmp_path):
    ours, theirs = twins(tmp_path, impl=impl, **random_config(seed))
    ids, labels = ids_of(3, 9), ids_of(3, 9)
    mask = masks()["right"]
    labels = labels.masked_fill(mask == 0, -100)
    for m in (ours, theirs):
        m(ids, attention_mask=mask, labels=labels).loss.backward()
    grads = dict(theirs.named_parameters())
    for name, p in ours.named_parameters():
        want = grads[name].grad
        close(p.grad, want)


def head_inputs(head, ids):
    if head == "GPT2DoubleHeadsModel":
        ids = ids_of(2, 3, 9)
        return dict(input_ids=ids, labels=ids, mc_token_ids=torch.tensor([[8, 1, 0], [3, 4, 5]]),
                    mc_labels=torch.tensor([2, 0]), token_type_ids=ids.flip(-1),
                    attention_mask=torch.ones_like(ids).index_fill(2, torch.tensor([8]), 0))
    labels = {"GPT2LMHeadModel": dict(labels=ids), "GPT2ForTokenClassification": dict(labels=ids % 3),
              "GPT2ForSequenceClassification": dict(labels=torch.tensor([0, 2, 1])),
              "GPT2ForQuestionAnswering": dict(start_positions=torch.tensor([0, 3, 99]),
                                               end_positions=torch.tensor([[2], [99], [8]]))}
    return dict(input_ids=ids, attention_mask=(ids != 0).long(), **labels.get(head, {}))


@pytest.mark.parametrize("impl", ["eager", "sdpa"])
@pytest.mark.parametrize("head", HEADS)
def test_heads_and_both_ways(head, impl, tmp_path):
    ours, theirs = twins(tmp_path / "theirs", head, impl, num_labels=3, pad_token_id=0)
    ids = ids_of(3, 9).clamp(min=1)
    ids[0, 6:] = ids[1, :2] = 0
    inputs = head_inputs(head, ids)
    a, b = theirs(**inputs), ours(**inputs)
    assert list(a.keys()) == list(b.keys())
    for k in a:
        if k != "past_key_values":
            close(b[k], a[k]) if "logits" not in k and "hidden" not in k or a[k].dim() < 3 else None
    for k in ("logits", "last_hidden_state"):
        if k in a and a[k].shape[:2] == ids.shape:
            close(b[k][ids != 0], a[k][ids != 0])
    ours.save_pretrained(tmp_path / "ours")
    again, info = getattr(tf, head).from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    for k, v in theirs.state_dict().items():
        assert torch.equal(v, again.state_dict()[k]), k
    one, two = (load_file(tmp_path / d / "model.safetensors") for d in ("theirs", "ours"))
    assert one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


@pytest.mark.parametrize("kind", ["regression", "multi", "one"])
def test_sequence_classification_losses(kind, tmp_path):
    n = 1 if kind == "regression" else 3
    ours, theirs = twins(tmp_path, "GPT2ForSequenceClassification", num_labels=n, pad_token_id=0)
    labels = {"regression": torch.tensor([0.5, -1.0, 2.0]), "one": torch.tensor([0, 1, 2]),
              "multi": torch.tensor([[0.0, 1, 1], [1, 0, 0], [0, 0, 0]])}[kind]
    a, b = (m(ids_of(3, 9), labels=labels) for m in (theirs, ours))
    close(b.loss, a.loss)
    assert ours.config.problem_type == theirs.config.problem_type


def test_a_batch_without_a_padding_token_is_refused(tmp_path):
    ours, theirs = twins(tmp_path, "GPT2ForSequenceClassification")
    close(ours(ids_of(1, 9)).logits, theirs(ids_of(1, 9)).logits)
    with pytest.raises(ValueError, match="pad_token_id"):
        ours(ids_of(2, 9))


@pytest.mark.parametrize("kind", ["last", "first", "mean", "cls_index"])
@pytest.mark.parametrize("extra", [{}, dict(summary_activation="tanh"), dict(summary_proj_to_labels=False),
                                   dict(summary_use_proj=False)])
def test_double_heads_summaries(kind, extra, tmp_path):
    ours, theirs = twins(tmp_path, "GPT2DoubleHeadsModel", summary_type=kind, **extra)
    ids = ids_of(2, 9)
    a, b = (m(ids) for m in (theirs, ours))
    close(b.mc_logits, a.mc_logits)
    with pytest.raises(NotImplementedError, match="attn"):
        gpt2.GPT2DoubleHeadsModel(GPT2Config(**SIZES, summary_type="attn"))


@pytest.mark.parametrize("impl", ["eager", "sdpa"])
@pytest.mark.parametrize("pieces", [(1,) * 12, (5, 1, 1, 5), (4, 4, 4), (11, 1), (1, 11)])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_cached_equals_uncached(impl, pieces, padded, mode, models):
    ours, theirs = models[impl]
    ids, mask = ids_of(2, 12), torch.ones(2, 12, dtype=torch.long)
    if padded:
        mask[0, :3] = 0
    places = (mask.cumsum(1) - 1).clamp(min=0)
    with mode():
        want = theirs(ids, attention_mask=mask, position_ids=places).logits
        past, start, got = None, 0, []
        for n in pieces:
            end = start + n
            out = ours(ids[:, start:end], attention_mask=mask[:, :end] if padded else None, use_cache=True,
                       position_ids=places[:, start:end] if padded else None, past_key_values=past)
            past, start = out.past_key_values, end
            got.append(out.logits)
        close(torch.cat(got, 1)[mask.bool()], want[mask.bool()])
        close(ours(ids, attention_mask=mask, position_ids=places).logits[mask.bool()], want[mask.bool()])


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return {impl: twins(tmp_path_factory.mktemp(impl), impl=impl) for impl in ("eager", "sdpa")}


def test_a_cache_is_kept_or_not_as_asked(models):
    ours, _ = models["sdpa"]
    ids = ids_of(1, 4)
    assert ours(ids).past_key_values.get_seq_length() == 4
    assert ours(ids, use_cache=False).past_key_values is None
    past = ours(ids).past_key_values
    out = ours(ids, past_key_values=past, use_cache=False)
    assert out.past_key_values is None and past.get_seq_length() == 8
    pairs = tuple((k, v) for k, v in ours(ids).past_key_values)
    out = ours(ids_of(1, 1), past_key_values=pairs)
    assert isinstance(out.past_key_values, DynamicCache) and out.past_key_values.get_seq_length() == 5
    close(out.logits, ours(torch.cat([ids, ids_of(1, 1)], 1)).logits[:, -1:])


def test_gradients_through_a_cache(models):
    ours, theirs = models["sdpa"]
    ids = ids_of(2, 8)
    grads = []
    for cached in (True, False):
        ours.zero_grad()
        if cached:
            first = ours(ids[:, :5], use_cache=True)
            second = ours(ids[:, 5:], past_key_values=first.past_key_values)
            logits = torch.cat([first.logits, second.logits], 1)
        else:
            logits = ours(ids).logits
        logits.square().mean().backward()
        grads.append([p.grad.clone() for p in ours.parameters()])
    for a, b in zip(*grads):
        close(a, b)


@pytest.mark.parametrize("impl", ["eager", "sdpa"])
def test_masks_with_four_axes(impl, models):
    ours, theirs = models[impl]
    ids = ids_of(2, 6)
    allowed = torch.ones(6, 6).tril().bool().expand(2, 1, 6, 6).clone()
    allowed[1, 0, 4, 1] = False
    added = torch.zeros(2, 1, 6, 6).masked_fill(~allowed, torch.finfo(torch.float32).min)
    want = theirs(ids, attention_mask=added).logits
    close(ours(ids, attention_mask=added).logits, want)
    close(ours(ids, attention_mask=allowed).logits, want)


def test_other_inputs(models):
    ours, theirs = models["eager"]
    ids, places = ids_of(2, 6), torch.tensor([[3, 4, 5, 6, 7, 8], [0, 0, 1, 2, 9, 9]])
    for args in (dict(input_ids=ids, token_type_ids=ids.flip(1)), dict(input_ids=ids, position_ids=places),
                 dict(inputs_embeds=torch.randn(2, 6, 32)), dict(input_ids=ids, logits_to_keep=2),
                 dict(input_ids=ids, logits_to_keep=torch.tensor([0, 4])),
                 dict(input_ids=ids, attention_mask=torch.tensor([[1] * 6, [1] * 4 + [0] * 2]).float())):
        close(ours(**args).logits[0], theirs(**args).logits[0])
    a, b = (m(ids, return_dict=False, use_cache=False, labels=ids, output_hidden_states=True) for m in (theirs, ours))
    assert len(a) == len(b) == 3 and len(a[2]) == len(b[2])


def test_attentions_come_with_sdpa_too(models):
    (ours, _), (_, theirs) = models["sdpa"], models["eager"]
    a, b = (m(ids_of(2, 6), output_attentions=True).attentions for m in (theirs, ours))
    for x, y in zip(a, b, strict=True):
        close(y, x)


def test_a_file_as_the_hub_has_it(tmp_path):
    ours, theirs = twins(tmp_path)
    tensors = {k.removeprefix("transformer."): v for k, v in load_file(tmp_path / "model.safetensors").items()}
    for i in range(SIZES["n_layer"]):
        tensors[f"h.{i}.attn.bias"] = torch.ones(40, 40).tril().bool()[None, None]
        tensors[f"h.{i}.attn.masked_bias"] = torch.tensor(-1e4)
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    for head in HEADS[:2]:
        model, info = getattr(gpt2, head).from_pretrained(tmp_path, output_loading_info=True)
        assert not info["missing_keys"] and not info["unexpected_keys"]
    close(model(ids_of(2, 5)).logits, theirs(ids_of(2, 5)).logits)
    assert model.lm_head.weight is model.transformer.wte.weight


def test_loading_copies_nothing_and_keeps_the_layout(tmp_path):
    ours, _ = twins(tmp_path)
    new = gpt2.GPT2LMHeadModel(GPT2Config(**SIZES))
    for a, b in zip(ours.parameters(), new.parameters()):
        assert a.stride() == b.stride()
        assert a.is_contiguous()


@pytest.mark.parametrize("head", HEADS)
def test_same_seed_same_first_weights(head):
    models = []
    for lib, config in ((tf, tf.GPT2Config), (gpt2, GPT2Config)):
        torch.manual_seed(3)
        models.append(getattr(lib, head)(config(**SIZES)).state_dict())
    theirs, ours = models
    assert theirs.keys() == ours.keys()
    for k, v in ours.items():
        assert torch.equal(v, theirs[k]), k


def test_last_matrices_start_smaller():
    model = gpt2.GPT2Model(GPT2Config(**{**SIZES, "n_embd": 128, "n_layer": 8}))
    block = model.h[3]
    for layer, std in ((block.attn.c_attn, 0.02), (block.attn.c_proj, 0.005), (block.mlp.c_fc, 0.02),
                       (block.mlp.c_proj, 0.005)):
        assert abs(layer.weight.std().item() / std - 1) < 0.05 and not layer.bias.any()


def test_checkpointing_gives_the_same_gradients(tmp_path):
    ours, _ = twins(tmp_path, embd_pdrop=0.0, resid_pdrop=0.0, attn_pdrop=0.0)
    ids, grads = ids_of(2, 8), []
    ours.train()
    for on in (False, True):
        ours.gradient_checkpointing_enable() if on else ours.gradient_checkpointing_disable()
        ours.zero_grad()
        out = ours(ids, labels=ids)
        assert (out.past_key_values is None) == on
        out.loss.backward()
        grads.append([p.grad.clone() for p in ours.parameters()])
    for a, b in zip(*grads):
        close(a, b)


def test_dropout_only_in_training(tmp_path):
    ours, _ = twins(tmp_path, embd_pdrop=0.5, resid_pdrop=0.5, attn_pdrop=0.5)
    ids = ids_of(1, 6)
    assert torch.equal(ours(ids).logits, ours(ids).logits)
    ours.train()
    assert not torch.allclose(ours(ids).logits, ours(ids).logits)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("upcast", [False, True])
def test_other_number_types(dtype, upcast, tmp_path):
    if upcast and dtype == torch.float64:
        pytest.skip("the reference raises here")
    ours, theirs = twins(tmp_path, reorder_and_upcast_attn=upcast, initializer_range=0.05)
    a, b = (m.to(dtype)(ids_of(2, 7)).logits for m in (theirs, ours))
    assert b.dtype == dtype
    close(b.double(), a.double(), 1e-10 if dtype == torch.float64 else 2e-2)


def test_upcasting_saves_scores_that_16_bits_cannot_hold():
    x = torch.randn(1, 7, 32, generator=torch.Generator().manual_seed(0))
    for lib, config in ((gpt2, GPT2Config), (tf.models.gpt2.modeling_gpt2, tf.GPT2Config)):
        for upcast in (False, True):
            torch.manual_seed(0)
            c = config(**SIZES, attn_implementation="eager", reorder_and_upcast_attn=upcast)
            layer = lib.GPT2Attention(c, layer_idx=0).eval().half()
            torch.nn.init.normal_(layer.c_attn.weight, std=100.0)
            how = dict(along=Along(output_attentions=True)) if lib is gpt2 else dict(output_attentions=True)
            mix, weights = layer(x.half(), **how)
            assert weights.isfinite().all() == upcast


def test_errors_say_what_is_wrong(models):
    ours, _ = models["sdpa"]
    for error, what, args in (
        (ValueError, "input_ids or inputs_embeds", {}),
        (ValueError, "not both", dict(input_ids=ids_of(1, 3), inputs_embeds=torch.randn(1, 3, 32))),
        (ValueError, "41 tokens.*40 positions", dict(input_ids=ids_of(1, 41))),
        (IndexError, r"input_ids\[0, 1\] is 61", dict(input_ids=torch.tensor([[0, 61]]))),
        (IndexError, r"position_ids.* is 40", dict(input_ids=ids_of(1, 1), position_ids=torch.tensor([[40]]))),
        (ValueError, "covers 1 tokens, but there are 4", dict(
            input_ids=ids_of(1, 1), attention_mask=torch.ones(1, 1),
            past_key_values=ours(ids_of(1, 3)).past_key_values)),
        (ValueError, "cache holds 1 sequences and the input has 2", dict(
            input_ids=ids_of(2, 1), past_key_values=ours(ids_of(1, 3)).past_key_values))):
        with pytest.raises(error, match=what):
            ours(**args)


def test_a_fully_padded_row_stays_finite(models):
    ids, mask = ids_of(2, 5), torch.tensor([[0] * 5, [1] * 5])
    for impl in models:
        ours, _ = models[impl]
        out = ours(ids, attention_mask=mask)
        assert out.logits.isfinite().all()
        close(out.logits[1], ours(ids[1:]).logits[0])


def test_hooks_on_every_module_are_called(models):
    ours, _ = models["sdpa"]
    called, hooks = set(), []
    for name, m in ours.named_modules():
        hooks.append(m.register_forward_hook(lambda m, i, o, name=name: called.add(name)))
    ours(ids_of(1, 3), position_ids=torch.arange(3)[None])
    [h.remove() for h in hooks]
    assert called == {n for n, _ in ours.named_modules()} - {"transformer.h"}


def test_replacing_a_module_takes_effect(tmp_path):
    ours, _ = twins(tmp_path)
    before = ours(ids_of(1, 3)).logits
    ours.transformer.h[1].mlp.c_fc = torch.nn.Linear(32, 128)
    assert not torch.allclose(ours(ids_of(1, 3)).logits, before)


def test_new_tokens(tmp_path):
    ours, _ = twins(tmp_path)
    ours.resize_token_embeddings(70)
    assert ours(torch.tensor([[69]])).logits.shape == (1, 1, 70)
    assert ours.lm_head.weight is ours.transformer.wte.weight and ours.config.vocab_size == 70


def test_generate_goes_through_the_cache(models):
    ours, theirs = models["sdpa"]
    ids, mask = ids_of(2, 5), torch.tensor([[0, 0, 1, 1, 1], [1] * 5])
    for args in (dict(do_sample=False), dict(num_beams=3)):
        a, b = (m.generate(ids, attention_mask=mask, max_new_tokens=8, pad_token_id=0, **args) for m in (theirs, ours))
        assert a.tolist() == b.tolist()
