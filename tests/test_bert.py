"BERT against the reference: numbers, gradients, files, masks, caches, errors"
import random

import pytest
import torch
import transformers as T
from minihf.config import BertConfig
from minihf.heads import masked_lm_loss, next_token_loss
from minihf.models import bert as B
from minihf.models.bert import BertForMaskedLM, BertLMHeadModel, BertModel

TOL = dict(atol=1e-5, rtol=1e-4)
CLASSES = {"BertModel": BertModel, "BertForMaskedLM": BertForMaskedLM, "BertLMHeadModel": BertLMHeadModel}


def sizes(seed, **more):
    "A random small architecture"
    r = random.Random(seed)
    h = r.choice([1, 2, 3, 5])
    return dict(
        num_attention_heads=h, hidden_size=h * r.choice([2, 3, 8]), num_hidden_layers=r.randint(1, 4),
        intermediate_size=r.choice([5, 16, 33]), vocab_size=r.choice([23, 50]), type_vocab_size=r.choice([1, 2, 4]),
        max_position_embeddings=r.choice([16, 40]), hidden_act=r.choice(["gelu", "gelu_new", "relu", "silu"]),
        layer_norm_eps=r.choice([1e-12, 1e-5]), initializer_range=0.3) | more


def pair(name="BertModel", seed=0, attn="sdpa", **more):
    "Our model and the reference's with the same weights"
    kw = sizes(seed, **more) | dict(attn_implementation=attn)
    torch.manual_seed(seed)
    ref = getattr(T, name)(T.BertConfig(**kw)).eval()
    ours = getattr(B, name)(BertConfig(**kw)).eval()
    print(ours.load_state_dict(ref.state_dict()))
    return ours, ref


def inputs(ours, seed=0, b=3, s=9):
    g = torch.Generator().manual_seed(seed)
    c = ours.config
    ids = torch.randint(1, c.vocab_size, (b, s), generator=g)
    types = torch.randint(0, c.type_vocab_size, (b, s), generator=g)
    mask = torch.ones(b, s, dtype=torch.long)
    mask[:1, s - 4:], mask[1:2, :2] = 0, 0  # right, left, none
    return ids, mask, types


def close_outputs(a, b, real=slice(None)):
    b = {k: v for k, v in b.items() if k != "cross_attentions"}  # an empty tuple there
    assert list(a.keys()) == list(b)
    for k in b:
        if k in ("loss", "pooler_output"):
            torch.testing.assert_close(a[k], b[k], **TOL)
        elif k in ("hidden_states", "attentions"):
            assert len(a[k]) == len(b[k])
            for x, y in zip(a[k], b[k]):
                x, y = (x.transpose(1, 2), y.transpose(1, 2)) if k == "attentions" else (x, y)
                torch.testing.assert_close(x[real], y[real], **TOL)
        elif k != "past_key_values":
            torch.testing.assert_close(a[k][real], b[k][real], **TOL)


@pytest.mark.parametrize("attn", ["sdpa", "eager"])
@pytest.mark.parametrize("seed", range(12))
def test_base_model(seed, attn):
    ours, ref = pair(seed=seed, attn=attn)
    ids, mask, types = inputs(ours, seed)
    for kw in (dict(), dict(attention_mask=mask), dict(attention_mask=mask, token_type_ids=types),
               dict(token_type_ids=types, position_ids=torch.arange(9).flip(0)[None].repeat(3, 1))):
        real = kw["attention_mask"].bool() if "attention_mask" in kw else slice(None)
        more = dict(output_hidden_states=True, output_attentions=attn == "eager")
        a, b = ours(ids, **kw, **more), ref(ids, **kw, **more)
        close_outputs(a, b, real)
        embeds = ref.get_input_embeddings()(ids)
        close_outputs(ours(inputs_embeds=embeds, **kw, **more), b, real)


@pytest.mark.parametrize("seed", range(6))
def test_attentions_under_sdpa(seed):
    ours, ref = pair(seed=seed)
    ref.set_attn_implementation("eager")
    ids, mask, _ = inputs(ours, seed)
    a, b = (m(ids, attention_mask=mask, output_attentions=True) for m in (ours, ref))
    close_outputs(a, b, mask.bool())
    assert a.attentions[0].shape == (3, ours.config.num_attention_heads, 9, 9)


