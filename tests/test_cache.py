"The key-value cache: equal to the reference's, in every mode, through everything decoding does to it."
import copy
import pickle
import random

import pytest
import torch

from minihf.cache import DynamicCache, LayerCache, as_cache

transformers = pytest.importorskip("transformers")


def pair(s, b=2, h=3, hd=4, dtype=torch.float32):
    return torch.randn(2, b, h, s, hd).to(dtype).unbind(0)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
@pytest.mark.parametrize("seed", range(5))
def test_any_sequence_of_operations_equals_the_reference(seed, mode):
    torch.manual_seed(seed)
    r, b = random.Random(seed), 2
    ours, theirs = DynamicCache(), transformers.DynamicCache()
    with mode():
        for step in range(60):
            what = r.choice(["update"] * 6 + ["crop", "reorder", "select", "repeat"])
            if what == "update" or ours.get_seq_length() < 3:
                s = r.choice([1, 1, 1, 2, 7])
                for i in range(2):
                    k, v = pair(s, b)
                    got, want = ours.update(k, v, i), theirs.update(k, v, i)
                    assert torch.equal(got[0], want[0]) and torch.equal(got[1], want[1])
            elif what == "crop":
                n = r.randrange(0, 3)
                ours.crop(-n), theirs.crop(-n)
            elif what == "reorder":
                idx = torch.tensor([r.randrange(b) for _ in range(b)])
                ours.reorder_cache(idx), theirs.reorder_cache(idx)
            elif what == "select":
                idx = torch.tensor(sorted(r.sample(range(b), r.randint(1, b))))
                ours.batch_select_indices(idx), theirs.batch_select_indices(idx)
                b = len(idx)
            elif b < 8:
                ours.batch_repeat_interleave(2), theirs.batch_repeat_interleave(2)
                b *= 2
            assert ours.get_seq_length() == theirs.get_seq_length()
            for (k, v), (tk, tv, *_) in zip(ours, theirs):
                assert torch.equal(k, tk) and torch.equal(v, tv)


def test_steps_write_in_place_and_moves_are_rare():
    layer, places = LayerCache(), set()
    with torch.no_grad():
        for _ in range(1000):
            k, _ = layer.update(*pair(1, 1))
            places.add(k.data_ptr())
    assert layer.length == 1000 and len(places) <= 11


def test_the_first_tokens_of_a_fused_projection_are_kept_without_a_copy():
    layer, kv = LayerCache(), torch.randn(2, 1, 3, 5, 4)
    with torch.no_grad():
        assert layer.append(kv).data_ptr() == kv.data_ptr()
        kept = kv.clone()
        layer.append(torch.randn(2, 1, 3, 1, 4))
        layer.crop(-2)
        layer.append(torch.zeros(2, 1, 3, 1, 4))
    assert torch.equal(kv, kept), "what the caller gave must never be written"


def test_gradients_through_many_steps():
    torch.manual_seed(0)
    x = torch.randn(2, 1, 1, 6, 4, requires_grad=True)
    layer, total = LayerCache(), 0.0
    for piece in x.split(1, dim=3):
        k, v = layer.update(*piece.unbind(0))
        total = total + (k.exp() * v).sum()
    total.backward()
    n = torch.arange(6, 0, -1.0)[:, None]
    assert torch.allclose(x.grad[0], n * x[0].exp() * x[1], atol=1e-6)


def test_gradients_survive_later_steps_without_them():
    layer = LayerCache()
    with torch.no_grad():
        layer.update(*pair(3))
        layer.update(*pair(1))
    k0, v0 = pair(1)
    k0.requires_grad_()
    k, v = layer.update(k0, v0)
    loss = (k.square() * v).sum()
    with torch.no_grad():
        for _ in range(5):
            layer.update(*pair(1))
    loss.backward()
    assert torch.allclose(k0.grad, 2 * k0 * v0)


@pytest.mark.parametrize("order", [(torch.inference_mode, torch.no_grad), (torch.no_grad, torch.inference_mode),
                                   (torch.inference_mode, torch.enable_grad)])
