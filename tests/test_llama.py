"Llama and rotary positions against the reference: every head, every kind of positions, caches, padding, gradients, searches, files; GGUF files."
import random

import pytest
import torch
import transformers as T
from minihf.config import LlamaConfig
from minihf.models import llama as L

TOL = dict(atol=1e-5, rtol=1e-4)
STRETCHED = dict(factor=4.0, original_max_position_embeddings=8)
ROPE = dict(
    default={}, linear=dict(factor=2.0), dynamic=dict(factor=3.0), yarn=STRETCHED,
    llama3=STRETCHED | dict(low_freq_factor=1.0, high_freq_factor=4.0))


def sizes(seed, **more):
    "A random small architecture"
    r = random.Random(seed)
    kv, groups, hd = r.choice([1, 2]), r.choice([1, 2, 3]), r.choice([4, 8])
    return dict(
        vocab_size=r.choice([30, 50]), hidden_size=kv * groups * 8, intermediate_size=r.choice([12, 24]), num_hidden_layers=r.randint(1, 3),
        num_attention_heads=kv * groups, num_key_value_heads=kv, head_dim=r.choice([None, hd]), max_position_embeddings=16,
        attention_bias=r.random() < 0.5, mlp_bias=r.random() < 0.5, tie_word_embeddings=r.random() < 0.5, initializer_range=0.3,
        pad_token_id=0, rms_norm_eps=1e-5) | more


def pair(name="LlamaForCausalLM", seed=0, attn="sdpa", **more):
    "Our model and the reference's with the same weights"
    kw = sizes(seed, **more) | dict(attn_implementation=attn)
    torch.manual_seed(seed)
    ref = getattr(T, name)(T.LlamaConfig(**kw)).eval()
    ours = getattr(L, name)(LlamaConfig(**kw)).eval()
    ours.load_state_dict(ref.state_dict())
    return ours, ref


def inputs(seed=0, s=9):
    "Three rows: padded on the right, on the left, and whole"
    ids = torch.randint(1, 30, (3, s), generator=torch.Generator().manual_seed(seed))
    ids[0, 6:], ids[1, :2] = 0, 0
    return dict(input_ids=ids, attention_mask=(ids != 0).long())


def close(a, b, real=None):
    assert list(a.keys()) == list(b)
    for k in set(b) - {"past_key_values"}:
        for x, y in zip(a[k], b[k]) if isinstance(b[k], tuple) else [(a[k], b[k])]:
            torch.testing.assert_close(x, y, **TOL)


LABELS = dict(
    LlamaModel={}, LlamaForCausalLM=dict(labels=inputs()["input_ids"]), LlamaForSequenceClassification=dict(labels=torch.tensor([0, 2, 1])),
    LlamaForTokenClassification=dict(labels=inputs()["input_ids"] % 3),
    LlamaForQuestionAnswering=dict(start_positions=torch.tensor([3, 0, 4]), end_positions=torch.tensor([5, 2, 80])))


@pytest.mark.parametrize("name", LABELS)
@pytest.mark.parametrize("attn", ["sdpa", "eager"])
def test_heads_losses_states_and_gradients(name, attn):
    for seed in range(3):
        ours, ref = pair(name, seed, attn, num_labels=3)
        assert {k: v.shape for k, v in ours.state_dict().items()} == {k: v.shape for k, v in ref.state_dict().items()}
        x = inputs(seed) | LABELS[name]
        x["attention_mask"] = torch.ones_like(x["attention_mask"]) if attn == "eager" else x["attention_mask"]
        extra = dict(output_hidden_states=True, output_attentions=attn == "eager")
        mine, theirs = ours(**x, **extra), ref(**x, **extra)
        real = x["attention_mask"].bool()
        if attn == "sdpa":  # what padding itself sees differs between kernels; everything read off real tokens doesn't
            pairs = zip(mine.hidden_states, theirs.hidden_states)
            assert all(torch.allclose(a[real], b[real], atol=1e-5) for a, b in pairs)
        else:
            close(mine, theirs)
        if LABELS[name] and attn == "eager":
            mine.loss.backward()
            theirs.loss.backward()
            for (k, p), q in zip(ours.named_parameters(), ref.parameters()):
                torch.testing.assert_close(p.grad, q.grad, **TOL, msg=k)