@pytest.mark.parametrize("attn", ["sdpa", "eager"])
def test_three_dimensional_mask(attn):
    "Two texts packed into one row give what each gives alone"
    ours, ref = pair(seed=3, attn=attn)
    ids, _, _ = inputs(ours, b=1)
    text = torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1, 1]])
    places = torch.tensor([[0, 1, 2, 3, 0, 1, 2, 3, 4]])
    packed = ours(ids, attention_mask=(text[:, :, None] == text[:, None, :]).long(), position_ids=places)[0]
    torch.testing.assert_close(packed[:, :4], ref(ids[:, :4])[0], **TOL)
    torch.testing.assert_close(packed[:, 4:], ref(ids[:, 4:])[0], **TOL)
    four = (text[:, :, None] == text[:, None, :])[:, None]
    torch.testing.assert_close(ours(ids, attention_mask=four, position_ids=places)[0], packed)


@pytest.mark.parametrize("attn", ["sdpa", "eager"])
@pytest.mark.parametrize("name", ["BertForMaskedLM", "BertLMHeadModel"])
@pytest.mark.parametrize("seed", range(5))
def test_loss_and_gradients(name, seed, attn):
    decoder = name == "BertLMHeadModel"
    ours, ref = pair(name, seed, attn, is_decoder=decoder)
    ids, mask, types = inputs(ours, seed)
    labels = ids.masked_fill(mask == 0, -100)
    labels[2, :5] = -100
    labels[1, 2] = -100  # else a decoder is asked for it at a padded place, which sees nothing
    outs = [m(ids, attention_mask=mask, token_type_ids=types, labels=labels) for m in (ours, ref)]
    torch.testing.assert_close(outs[0].loss, outs[1].loss, **TOL)
    torch.testing.assert_close(outs[0].logits[mask.bool()], outs[1].logits[mask.bool()], **TOL)
    for o in outs:
        o.loss.backward()
    theirs = dict(ref.named_parameters())
    for k, p in ours.named_parameters():
        if p.grad is None:
            assert theirs[k].grad is None, k
        else:
            torch.testing.assert_close(p.grad, theirs[k].grad, **TOL, msg=lambda m: f"{k}: {m}")


@pytest.mark.parametrize("name", list(CLASSES))
@pytest.mark.parametrize("seed", [0, 1])
def test_same_first_weights_under_the_same_seed(name, seed):
    kw = sizes(seed)
    torch.manual_seed(seed)
    ref = getattr(T, name)(T.BertConfig(**kw))
    torch.manual_seed(seed)
    ours = CLASSES[name](BertConfig(**kw))
    assert list(ours.state_dict()) == list(ref.state_dict())
    for (k, a), b in zip(ours.state_dict().items(), ref.state_dict().values()):
        assert torch.equal(a, b), k
    assert ours.num_parameters() == ref.num_parameters()


@pytest.mark.parametrize("attn", ["sdpa", "eager"])
def test_dropout_draws_the_same_numbers(attn):
    ours, ref = pair("BertForMaskedLM", 1, attn)
    ids, mask, _ = inputs(ours)
    logits = []
    for m in (ours, ref):
        torch.manual_seed(5)
        logits.append(m.train()(ids, attention_mask=mask).logits[mask.bool()])
    torch.testing.assert_close(*logits, **TOL)


