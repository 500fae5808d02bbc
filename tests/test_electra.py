"ELECTRA's own: replaced tokens, the loss of a pair, writing; the rest is in `test_families.py`"
import pytest
import torch
import transformers as T
from minihf.config import ElectraConfig
from minihf.models import electra as M

from families import TOL, close, inputs, pair, sizes


def test_config_has_the_reference_s_fields():
    ours, ref = ElectraConfig(), T.ElectraConfig()
    a, b = ours.to_dict(), ref.to_dict()
    for k in T.ElectraConfig.__annotations__:
        assert a[k] == b[k], k
    own = {k for k in ElectraConfig.__annotations__}
    assert own == {k for k in T.ElectraConfig.__annotations__ if k != "model_type"}


def test_a_decoder_keeps_a_cache_and_writes_as_the_reference_does():
    ours, ref = pair("Electra", "ForCausalLM", 1, is_decoder=True)
    ids = torch.randint(1, ours.config.vocab_size, (2, 5), generator=torch.Generator().manual_seed(0))
    start = ours(ids[:, :3], use_cache=True)
    rest = ours(ids[:, 3:], past_key_values=start.past_key_values)
    torch.testing.assert_close(rest.logits, ref(ids).logits[:, 3:], **TOL)
    kw = dict(max_new_tokens=6, do_sample=False, pad_token_id=0)
    assert torch.equal(ours.generate(ids, **kw), ref.generate(ids, **kw))


def test_cross_attention_looks_at_an_encoder():
    ours, ref = pair("Electra", "ForCausalLM", 2, "eager", is_decoder=True, add_cross_attention=True)
    ids = torch.randint(1, ours.config.vocab_size, (2, 5), generator=torch.Generator().manual_seed(0))
    heard = dict(encoder_hidden_states=torch.randn(2, 4, ours.config.hidden_size),
                 encoder_attention_mask=torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]]))
    outs = [m(ids, **heard, output_attentions=True, use_cache=False) for m in (ours, ref)]
    close(*outs)


def test_detection_counts_real_tokens_only():
    ours, _ = pair("Electra", "ForPreTraining", 3)
    kw = inputs("Electra", "ForPreTraining", ours.config)
    labels = (kw["input_ids"] % 2 == 0).long()
    flipped = torch.where(kw["attention_mask"] == 1, labels, 1 - labels)
    assert torch.equal(ours(**kw, labels=labels).loss, ours(**kw, labels=flipped).loss)
    plain = ours(kw["input_ids"], labels=labels)
    want = torch.nn.functional.binary_cross_entropy_with_logits(plain.logits, labels.float())
    torch.testing.assert_close(plain.loss, want)


def test_replaced_tokens():
    ids = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]])
    hidden = torch.tensor([[False, True, True, False], [True, False, False, False]])
    logits = torch.full((2, 4, 9), -1e9)
    for place, word in (((0, 1), 7), ((0, 2), 3), ((1, 0), 6)):  # wrong, right, wrong
        logits[(*place, word)] = 0.0
    replaced, labels = M.replace_tokens(ids, hidden, logits)
    assert replaced.tolist() == [[1, 7, 3, 4], [6, 6, 7, 8]]
    assert labels.tolist() == [[0, 1, 0, 0], [1, 0, 0, 0]]


def test_the_pair_learns_from_both_losses():
    torch.manual_seed(0)
    generator, _ = pair("Electra", "ForMaskedLM", 4)
    discriminator = M.ElectraForPreTraining(generator.config).eval()
    kw = inputs("Electra", "ForMaskedLM", generator.config)
    ids, mask, hidden = kw["input_ids"], kw["attention_mask"], kw["input_ids"] % 3 == 0
    torch.manual_seed(1)
    loss = M.electra_loss(generator, discriminator, ids, mask, hidden, 0, weight=7.0)
    guess = generator(ids.masked_fill(hidden, 0), mask, labels=ids.masked_fill(~hidden, -100))
    torch.manual_seed(1)
    replaced, labels = M.replace_tokens(ids, hidden, guess.logits)
    torch.testing.assert_close(loss, guess.loss + 7 * discriminator(replaced, mask, labels=labels).loss)


def test_a_summary_that_is_not_there_is_refused():
    with pytest.raises(NotImplementedError, match="summary_type='attn'"):
        M.ElectraForMultipleChoice(ElectraConfig(**sizes("Electra", 0, summary_type="attn")))