@pytest.mark.parametrize("kind", ROPE)
def test_every_kind_of_positions_in_one_call_and_step_by_step(kind):
    for seed in range(3):
        ours, ref = pair(seed=seed, rope_parameters=dict(ROPE[kind], rope_type=kind, rope_theta=100.0))
        ids = inputs(seed, 24)["input_ids"][2:]  # longer than max_position_embeddings=16
        torch.testing.assert_close(ours(ids).logits, ref(ids).logits, **TOL)
        how = dict(max_new_tokens=12, do_sample=False, attention_mask=torch.ones_like(ids[:, :10]), eos_token_id=None, pad_token_id=0)
        assert ours.generate(ids[:, :10], **how).tolist() == ref.generate(ids[:, :10], **how).tolist()
        past = ours(ids[:, :10]).past_key_values
        theirs = ref(ids[:, :10]).past_key_values
        torch.testing.assert_close(
            ours(ids[:, 10:], past_key_values=past).logits, ref(ids[:, 10:], past_key_values=theirs).logits, **TOL)


def test_rope_in_files_of_all_ages():
    for old, new in ((dict(rope_theta=5e5), {}), (dict(rope_theta=100.0, rope_scaling=dict(type="linear", factor=2.0)), {}),
                     (dict(rope_scaling=dict(rope_type="llama3", **ROPE["llama3"])), {}), ({}, {})):
        mine, theirs = LlamaConfig(**old), T.LlamaConfig(**old)
        assert mine.rope_parameters == theirs.rope_parameters
        assert LlamaConfig(**mine.to_dict()).rope_parameters == mine.rope_parameters
    for wrong in (dict(rope_type="longrope"), dict(rope_type="linear"), dict(rope_type="linear", factor="2"), dict(rope_type="default", partial_rotary_factor=0.5),
                  dict(rope_type=5), dict(rope_theta=-1.0), dict(rope_type="llama3", factor=2.0)):
        with pytest.raises(ValueError, match="rope|rotary"):
            LlamaConfig(rope_parameters=wrong)


def test_searches_and_padding():
    for seed in range(3):
        ours, ref = pair(seed=seed)
        x = inputs(seed)
        x["input_ids"][0], x["attention_mask"][0] = x["input_ids"][0].roll(3), x["attention_mask"][0].roll(3)  # padding on the left
        for how in (dict(do_sample=False), dict(do_sample=True, top_k=5), dict(num_beams=3, do_sample=False)):
            how |= dict(max_new_tokens=6, eos_token_id=2, pad_token_id=0)
            torch.manual_seed(0)
            mine = ours.generate(**x, **how)
            torch.manual_seed(0)
            assert mine.tolist() == ref.generate(**x, **how).tolist()


def test_first_weights_files_both_ways_and_bfloat16(tmp_path):
    for seed in range(3):
        kw = sizes(seed)
        torch.manual_seed(seed)
        ref = T.LlamaForCausalLM(T.LlamaConfig(**kw))
        torch.manual_seed(seed)
        ours = L.LlamaForCausalLM(LlamaConfig(**kw))
        for k, v in ref.state_dict().items():
            torch.testing.assert_close(ours.state_dict()[k], v, rtol=0, atol=0, msg=k)
        ref.save_pretrained(tmp_path / "theirs", max_shard_size="5KB")
        ours.save_pretrained(tmp_path / "ours")
        ids = inputs(seed)["input_ids"][2:]
        again, back = L.LlamaForCausalLM.from_pretrained(tmp_path / "theirs"), T.LlamaForCausalLM.from_pretrained(tmp_path / "ours")
        torch.testing.assert_close(again(ids).logits, ref.eval()(ids).logits, **TOL)
        torch.testing.assert_close(back(ids).logits, ref(ids).logits, **TOL)
        torch.testing.assert_close(ours.eval().bfloat16()(ids).logits, ref.bfloat16()(ids).logits, atol=2e-2, rtol=2e-2)
