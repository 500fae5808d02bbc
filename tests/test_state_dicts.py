"State dicts, gradients and the usual copy loops, between every class here and its twin in the reference."
import pytest
import torch
from torch import nn

import minihf

tf = pytest.importorskip("transformers")

BERT = dict(vocab_size=41, hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=20,
            max_position_embeddings=16, num_labels=2)
DISTILBERT = dict(vocab_size=41, dim=12, n_layers=2, n_heads=3, hidden_dim=20, max_position_embeddings=16, num_labels=2)
GPT2 = dict(vocab_size=41, n_embd=12, n_layer=2, n_head=3, n_positions=16, num_labels=2, pad_token_id=0)
FAMILIES = {"Bert": BERT, "DistilBert": DISTILBERT, "GPT2": GPT2}
CLASSES = [(family, name) for family in FAMILIES for name in sorted(minihf.__all__)
           if name.startswith(family) and ("For" in name or name.endswith("Model"))]
CLASSES = [(family, name) for family, name in CLASSES if not name.endswith("PreTrainedModel")]


def pair(family, name, **more):
    "Ours and the reference's, with different random weights"
    config = {**FAMILIES[family], **more}
    made = []
    for seed, lib in ((1, minihf), (2, tf)):
        torch.manual_seed(seed)
        model = getattr(lib, name)(getattr(lib, f"{family}Config")(**config)).eval()
        with torch.no_grad():
            for p in model.parameters():
                p.normal_(0.0, 0.3)
        made.append(model)
    return made


def scores(model, name):
    g = torch.Generator().manual_seed(0)
    shape = (2, 3, 7) if "MultipleChoice" in name or "DoubleHeads" in name else (2, 7)
    with torch.no_grad():
        out = model(torch.randint(1, 41, shape, generator=g), return_dict=True)
    return [v for k, v in out.items() if isinstance(v, torch.Tensor)]


def test_every_class_is_met():
    assert len(CLASSES) == 9 + 6 + 6, CLASSES
    assert {name for _, name in CLASSES} <= set(dir(tf))


@pytest.mark.parametrize("family, name", CLASSES)
def test_state_dicts_are_interchangeable(family, name):
    ours, theirs = pair(family, name)
    a, b = ours.state_dict(), theirs.state_dict()
    assert [(k, v.shape) for k, v in a.items()] == [(k, v.shape) for k, v in b.items()]
    ours.load_state_dict(b, strict=True)
    for x, y in zip(scores(ours, name), scores(theirs, name), strict=True):
        torch.testing.assert_close(x, y, atol=1e-5, rtol=1e-5)
    other, theirs = pair(family, name)
    theirs.load_state_dict(other.state_dict(), strict=True)
    for x, y in zip(scores(other, name), scores(theirs, name), strict=True):
        torch.testing.assert_close(x, y, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family, name", CLASSES)
def test_parameters_have_the_same_names_order_and_shapes(family, name):
    a, b = ([(k, p.shape, p.stride()) for k, p in m.named_parameters()] for m in pair(family, name))
    assert a == b


@pytest.mark.parametrize("family, name", CLASSES)
def test_copying_weight_by_weight_with_an_assert(family, name):
    "What people write to build a model of their own from a loaded one"
    ours, theirs = pair(family, name)
    source, target = theirs.state_dict(), ours.state_dict()
    with torch.no_grad():
        for key in source:
            assert source[key].shape == target[key].shape
            target[key].copy_(source[key])
    for x, y in zip(scores(ours, name), scores(theirs, name), strict=True):
        torch.testing.assert_close(x, y, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family, name", CLASSES)
def test_gradients_compare_key_by_key(family, name):
    ours, theirs = pair(family, name)
    ours.load_state_dict(theirs.state_dict())
    g = torch.Generator().manual_seed(0)
    shape = (2, 3, 7) if "MultipleChoice" in name or "DoubleHeads" in name else (2, 7)
    ids = torch.randint(1, 41, shape, generator=g)
    for model in (ours, theirs):
        out = model(ids, return_dict=True)
        sum(v.square().sum() for v in out.values() if isinstance(v, torch.Tensor)).backward()
    b = dict(theirs.named_parameters())
    for key, p in ours.named_parameters():
        assert (p.grad is None) == (b[key].grad is None), key
        if p.grad is not None:
            worst = b[key].grad.abs().max().clamp(min=1.0).item()
            torch.testing.assert_close(p.grad / worst, b[key].grad / worst, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family, name", CLASSES)
def test_a_submodule_more_changes_nothing(family, name):
    "An adapter, a probe or a hook's own module may hang on any module of a model"
    ours, _ = pair(family, name)
    want = scores(ours, name)
    for module in list(ours.modules()):
        if not isinstance(module, (nn.ModuleList, nn.ModuleDict, nn.Sequential)):
            module.add_module("adapter", nn.Linear(3, 3))
    for x, y in zip(scores(ours, name), want, strict=True):
        assert torch.equal(x, y)


@pytest.mark.parametrize("family, name", CLASSES)
def test_layers_may_be_wrapped_and_replaced(family, name):
    "LoRA and its kin put another module in the place of a matrix"

    class Wrapped(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner, self.calls = inner, 0

        def forward(self, x):
            self.calls += 1
            return self.inner(x)

    ours, _ = pair(family, name)
    want = scores(ours, name)
    kinds = (nn.Linear, minihf.models.gpt2.Conv1D, nn.LayerNorm)
    wrapped = []
    for module in list(ours.modules()):
        for key, child in list(module.named_children()):
            if isinstance(child, kinds):
                module.add_module(key, new := Wrapped(child))
                wrapped.append(new)
    for x, y in zip(scores(ours, name), want, strict=True):
        assert torch.equal(x, y)
    assert all(w.calls == 1 for w in wrapped)


def test_pruning_and_parametrising_a_matrix():
    from torch.nn.utils import parametrize, prune

    ours, _ = pair("GPT2", "GPT2LMHeadModel")
    layer = ours.transformer.h[0].attn.c_attn
    prune.random_unstructured(layer, "weight", amount=0.5)
    x = torch.randn(2, 3, 12)
    torch.testing.assert_close(layer(x), x @ layer.weight + layer.bias)
    assert (layer.weight == 0).sum() == layer.weight.numel() // 2

    class Double(nn.Module):
        def forward(self, w):
            return 2 * w

    layer = ours.transformer.h[0].mlp.c_fc
    before = layer.weight.detach().clone()
    parametrize.register_parametrization(layer, "weight", Double())
    torch.testing.assert_close(layer(x), x @ (2 * before) + layer.bias)
