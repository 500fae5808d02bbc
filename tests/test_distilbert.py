"DistilBERT against the reference: numbers, gradients, files, heads, errors; and against BERT"
import random

import pytest
import torch
import torch.nn.functional as F
import transformers as T
from minihf.config import BertConfig, DistilBertConfig
from minihf.models import distilbert as D
from minihf.models.bert import BertModel
from minihf.models.distilbert import DistilBertModel, distillation_loss, from_bert

TOL = dict(atol=1e-5, rtol=1e-4)
PLACES = torch.tensor([1, -1, 300])
HEADS = {  # name and a case -> config, labels
    ("DistilBertModel", ""): lambda x: ({}, {}),
    ("DistilBertForMaskedLM", ""): lambda x: ({}, dict(labels=x.masked_fill(x % 3 > 0, -100))),
    ("DistilBertForSequenceClassification", "classes"): lambda x: (
        dict(num_labels=5), dict(labels=torch.tensor([4, 0, 1]))),
    ("DistilBertForSequenceClassification", "number"): lambda x: (dict(num_labels=1), dict(labels=torch.randn(3))),
    ("DistilBertForSequenceClassification", "several"): lambda x: (
        dict(num_labels=4), dict(labels=torch.tensor([[1.0, 0, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1]]))),
    ("DistilBertForTokenClassification", ""): lambda x: (
        dict(num_labels=7), dict(labels=(x % 7).masked_fill(x % 4 == 0, -100))),
    ("DistilBertForQuestionAnswering", "inside"): lambda x: ({}, dict(
        start_positions=torch.tensor([1, 0, 3]), end_positions=torch.tensor([[2], [8], [3]]))),
    ("DistilBertForQuestionAnswering", "outside"): lambda x: ({}, dict(start_positions=PLACES, end_positions=PLACES)),
    ("DistilBertForMultipleChoice", ""): lambda x: ({}, dict(labels=torch.tensor([2, 0]))),
}
NAMES = sorted({name for name, _ in HEADS})


def sizes(seed, **more):
    "A random small architecture"
    r = random.Random(seed)
    h = r.choice([1, 2, 3, 5])
    return dict(
        n_heads=h, dim=h * r.choice([2, 4, 8]), n_layers=r.randint(1, 4), hidden_dim=r.choice([5, 16, 33]),
        vocab_size=r.choice([23, 50]), max_position_embeddings=r.choice([16, 40]),
        activation=r.choice(["gelu", "relu"]), initializer_range=0.3) | more


def pair(name="DistilBertModel", seed=0, attn="sdpa", **more):
    "Our model and the reference's with the same weights"
    kw = sizes(seed, **more) | dict(attn_implementation=attn)
    torch.manual_seed(seed)
    ref = getattr(T, name)(T.DistilBertConfig(**kw)).eval()
    ours = getattr(D, name)(DistilBertConfig(**kw)).eval()
    ours.load_state_dict(ref.state_dict())
    return ours, ref


def inputs(name, ours, seed=0):
    g = torch.Generator().manual_seed(seed)
    b = 6 if "Choice" in name else 3
    ids = torch.randint(1, ours.config.vocab_size, (b, 9), generator=g)
    mask = torch.ones(b, 9, dtype=torch.long)
    mask[:1, 5:], mask[1:2, :2] = 0, 0
    if "Choice" in name:
        ids, mask = ids.view(2, 3, 9), mask.view(2, 3, 9)
    return dict(input_ids=ids, attention_mask=mask)


def close(a, b):
    assert list(a.keys()) == list(b.keys())
    for k in b:
        for x, y in zip(a[k], b[k]) if isinstance(b[k], tuple) else [(a[k], b[k])]:
            torch.testing.assert_close(x, y, **TOL)


