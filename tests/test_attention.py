"attend against torch's kernel and against the reference, masks, heads"
import pytest
import torch
from minihf.attention import (
    MultiHeadAttention, attend, attention, causal_mask, decoder_mask, fused_attend, merge_heads, padding_mask,
    split_heads)

TOL = dict(atol=1e-6, rtol=1e-5)


def qkv(b=2, h=3, q=5, k=5, hd=4, seed=0):
    g = torch.Generator().manual_seed(seed)
    make = lambda s: torch.randn(b, h, s, hd, generator=g)
    return make(q), make(k), make(k)


def masks(b=2, q=5, k=5):
    pad = torch.ones(b, k, dtype=torch.long)
    pad[0, 3:], pad[-1, :1] = 0, 0
    g = torch.Generator().manual_seed(1)
    three = torch.rand(b, q, k, generator=g) < 0.6
    three[..., 0] = True
    return {"none": None, "2d": padding_mask(pad), "3d": padding_mask(three.long()),
            "causal": causal_mask(q, k), "both": padding_mask(pad) & causal_mask(q, k) | torch.eye(q, k).bool()}


@pytest.mark.parametrize("name", ["none", "2d", "3d", "causal", "both"])
@pytest.mark.parametrize("scale", [None, 1.0, 0.3])
def test_fused_equals_by_hand(name, scale):
    q, k, v = qkv()
    want, weights = attend(q, k, v, masks()[name], scale)
    torch.testing.assert_close(fused_attend(q, k, v, masks()[name], scale), want, **TOL)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, 5))


def test_attend_by_loops():
    q, k, v = qkv()
    mix, weights = attend(q, k, v)
    for b in range(2):
        for h in range(3):
            for i in range(5):
                s = torch.stack([q[b, h, i] @ k[b, h, j] / 2 for j in range(5)])
                w = s.exp() / s.exp().sum()
                torch.testing.assert_close(weights[b, h, i], w, **TOL)
                torch.testing.assert_close(mix[b, h, i], sum(w[j] * v[b, h, j] for j in range(5)), **TOL)


@pytest.mark.parametrize("name", ["none", "2d", "3d"])
def test_equal_to_the_reference(name):
    from transformers import BertConfig
    from transformers.models.bert.modeling_bert import BertSelfAttention

    torch.manual_seed(0)
    ref = BertSelfAttention(BertConfig(hidden_size=12, num_attention_heads=3, attn_implementation="eager")).eval()
    x, mask = torch.randn(2, 5, 12), masks()[name]
    added = None if mask is None else torch.zeros(mask.shape).masked_fill(~mask, torch.finfo(x.dtype).min)
    want, want_weights = ref(x, added)
    mix, weights = attend(*(split_heads(f(x), 3) for f in (ref.query, ref.key, ref.value)), mask)
    torch.testing.assert_close(merge_heads(mix), want, **TOL)
    torch.testing.assert_close(weights, want_weights, **TOL)


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_row_that_sees_nobody_is_finite(implementation, dtype):
    q, k, v = (x.to(dtype).requires_grad_() for x in qkv())
    mask = torch.ones(2, 1, 5, 5, dtype=torch.bool)
    mask[0, 0, 2] = False
    mix, _ = attention(q, k, v, mask, implementation=implementation)
    assert mix.isfinite().all()
    mix.float().square().sum().backward()
    assert all(x.grad.isfinite().all() for x in (q, k, v))


def test_masked_keys_do_not_matter():
    q, k, v = qkv()
    mask = padding_mask(torch.tensor([[1, 1, 1, 0, 0]] * 2))
    for f in (lambda: attend(q, k, v, mask)[0], lambda: fused_attend(q, k, v, mask)):
        before = f()
        k[:, :, 3:], v[:, :, 3:] = 50, -50
        torch.testing.assert_close(f(), before)
        q, k, v = qkv()


