"activations, norms, lookups and positions against torch and the reference"
import pytest
import torch
import torch.nn.functional as F
from minihf.layers import (
    ACT2FN, activation, check_ids, feed_forward, gelu_new, layer_norm, lookup, sinusoidal_positions)
from torch import nn


@pytest.mark.parametrize("name", sorted(ACT2FN))
def test_activations_equal_the_reference(name):
    from transformers.activations import ACT2FN as REF

    x = torch.linspace(-15, 15, 1001, requires_grad=True)
    y = torch.linspace(-15, 15, 1001, requires_grad=True)
    ours, theirs = ACT2FN[name](x), REF[name](y)
    torch.testing.assert_close(ours, theirs, atol=2e-6, rtol=1e-5)
    ours.sum().backward(), theirs.sum().backward()
    torch.testing.assert_close(x.grad, y.grad, atol=2e-6, rtol=1e-5)


def test_activation_by_name_or_function():
    assert activation("gelu") is F.gelu and activation(torch.tanh) is torch.tanh
    assert activation("gelu_new") is gelu_new
    with pytest.raises(KeyError, match="gellu.*gelu_new"):
        activation("gellu")


@pytest.mark.parametrize("d,eps", [(1, 1e-12), (7, 1e-12), (32, 1e-5)])
def test_layer_norm(d, eps):
    torch.manual_seed(0)
    norm = nn.LayerNorm(d, eps=eps)
    nn.init.normal_(norm.weight), nn.init.normal_(norm.bias)
    x = torch.randn(2, 3, d) * 10 + 3
    torch.testing.assert_close(layer_norm(x, norm.weight, norm.bias, eps), norm(x), atol=1e-5, rtol=1e-5)


def test_feed_forward():
    up, down, x = nn.Linear(4, 9), nn.Linear(9, 4), torch.randn(2, 3, 4)
    want = F.relu(x @ up.weight.T + up.bias) @ down.weight.T + down.bias
    torch.testing.assert_close(feed_forward(x, up, down, F.relu), want)


@pytest.mark.parametrize("n,d", [(1, 2), (12, 8), (512, 64)])
def test_sinusoids_equal_the_reference(n, d):
    from transformers.models.distilbert.modeling_distilbert import create_sinusoidal_embeddings

    want = nn.Parameter(torch.empty(n, d), requires_grad=False)
    create_sinusoidal_embeddings(n_pos=n, dim=d, out=want)
    torch.testing.assert_close(sinusoidal_positions(n, d), want.data, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("bad,place", [(5, (1, 0)), (-1, (0, 2)), (10**12, (1, 2))])
def test_ids_out_of_range_are_named(bad, place):
    table, ids = nn.Embedding(5, 3), torch.zeros(2, 3, dtype=torch.long)
    assert lookup(table, ids).shape == (2, 3, 3)
    ids[place] = bad
    for f in (lambda: check_ids(ids, 5), lambda: lookup(table, ids)):
        with pytest.raises(IndexError) as e:
            f()
        text = str(e.value)
        assert f"input_ids[{place[0]}, {place[1]}] is {bad}" in text and "0 to 4" in text and "tokenizer" in text


def test_lookup_names_its_argument_and_changes_nothing():
    table = nn.Embedding(5, 3)
    with pytest.raises(IndexError, match=r"token_type_ids\[0\] is 7"):
        lookup(table, torch.tensor([7]), "token_type_ids")
    ids = torch.tensor([[0, 4]])
    assert torch.equal(lookup(table, ids), table(ids))
    lookup(table, ids).sum().backward()
    assert table.weight.grad.sum() == 6