@pytest.mark.parametrize("attn", ["sdpa", "eager"])
@pytest.mark.parametrize("name, case", HEADS)
def test_outputs_losses_gradients(name, case, attn):
    for seed in (0, 1, 2):
        torch.manual_seed(seed)
        more, _ = HEADS[name, case](torch.zeros(1))
        ours, ref = pair(name, seed, attn, **more)
        kw = inputs(name, ours, seed)
        _, labels = HEADS[name, case](kw["input_ids"])
        types = torch.ones_like(kw["input_ids"])
        want = dict(output_hidden_states=True, output_attentions=attn == "eager")
        outs = [m(**kw, **labels, **want, token_type_ids=types) for m in (ours, ref)]
        close(*outs)
        close(ours(**kw), ref(**kw))
        assert ours.config.problem_type == ref.config.problem_type
        plain = [m(**kw, **labels, return_dict=False) for m in (ours, ref)]
        assert isinstance(plain[0], tuple) and len(plain[0]) == len(plain[1])
        for o in outs:
            (o.loss if labels else o.last_hidden_state.square().mean()).backward()
        theirs = dict(ref.named_parameters())
        for k, p in ours.named_parameters():
            if theirs[k].grad is None:
                assert p.grad is None, k
            else:
                torch.testing.assert_close(p.grad, theirs[k].grad, atol=1e-5, rtol=1e-3, msg=lambda m: f"{k}: {m}")