def test_float_masks_are_added():
    q, k, v = qkv()
    bias = torch.randn(1, 3, 5, 5)
    assert padding_mask(bias) is bias
    want = (q @ k.mT / 2 + bias).softmax(-1) @ v
    torch.testing.assert_close(attend(q, k, v, bias)[0], want, **TOL)
    torch.testing.assert_close(fused_attend(q, k, v, bias), want, **TOL)


def test_split_heads_keeps_tokens_apart():
    x = torch.arange(2 * 3 * 8).view(2, 3, 8)
    heads = split_heads(x, 4)
    assert heads.shape == (2, 4, 3, 2)
    for b in range(2):
        for h in range(4):
            assert torch.equal(heads[b, h], x[b, :, 2 * h : 2 * h + 2])
    assert torch.equal(merge_heads(heads), x)


def test_padding_mask():
    assert padding_mask(None) is None
    assert padding_mask(torch.ones(2, 4)) is None
    assert padding_mask(torch.ones(2, 4, 4)) is None
    m = padding_mask(torch.tensor([[1, 0]]))
    assert m.shape == (1, 1, 1, 2) and m.dtype == torch.bool
    m4 = torch.ones(1, 2, 2, 2, dtype=torch.long)
    assert torch.equal(padding_mask(m4), m4.bool())
    with pytest.raises(ValueError, match=r"\(2,\)"):
        padding_mask(torch.ones(2))


@pytest.mark.parametrize("q,k", [(1, 1), (1, 4), (3, 3), (2, 5)])
def test_causal_mask(q, k):
    want = [[j <= i + k - q for j in range(k)] for i in range(q)]
    assert torch.equal(causal_mask(q, k)[0, 0], torch.tensor(want))


def test_decoder_mask():
    padded = torch.tensor([[0, 1, 1, 1]])
    assert decoder_mask(None, 4, 4) == (None, True)
    assert decoder_mask(None, 1, 4) == (None, False)
    mask, causal = decoder_mask(padded, 4, 4)
    assert not causal and torch.equal(mask, padding_mask(padded) & causal_mask(4, 4))
    mask, causal = decoder_mask(padded, 2, 4)
    assert not causal and torch.equal(mask, padding_mask(padded) & causal_mask(2, 4))
    mask, causal = decoder_mask(padded, 1, 4)
    assert not causal and torch.equal(mask, padding_mask(padded))
    whole = torch.rand(1, 4, 4) < 0.5  # says everything itself
    assert torch.equal(decoder_mask(whole, 4, 4)[0], whole[:, None])


@pytest.mark.parametrize("k", [5, 7])
def test_attention_picks(k):
    q, keys, v = qkv(k=k)
    want, weights = attend(q, keys, v, causal_mask(5, k))
    got, none = attention(q, keys, v, causal_mask(5, k) if k > 5 else None, causal=k == 5)
    assert none is None
    torch.testing.assert_close(got, want, **TOL)
    got, got_weights = attention(q, keys, v, causal=True, output_attentions=True)
    torch.testing.assert_close(got, want, **TOL)
    torch.testing.assert_close(got_weights, weights, **TOL)
    pad = padding_mask(torch.tensor([[1] * (k - 1) + [0]] * 2))
    both = attend(q, keys, v, causal_mask(5, k) & pad)[0]
    torch.testing.assert_close(attention(q, keys, v, pad, causal=True)[0], both, **TOL)
    with pytest.raises(ValueError, match="'flash'"):
        attention(q, keys, v, implementation="flash")


def test_dropout_acts_on_the_weights():
    torch.manual_seed(0)
    q, k, v = qkv(q=50, k=50)
    weights = attend(q, k, v, dropout=0.5)[1]
    assert 0.4 < (weights == 0).float().mean() < 0.6
    assert attend(q, k, v)[1].min() > 0


def test_meta_device():
    q, k, v = (x.to("meta") for x in qkv())
    mask = padding_mask(torch.ones(2, 5, device="meta"))
    for implementation in ("sdpa", "eager"):
        assert attention(q, k, v, mask, implementation=implementation)[0].shape == (2, 3, 5, 4)
    assert decoder_mask(torch.ones(2, 5, device="meta"), 5, 5, q.device)[0].is_meta


