"Grouped heads of keys and values, and masks of floats, in both kernels and together with causality."
import pytest
import torch
import torch.nn.functional as F

from minihf.attention import MultiHeadAttention, attend, attention, causal_mask, fused_attend


def qkv(h=6, kv=2, q=5, k=5, b=2, hd=4):
    g = torch.Generator().manual_seed(0)
    shape = lambda heads, n: torch.randn(b, heads, n, hd, generator=g)
    return shape(h, q), shape(kv, k), shape(kv, k)


@pytest.mark.parametrize("kv", [1, 2, 3, 6])
@pytest.mark.parametrize("lengths", [(5, 5), (1, 5), (2, 5)])
@pytest.mark.parametrize("kind", ["none", "bool", "float", "double"])
@pytest.mark.parametrize("causal", [False, True])
def test_both_kernels_equal_torch(kv, lengths, kind, causal):
    q, k, v = qkv(kv=kv, q=lengths[0], k=lengths[1])
    g = torch.Generator().manual_seed(1)
    allowed = torch.rand(2, 1, *lengths, generator=g) > 0.3
    allowed[..., 0] = True  # everybody sees something
    bias = torch.randn(2, 6, *lengths, generator=g)
    mask = {"none": None, "bool": allowed, "float": bias, "double": bias.double()}[kind]
    whole = torch.zeros(2, 6, *lengths)
    if kind == "bool":
        whole = whole.masked_fill(~allowed, -torch.inf)
    elif kind != "none":
        whole = bias
    if causal:
        whole = whole.masked_fill(~causal_mask(*lengths), -torch.inf)
    many = [x.repeat_interleave(6 // kv, 1) for x in (k, v)]
    want = F.scaled_dot_product_attention(q, *many, whole)
    for how in ("sdpa", "eager"):
        mix, weights = attention(q, k, v, mask, causal=causal, implementation=how)
        assert mix.dtype == torch.float32
        torch.testing.assert_close(mix, want, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(fused_attend(q, k, v, mask, causal=causal), want, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 6, lengths[0]))
    mix, again = attention(q, k, v, mask, causal=causal, output_attentions=True)
    assert torch.equal(again, weights)


@pytest.mark.parametrize("kv", [1, 2, 3])
def test_grouped_gradients(kv):
    q, k, v = (x.requires_grad_() for x in qkv(kv=kv))
    found = [torch.autograd.grad(f.square().sum(), (q, k, v)) for f in (attend(q, k, v)[0], fused_attend(q, k, v))]
    for a, b in zip(*found):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_heads_that_do_not_group_are_refused():
    q, k, v = qkv(h=6, kv=4)
    for how in ("sdpa", "eager"):
        with pytest.raises((ValueError, RuntimeError), match="6|heads"):
            attention(q, k, v, implementation=how)


def test_against_the_reference_with_grouped_heads():
    tf = pytest.importorskip("transformers")
    from transformers.models.llama.modeling_llama import eager_attention_forward

    q, k, v = qkv()
    module = torch.nn.Module()
    module.num_key_value_groups, module.training = 3, False
    bias = torch.zeros(2, 1, 5, 5).masked_fill(~causal_mask(5, 5), torch.finfo(torch.float32).min)
    want, weights = eager_attention_forward(module, q, k, v, bias, scaling=4**-0.5)
    mix, ours = attention(q, k, v, causal=True, implementation="eager")
    torch.testing.assert_close(mix.transpose(1, 2), want, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours, weights, atol=1e-5, rtol=1e-5)
    assert tf


@pytest.mark.parametrize("kv", [1, 2, 3])
@pytest.mark.parametrize("causal", [False, True])
def test_the_module_with_grouped_heads(kv, causal):
    "As the module with all heads, in which every group's rows stand as often as the group has queries"
    torch.manual_seed(0)
    few, all_heads = MultiHeadAttention(24, 6, kv_heads=kv), MultiHeadAttention(24, 6)
    assert few.W_k.weight.shape == few.W_v.weight.shape == (4 * kv, 24)
    for name in ("W_q", "W_o"):
        getattr(all_heads, name).load_state_dict(getattr(few, name).state_dict())
    for name in ("W_k", "W_v"):
        state = getattr(few, name).state_dict()
        repeat = lambda p: p.unflatten(0, (kv, 4)).repeat_interleave(6 // kv, 0).flatten(0, 1)
        getattr(all_heads, name).load_state_dict({k: repeat(p) for k, p in state.items()})
    x = torch.randn(2, 5, 24)
    want, want_weights = all_heads(x, causal=causal, output_attentions=True)
    out, weights = few(x, causal=causal, output_attentions=True)
    torch.testing.assert_close(out, want, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(weights, want_weights, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(few(x, causal=causal)[0], want, atol=1e-6, rtol=1e-5)
