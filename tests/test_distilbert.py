"DistilBERT's own: sines as positions, old files, errors, and what it has of BERT; the rest is in `test_families.py`"
import minihf
import pytest
import torch
import torch.nn.functional as F
import transformers as T
from minihf.config import BertConfig, DistilBertConfig
from minihf.models import distilbert as D
from minihf.models.bert import BertModel
from minihf.models.distilbert import distillation_loss, from_bert

from families import TOL, inputs, make, pair, sizes


@pytest.mark.parametrize("name", ["Model", "ForMaskedLM", "ForQuestionAnswering"])
def test_sines_as_first_positions(name):
    models = []
    for lib in (T, minihf):
        torch.manual_seed(0)
        models.append(make(lib, "DistilBert", name, **sizes("DistilBert", 2, sinusoidal_pos_embds=True)))
    ref, ours = models
    assert list(ours.state_dict()) == list(ref.state_dict())
    for (k, a), b in zip(ours.state_dict().items(), ref.state_dict().values()):
        torch.testing.assert_close(a, b, atol=1e-6 if "position" in k else 0, rtol=0)
    assert [p.requires_grad for p in ours.parameters()] == [p.requires_grad for p in ref.parameters()]


def test_a_new_head_on_an_old_body(tmp_path):
    ours, _ = pair("DistilBert", "ForMaskedLM", 3)
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

    ours, ref = pair("DistilBert", "ForMaskedLM", 4)
    old = {k: v.clone() for k, v in ref.state_dict().items() if k != "vocab_projector.weight"}
    save_file(old | {"distilbert.embeddings.position_ids": torch.arange(16)[None]},
              tmp_path / "model.safetensors", metadata={"format": "pt"})
    ref.config.save_pretrained(tmp_path)
    mine, info = D.DistilBertForMaskedLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info[k] for k in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    ids = inputs("DistilBert", "ForMaskedLM", ours.config)["input_ids"]
    torch.testing.assert_close(mine(ids).logits, ref(ids).logits, **TOL)


def test_errors():
    ours, _ = pair("DistilBert", "ForSequenceClassification", 1, num_labels=3, max_position_embeddings=16)
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
    kw = inputs("DistilBert", "ForMaskedLM", bert.config)
    kw.pop("token_type_ids")  # a student knows none
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