@pytest.mark.parametrize("sines", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_first_weights_dropout_embeds_and_order(name, sines):
    kw = sizes(2, sinusoidal_pos_embds=sines, qa_dropout=0.3, dropout=0.2)
    torch.manual_seed(0)
    ref = getattr(T, name)(T.DistilBertConfig(**kw))
    torch.manual_seed(0)
    ours = getattr(D, name)(DistilBertConfig(**kw))
    assert list(ours.state_dict()) == list(ref.state_dict())
    for (k, a), b in zip(ours.state_dict().items(), ref.state_dict().values()):
        torch.testing.assert_close(a, b, atol=1e-6 if "position" in k and sines else 0, rtol=0)
    assert [p.requires_grad for p in ours.parameters()] == [p.requires_grad for p in ref.parameters()]
    ours.load_state_dict(ref.state_dict())
    x = inputs(name, ours)
    logits = []
    for m in (ours, ref):
        torch.manual_seed(5)
        logits.append(m.train()(**x)[0])
    torch.testing.assert_close(*logits, **TOL)
    embeds = ref.get_input_embeddings()(x["input_ids"])
    for m in (ours, ref):
        m.eval()
    torch.testing.assert_close(*[m(None, x["attention_mask"], embeds)[0] for m in (ours, ref)], **TOL)
    places = torch.arange(9).flip(0)[None]
    torch.testing.assert_close(*[m(**x, position_ids=places)[0] for m in (ours, ref)], **TOL)


@pytest.mark.parametrize("tie", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_files_go_both_ways(name, tie, tmp_path):
    ours, ref = pair(name, 2, tie_word_embeddings=tie)
    kw = inputs(name, ours)
    want = ref(**kw)[0]
    ours.save_pretrained(tmp_path / "ours")
    ref.save_pretrained(tmp_path / "ref")
    back, info = getattr(T, name).from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(info[k] for k in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    torch.testing.assert_close(back.eval()(**kw)[0], want, **TOL)
    mine, info = getattr(D, name).from_pretrained(tmp_path / "ref", output_loading_info=True)
    assert not any(info[k] for k in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    torch.testing.assert_close(mine(**kw)[0], want, **TOL)


def test_a_new_head_on_an_old_body(tmp_path):
    ours, _ = pair("DistilBertForMaskedLM", 3)
    ours.save_pretrained(tmp_path)
    names = {0: "bad", 1: "so", 2: "good"}
    new, info = D.DistilBertForSequenceClassification.from_pretrained(
        tmp_path, id2label=names, output_loading_info=True)
    assert info["missing_keys"] == {f"{a}classifier.{b}" for a in ("", "pre_") for b in ("weight", "bias")}
    assert new.num_labels == 3 and new.config.label2id["good"] == 2
    new.save_pretrained(tmp_path / "new")
    with pytest.raises(RuntimeError, match="classifier"):
        D.DistilBertForSequenceClassification.from_pretrained(tmp_path / "new", num_labels=5)
    five, info = D.DistilBertForSequenceClassification.from_pretrained(
        tmp_path / "new", num_labels=5, ignore_mismatched_sizes=True, output_loading_info=True)
    assert five.classifier.weight.shape[0] == five.config.num_labels == 5
    assert {k for k, *_ in info["mismatched_keys"]} == {"classifier.weight", "classifier.bias"}
    assert torch.equal(five.pre_classifier.weight, new.pre_classifier.weight)


def test_old_files_have_position_ids(tmp_path):
    from safetensors.torch import save_file

    ours, ref = pair("DistilBertForMaskedLM", 4)
    old = {k: v.clone() for k, v in ref.state_dict().items() if k != "vocab_projector.weight"}
    save_file(old | {"distilbert.embeddings.position_ids": torch.arange(16)[None]},
              tmp_path / "model.safetensors", metadata={"format": "pt"})
    ref.config.save_pretrained(tmp_path)
    mine, info = D.DistilBertForMaskedLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info[k] for k in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    ids = inputs("", ours)["input_ids"]
    torch.testing.assert_close(mine(ids).logits, ref(ids).logits, **TOL)


def test_tied_resized_and_checkpointed():
    ours, _ = pair("DistilBertForMaskedLM", 5, dropout=0.0, attention_dropout=0.0)
    assert ours.vocab_projector.weight is ours.distilbert.embeddings.word_embeddings.weight
    kw = inputs("", ours)
    grads = []
    for on in (False, True):
        ours.zero_grad()
        ours.train()
        if on:
            ours.gradient_checkpointing_enable()
        ours(**kw, labels=kw["input_ids"]).loss.backward()
        grads.append([p.grad.clone() for p in ours.parameters()])
    for a, b in zip(*grads):
        torch.testing.assert_close(a, b)
    ours.resize_token_embeddings(60)
    assert ours(torch.tensor([[59]])).logits.shape == (1, 1, 60)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_made_on_the_cpu(name):
    model = getattr(D, name)(DistilBertConfig(**sizes(0))).to("meta")
    ids = torch.ones(2, 3, 5, dtype=torch.long, device="meta")
    ids = ids if "Choice" in name else ids[0]
    assert model(ids, attention_mask=ids, output_hidden_states=True)[0].is_meta
    assert model.double()(ids)[0].dtype == torch.double


def test_errors():
    ours, _ = pair("DistilBertForSequenceClassification", 1, num_labels=3, max_position_embeddings=16)
    ids = torch.ones(2, 4, dtype=torch.long)
    for kw, says in ((dict(input_ids=ids[0]), "batch, tokens"), (dict(), "input_ids or inputs_embeds"),
                     (dict(input_ids=ids + 100), "only 0 to"), (dict(input_ids=ids.repeat(1, 5)), "16 positions"),
                     (dict(input_ids=ids, attention_mask=ids[:, :3]), "covers 3 tokens"),
                     (dict(input_ids=ids, labels=torch.tensor([0, 3])), r"labels\[1\] is 3.*num_labels=3")):
        with pytest.raises((ValueError, IndexError), match=says):
            ours(**kw)
    with pytest.raises(ValueError, match="num_labels=3"):
        D.DistilBertForQuestionAnswering(ours.config)
    with pytest.raises(ValueError, match="multiple choice"):
        D.DistilBertForMultipleChoice(ours.config)(ids)


# BERT's child


def test_from_bert(minilm):
    torch.manual_seed(0)
    bert = BertModel(BertConfig(
        vocab_size=30, hidden_size=12, num_hidden_layers=4, num_attention_heads=3, intermediate_size=20,
        max_position_embeddings=16, initializer_range=0.3)).eval()
    kw = inputs("", bert)
    torch.testing.assert_close(from_bert(bert)(**kw)[0], bert(**kw)[0], **TOL)
    half = from_bert(bert, [0, 2])
    states = half(**kw, output_hidden_states=True).hidden_states
    torch.testing.assert_close(states[1], bert(**kw, output_hidden_states=True).hidden_states[1], **TOL)
    assert half.config.n_layers == 2
    a, b = half.transformer.layer[1].ffn.lin2.weight, bert.encoder.layer[2].output.dense.weight
    assert torch.equal(a, b) and a.data_ptr() != b.data_ptr()


def test_distillation_loss():
    torch.manual_seed(0)
    student, teacher = torch.randn(3, 5, 7, requires_grad=True), torch.randn(3, 5, 7)
    t, p = (teacher / 3).softmax(-1), (student / 3).softmax(-1)
    want = 9 * (t * (t / p).log()).sum(-1).mean()
    torch.testing.assert_close(distillation_loss(student, teacher, 3.0), want)
    assert distillation_loss(teacher, teacher) < 1e-6
    big, small = (torch.autograd.grad(distillation_loss(student, teacher, x), student)[0].norm() for x in (20.0, 2.0))
    assert 0.3 < big / small < 3  # the factor keeps gradients in size