def test_modes_mix(order):
    torch.manual_seed(0)
    pieces, layer = [pair(n) for n in (4, 1, 1, 1, 1, 1)], LayerCache()
    for i, (k, v) in enumerate(pieces):
        with order[i % 2 if i else 0]():
            got, _ = layer.update(k, v)
            layer.reorder(torch.tensor([0, 1]))
    assert torch.equal(got, torch.cat([k for k, _ in pieces], 2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_the_type_is_that_of_the_first_tokens(dtype):
    layer = LayerCache()
    with torch.no_grad():
        layer.update(*pair(3, dtype=dtype))
        k, v = layer.update(*pair(1, dtype=dtype))
    assert k.dtype == v.dtype == dtype


def test_the_device_is_that_of_the_first_tokens():
    layer = LayerCache()
    with torch.no_grad():
        for s in (3, 1, 1):
            k, _ = layer.update(*torch.empty(2, 2, 3, s, 4, device="meta").unbind(0))
    assert k.device.type == "meta" and k.shape == (2, 3, 5, 4)


def test_crop():
    def cropped(n):
        layer = LayerCache()
        with torch.no_grad():
            layer.update(*pair(5))
            layer.update(*pair(1))
        layer.crop(n)
        return layer.get_seq_length(), layer.keys.shape[2]

    assert [cropped(n) for n in (-2, 4, 0, 9, -9)] == [(4, 4), (4, 4), (6, 6), (6, 6), (0, 0)]


def test_other_batch_is_refused_and_changes_nothing():
    for grad in (torch.no_grad, torch.enable_grad):
        layer = LayerCache()
        with grad():
            layer.update(*pair(5, b=4))
            with pytest.raises(ValueError, match="holds 4 sequences and the input has 1"):
                layer.update(*pair(1, b=1))
        assert layer.get_seq_length() == 5


def test_selecting_by_a_mask():
    cache = DynamicCache([pair(3, b=3)])
    want = cache[0][0][[0, 2]]
    cache.batch_select_indices(torch.tensor([True, False, True]))
    assert torch.equal(cache[0][0], want)


def test_pairs_in_and_out():
    pairs = tuple(pair(4) for _ in range(3))
    cache = as_cache(pairs, 3)
    assert len(cache) == 3 and cache.get_seq_length() == 4 and as_cache(cache, 3) is cache
    for (k, v), (k2, v2) in zip(cache, pairs):
        assert torch.equal(k, k2) and torch.equal(v, v2)
    assert torch.equal(cache[1][1], pairs[1][1]) and torch.equal(cache.layers[2].keys, pairs[2][0])


def test_empty_and_reset():
    cache = DynamicCache()
    assert len(cache) == 0 and cache.get_seq_length() == 0
    cache.reorder_cache(torch.tensor([0])), cache.crop(-1), cache.batch_repeat_interleave(2)
    cache = as_cache(None, 2)
    assert [k for k, _ in cache] == [None, None]
    with torch.no_grad():
        cache.update(*pair(3), 0)
        cache.reset()
        assert cache.get_seq_length() == 0
        assert cache.update(*pair(2, b=5), 0)[0].shape == (5, 3, 2, 4)


def test_layers_of_a_config():
    from minihf.config import GPT2Config

    assert len(DynamicCache(config=GPT2Config(n_layer=5))) == 5


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))])
def test_a_copy_goes_its_own_way(clone):
    cache = DynamicCache()
    with torch.no_grad():
        cache.update(*pair(3), 0)
        cache.update(*pair(1), 0)
        other = clone(cache)
        k, _ = other.update(*pair(1), 0)
        mine, _ = cache.update(*pair(1), 0)
    assert torch.equal(k[:, :, :4], mine[:, :, :4]) and not torch.equal(k, mine)


def test_all_caches_have_one_name():
    import minihf
    from minihf.cache_utils import Cache, DynamicCache as Same

    assert minihf.Cache is Cache and minihf.DynamicCache is Same and isinstance(DynamicCache(), minihf.Cache)