def like_torch(d=12, h=3, **kwargs):
    "Our module and torch's, with the same weights"
    torch.manual_seed(0)
    ours, theirs = MultiHeadAttention(d, h, **kwargs), torch.nn.MultiheadAttention(d, h, batch_first=True, **kwargs)
    parts = zip(theirs.in_proj_weight.chunk(3), theirs.in_proj_bias.chunk(3))
    with torch.no_grad():
        for linear, (weight, bias) in zip((ours.W_q, ours.W_k, ours.W_v), parts):
            bias.normal_()  # torch begins with zeros
            linear.load_state_dict({"weight": weight, "bias": bias})
        theirs.out_proj.bias.normal_()
    ours.W_o.load_state_dict(theirs.out_proj.state_dict())
    return ours, theirs


@pytest.mark.parametrize("name", ["none", "2d", "causal", "both"])
@pytest.mark.parametrize("h", [1, 3, 12])
def test_the_module_equals_torch(name, h):
    ours, theirs = like_torch(h=h)
    x, mask = torch.randn(2, 5, 12), masks()[name]
    ignore = None
    if mask is not None:
        ignore = ~mask.expand(2, h, 5, 5).flatten(0, 1)
    want, want_weights = theirs(x, x, x, attn_mask=ignore, average_attn_weights=False)
    causal = name == "causal"
    out, none = ours(x, None if causal else mask, causal=causal)
    assert none is None
    torch.testing.assert_close(out, want, **TOL)
    again, weights = ours(x, mask, output_attentions=True)
    torch.testing.assert_close(again, want, **TOL)
    torch.testing.assert_close(weights, want_weights, **TOL)
    out.square().sum().backward()
    want.square().sum().backward()
    grads = torch.cat([f.weight.grad for f in (ours.W_q, ours.W_k, ours.W_v)])
    torch.testing.assert_close(grads, theirs.in_proj_weight.grad, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(ours.W_o.weight.grad, theirs.out_proj.weight.grad, atol=1e-5, rtol=1e-4)


def test_the_module_equals_every_layer_of_a_real_checkpoint(minilm):
    import transformers

    bert = transformers.BertModel.from_pretrained(minilm, attn_implementation="eager").eval()
    ours = MultiHeadAttention(384, 12)
    pad = torch.tensor([[1] * 7, [1] * 4 + [0] * 3])
    torch.manual_seed(0)
    with torch.no_grad():
        out = bert(torch.randint(1000, 20000, (2, 7)), pad, output_hidden_states=True, output_attentions=True)
        for layer, x, want_weights in zip(bert.encoder.layer, out.hidden_states, out.attentions):
            names = {"W_q": layer.attention.self.query, "W_k": layer.attention.self.key,
                     "W_v": layer.attention.self.value, "W_o": layer.attention.output.dense}
            for name, linear in names.items():
                getattr(ours, name).load_state_dict(linear.state_dict())
            bias = torch.zeros(2, 1, 1, 7).masked_fill(pad[:, None, None] == 0, torch.finfo(x.dtype).min)
            want = layer.attention.output.dense(layer.attention.self(x, bias)[0])
            got, weights = ours(x, padding_mask(pad), output_attentions=True)
            torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(weights, want_weights, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(ours(x, padding_mask(pad))[0], want, atol=1e-5, rtol=1e-5)


def test_the_module_drops_weights_only_while_training():
    ours, theirs = like_torch(dropout=0.5)
    x = torch.randn(2, 5, 12)
    assert (ours(x, output_attentions=True)[1] == 0).any()
    assert not torch.equal(ours(x)[0], ours(x)[0])
    ours.eval(), theirs.eval()
    torch.testing.assert_close(ours(x)[0], theirs(x, x, x)[0], **TOL)


@pytest.mark.parametrize("sizes", [(12, 5), (12, 4, 3)])
def test_heads_that_do_not_divide_are_refused(sizes):
    with pytest.raises(ValueError, match=f"h={sizes[1]}"):
        MultiHeadAttention(*sizes)