@pytest.mark.parametrize("tie", [True, False])
@pytest.mark.parametrize("name", list(CLASSES))
def test_files_go_both_ways(name, tie, tmp_path):
    ours, ref = pair(name, 2, tie_word_embeddings=tie)
    ids, mask, _ = inputs(ours)
    if not tie and name != "BertModel":
        for m in (ours, ref):
            torch.manual_seed(0)
            m.cls.predictions.decoder.bias.data.normal_()
    want = ref(ids, attention_mask=mask)[0][mask.bool()]
    ours.save_pretrained(tmp_path / "ours")
    ref.save_pretrained(tmp_path / "ref")
    back, info = getattr(T, name).from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(info[k] for k in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    torch.testing.assert_close(back.eval()(ids, attention_mask=mask)[0][mask.bool()], want, **TOL)
    mine, info = CLASSES[name].from_pretrained(tmp_path / "ref", output_loading_info=True)
    assert not any(info[k] for k in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    torch.testing.assert_close(mine(ids, attention_mask=mask)[0][mask.bool()], want, **TOL)


def test_legacy_names_and_buffers(tmp_path):
    from safetensors.torch import save_file

    ours, ref = pair("BertForMaskedLM", 4)
    old = {k.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): v.clone()
           for k, v in ref.state_dict().items() if "decoder" not in k}
    old["bert.embeddings.position_ids"] = torch.arange(40)[None]
    ref.config.save_pretrained(tmp_path)
    save_file(old, tmp_path / "model.safetensors", metadata={"format": "pt"})
    mine, info = BertForMaskedLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info[k] for k in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    ids, _, _ = inputs(ours)
    torch.testing.assert_close(mine(ids).logits, ref(ids).logits, **TOL)
    mine.save_pretrained(tmp_path / "new")
    assert not any("gamma" in k or "position_ids" in k for k in mine.state_dict())


def test_minilm(minilm):
    from minihf.tokenizers.base import BertTokenizer

    batch = BertTokenizer.from_pretrained(minilm)(
        ["he sat on the bank of the river", "hello", ""], padding=True, return_tensors="pt")
    for attn in ("sdpa", "eager"):
        ours, info = BertModel.from_pretrained(minilm, attn_implementation=attn, output_loading_info=True)
        ref = T.BertModel.from_pretrained(minilm, attn_implementation=attn).eval()
        assert not info["missing_keys"] and not info["unexpected_keys"]
        with torch.no_grad():
            a, b = (m(**batch, output_hidden_states=True) for m in (ours, ref))
        close_outputs(a, b, batch["attention_mask"].bool())
        assert list(ours.state_dict()) == list(ref.state_dict())


# decoders


@pytest.mark.parametrize("attn", ["sdpa", "eager"])
@pytest.mark.parametrize("seed", range(3))
def test_cache(seed, attn):
    ours, ref = pair("BertLMHeadModel", seed, attn, is_decoder=True)
    ids, mask, types = inputs(ours, seed)
    mask[0] = 1  # left padding only
    with torch.no_grad():
        want = ref(ids, attention_mask=mask, token_type_ids=types, use_cache=False).logits
        for cuts in ([9], [4, 5], [3, 1, 1, 4], [1] * 9):
            past, got, at = None, [], 0
            for n in cuts:
                out = ours(ids[:, at:at + n], attention_mask=mask[:, :at + n], token_type_ids=types[:, at:at + n],
                           past_key_values=past, use_cache=True)
                past, at = out.past_key_values, at + n
                got.append(out.logits)
            assert past.get_seq_length() == 9
            torch.testing.assert_close(torch.cat(got, 1)[mask.bool()], want[mask.bool()], **TOL)
        assert ours(ids, use_cache=False).past_key_values is None
        torch.testing.assert_close(ours(ids, logits_to_keep=2).logits, ours(ids).logits[:, -2:], **TOL)


def test_encoders_keep_no_cache():
    ours, _ = pair()
    assert ours(inputs(ours)[0], use_cache=True).past_key_values is None


@pytest.mark.parametrize("seed", range(4))
def test_generate(seed):
    "Greedy, beams and a seeded sample, with left padding and token types"
    ours, ref = pair("BertLMHeadModel", seed, is_decoder=True, max_position_embeddings=40)
    ids, mask, types = inputs(ours, seed)
    mask[0], ids[mask == 0] = 1, 0
    kw = dict(attention_mask=mask, token_type_ids=types, max_new_tokens=6, pad_token_id=0)
    for more in (dict(do_sample=False), dict(do_sample=False, num_beams=3), dict(do_sample=True, top_k=8),
                 dict(do_sample=False, use_cache=False)):
        ids_out = []
        for m in (ours, ref):
            torch.manual_seed(0)
            ids_out.append(m.generate(ids, **kw, **more))
        assert torch.equal(*ids_out), more


def test_losses_by_hand():
    torch.manual_seed(0)
    logits, ids = torch.randn(2, 4, 7), torch.randint(0, 7, (2, 4))
    ids[0, 1] = -100
    p = logits.log_softmax(-1)
    places = [(b, i) for b in range(2) for i in range(4) if ids[b, i] >= 0]
    want = -sum(p[b, i, ids[b, i]] for b, i in places) / len(places)
    torch.testing.assert_close(masked_lm_loss(logits, ids), want)
    later = [(b, i) for b, i in places if i > 0]
    want = -sum(p[b, i - 1, ids[b, i]] for b, i in later) / len(later)
    torch.testing.assert_close(next_token_loss(logits, ids), want)


# training, devices, shapes


@pytest.mark.parametrize("decoder", [False, True])
def test_gradient_checkpointing_changes_nothing(decoder):
    name = "BertLMHeadModel" if decoder else "BertForMaskedLM"
    ours, _ = pair(name, 5, is_decoder=decoder, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    ids, mask, _ = inputs(ours)
    grads = []
    for on in (False, True):
        ours.zero_grad()
        ours.train()
        if on:
            ours.gradient_checkpointing_enable()
        ours(ids, attention_mask=mask, labels=ids).loss.backward()
        grads.append([p.grad.clone() for p in ours.parameters() if p.grad is not None])
    for a, b in zip(*grads):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("name", list(CLASSES))
@pytest.mark.parametrize("attn", ["sdpa", "eager"])
def test_nothing_is_made_on_the_cpu(name, attn):
    config = BertConfig(**sizes(0), attn_implementation=attn, is_decoder=name == "BertLMHeadModel")
    model = CLASSES[name](config).to("meta")
    ids = torch.ones(2, 5, dtype=torch.long, device="meta")
    for kw in (dict(), dict(attention_mask=ids), dict(attention_mask=torch.ones(2, 5, 5, device="meta")),
               dict(token_type_ids=ids, position_ids=ids)):
        out = model(ids, **kw, output_hidden_states=True)
        assert out[0].is_meta and out[0].shape[:2] == (2, 5)
    model.double()
    assert model(ids, attention_mask=ids)[0].dtype == torch.double


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("attn", ["sdpa", "eager"])
def test_dtypes(dtype, attn):
    ours, ref = pair("BertForMaskedLM", 6, attn)
    ids, mask, _ = inputs(ours)
    a, b = (m.to(dtype)(ids, attention_mask=mask).logits[mask.bool()] for m in (ours, ref))
    assert a.dtype == dtype
    torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("attn", ["sdpa", "eager"])
@pytest.mark.parametrize("decoder", [False, True])
def test_a_text_without_real_tokens_is_finite(attn, decoder):
    ours, _ = pair(seed=1, attn=attn, is_decoder=decoder)
    ids, mask, _ = inputs(ours)
    mask[2] = 0
    out = ours(ids, attention_mask=mask)
    assert out.last_hidden_state.isfinite().all()
    out.last_hidden_state.sum().backward()
    assert all(p.grad.isfinite().all() for p in ours.parameters() if p.grad is not None)


def test_padding_and_company_do_not_matter():
    ours, _ = pair(seed=7)
    ids, _, _ = inputs(ours, b=1)
    alone = ours(ids)[0]
    mask = torch.tensor([[1] * 9 + [0] * 3, [1] * 12])
    batch = torch.cat([torch.cat([ids, ids[:, :3]], 1), torch.cat([ids, ids[:, :3]], 1)])
    torch.testing.assert_close(ours(batch, attention_mask=mask)[0][:1, :9], alone, **TOL)


def test_tuples_and_config_options():
    ours, ref = pair("BertModel", 8, output_hidden_states=True)
    ids, _, _ = inputs(ours)
    a, b = ours(ids, return_dict=False), ref(ids, return_dict=False)
    assert isinstance(a, tuple) and len(a) == len(b) == 3
    torch.testing.assert_close(a[0], b[0], **TOL)
    assert "hidden_states" not in ours(ids, output_hidden_states=False)
    bare = BertModel(ours.config, add_pooling_layer=False)
    assert bare.pooler is None and bare(ids).pooler_output is None


def test_resize_token_embeddings():
    ours, _ = pair("BertForMaskedLM", 9)
    v = ours.config.vocab_size
    ids, _, _ = inputs(ours)
    before = ours(ids).logits
    ours.resize_token_embeddings(v + 3)
    after = ours(ids).logits
    assert after.shape[-1] == v + 3
    torch.testing.assert_close(after[..., :v], before, **TOL)
    head = ours.cls.predictions
    assert head.decoder.weight is ours.get_input_embeddings().weight and head.decoder.bias is head.bias
    ours(torch.full((1, 2), v + 2))


# errors


@pytest.mark.parametrize("kw,text", [
    (dict(), "input_ids or inputs_embeds"),
    (dict(input_ids=torch.ones(1, 3, dtype=torch.long), inputs_embeds=torch.zeros(1, 3, 8)), "not both"),
    (dict(input_ids=torch.ones(3, dtype=torch.long)), r"\(3,\).*input_ids\[None\]"),
    (dict(input_ids=torch.full((1, 3), 99)), r"input_ids\[0, 0\] is 99.*0 to 22"),
    (dict(input_ids=torch.full((1, 3), -1)), "is -1"),
    (dict(input_ids=torch.ones(1, 17, dtype=torch.long)), "17 tokens.*16 positions.*truncation=True"),
    (dict(input_ids=torch.ones(1, 3, dtype=torch.long), token_type_ids=torch.full((1, 3), 2)), r"token_type_ids\[0, 0\] is 2"),
    (dict(input_ids=torch.ones(1, 3, dtype=torch.long), position_ids=torch.full((1, 3), 16)), r"position_ids\[0, 0\] is 16"),
    (dict(input_ids=torch.ones(1, 3, dtype=torch.long), attention_mask=torch.ones(1, 4)), "covers 4 tokens, but there are 3"),
])
def test_wrong_inputs_are_named(kw, text):
    model = BertModel(BertConfig(**sizes(0, hidden_size=8, num_attention_heads=2, vocab_size=23, type_vocab_size=2,
                                         max_position_embeddings=16)))
    with pytest.raises((ValueError, IndexError), match="(?s)" + text):
        model(**kw)


def test_an_encoder_has_no_cross_attention():
    with pytest.raises(ValueError, match="add_cross_attention"):
        BertModel(BertConfig(**sizes(0), add_cross_attention=True))
    with pytest.raises(ValueError, match="add_cross_attention=True"):
        BertModel(BertConfig(**sizes(0)))(torch.ones(1, 2).long(), encoder_hidden_states=torch.zeros(1, 2, 8))


# heads


def test_a_new_head_on_an_old_body(tmp_path):
    "num_labels, id2label, and a head of another size"
    ours, _ = pair("BertForSequenceClassification", 3, num_labels=3)
    ours.save_pretrained(tmp_path)
    body = ours.bert.state_dict()
    with pytest.raises(RuntimeError, match="classifier"):
        B.BertForSequenceClassification.from_pretrained(tmp_path, num_labels=5)
    names = {0: "bad", 1: "so", 2: "good", 3: "great"}
    for kw, n in ((dict(num_labels=5), 5), (dict(id2label=names), 4)):
        new, info = B.BertForSequenceClassification.from_pretrained(
            tmp_path, ignore_mismatched_sizes=True, output_loading_info=True, **kw)
        assert new.num_labels == new.config.num_labels == n == len(new.classifier.weight)
        assert {k for k, *_ in info["mismatched_keys"]} == {"classifier.weight", "classifier.bias"}
        assert new.classifier.bias.eq(0).all() and new.classifier.weight.std() > 0
        assert all(torch.equal(v, body[k]) for k, v in new.bert.state_dict().items())
    assert new.config.id2label == names and new.config.label2id["great"] == 3
    new.save_pretrained(tmp_path / "new")
    assert T.BertForSequenceClassification.from_pretrained(tmp_path / "new").config.id2label == names
    tokens, info = B.BertForTokenClassification.from_pretrained(
        tmp_path, num_labels=3, output_loading_info=True)  # the pooler has no place there
    assert info["unexpected_keys"] == {"bert.pooler.dense.weight", "bert.pooler.dense.bias"}
    _, info = BertModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and info["unexpected_keys"] == {"classifier.weight", "classifier.bias"}


def test_wrong_calls_of_heads():
    ours, _ = pair("BertForSequenceClassification", 1, num_labels=3)
    ids = torch.ones(2, 4, dtype=torch.long)
    with pytest.raises(IndexError, match=r"labels\[0\] is 3.*num_labels=3"):
        ours(ids, labels=torch.tensor([3, 0]))
    with pytest.raises(ValueError, match=r"labels has shape \(4,\)"):
        ours(ids, labels=torch.tensor([0, 0, 1, 1]))
    with pytest.raises(ValueError, match="num_labels=3"):
        B.BertForQuestionAnswering(ours.config)
    with pytest.raises(ValueError, match=r"attention_mask has shape"):
        B.BertForMultipleChoice(ours.config)(ids[None], attention_mask=ids)
    with pytest.raises(ValueError, match="input_ids or inputs_embeds"):
        B.BertForMultipleChoice(ours.config)()
