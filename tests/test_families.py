"Every class of every family in `families.FAMILIES` against the reference: arguments, first weights, numbers, gradients, files."
from inspect import signature

import minihf
import pytest
import torch
import transformers as T

from families import FAMILIES, TOL, clean, close, inputs, make, pair, same_gradients, sizes

CASES = [(family, name, case) for family, row in FAMILIES.items() for name, case in row.cases]
NAMES = sorted({(family, name) for family, name, _ in CASES})
by_name = pytest.mark.parametrize("family, name", NAMES)
CLASSES = [n for n in sorted(minihf.__all__) if hasattr(getattr(minihf, n), "base_model_prefix") and not n.endswith("PreTrainedModel")]
OPTIONS = ("output_attentions", "output_hidden_states", "return_dict", "kwargs")  # **kwargs there


def test_every_class_is_met():
    ours = {n for n in CLASSES if n.startswith(tuple(FAMILIES))}
    assert ours == {family + name for family, name in NAMES}


@pytest.mark.parametrize("name", [n for n in CLASSES if hasattr(T, n)])
def test_arguments_stand_in_the_references_order(name):
    ours, theirs = (list(signature(getattr(lib, name).forward).parameters) for lib in (minihf, T))
    extra = ("token_type_ids",) if name.startswith("DistilBert") else ()  # taken and ignored
    assert [n for n in ours if n not in OPTIONS + extra] == [n for n in theirs if n not in OPTIONS + ("output_router_logits",)]
    assert set(getattr(getattr(minihf, name), "label_names", ())) <= set(ours)


def test_labels_have_their_names():
    want = {"BertForPreTraining": ("labels", "next_sentence_label"), "AlbertForPreTraining": ("labels", "sentence_order_label"),
            "GPT2DoubleHeadsModel": ("labels", "mc_labels"), "BertForQuestionAnswering": ("start_positions", "end_positions"),
            "ElectraForPreTraining": ("labels",), "GPT2LMHeadModel": ("labels",)}
    for name, labels in want.items():
        assert getattr(minihf, name).label_names == labels
    moved = {"BertLMHeadModel", "GPT2LMHeadModel", "GPT2DoubleHeadsModel"}
    for name in CLASSES:
        shifts = getattr(getattr(minihf, name), "shifts_labels", False)
        assert shifts == (name in moved or name.endswith("ForCausalLM")), name


def test_a_wrong_call_is_told_as_python_tells_it():
    model, _ = pair("Bert", "ForMaskedLM")
    ids = torch.tensor([[5, 6]])
    for args, kw, says in (((ids,), dict(lables=ids), r"BertForMaskedLM.forward\(\) got an unexpected.*'lables'; did you mean 'labels'"),
                           ((ids,), dict(input_ids=ids), r"multiple values for argument 'input_ids'"),
                           ((ids,) * 12, {}, "too many positional")):
        with pytest.raises(TypeError, match=says):
            model(*args, **kw)


def test_a_forward_of_ones_own_stays():
    class Mine(minihf.BertForMaskedLM):
        def forward(self, input_ids, labels=None):
            return super().forward(input_ids, labels=labels).logits

    class Child(Mine):
        pass

    class Other(minihf.BertForMaskedLM):
        def answer(self, out, inputs, labels=None, weight=None):
            return weight, self.lm_logits(out.last_hidden_state)

    config = minihf.BertConfig(**sizes("Bert"))
    ids = torch.tensor([[5, 6]])
    assert Child(config)(ids).shape == (1, 2, config.vocab_size)
    assert list(signature(Other.forward).parameters)[8:10] == ["labels", "weight"]
    assert Other(config)(ids, weight=torch.tensor(7.0)).loss == 7


@pytest.mark.parametrize("attn", ["sdpa", "eager"])
@pytest.mark.parametrize("family, name, case", CASES)
def test_outputs_losses_gradients(family, name, case, attn):
    head = FAMILIES[family].cases[name, case]
    for seed in (0, 1, 2):
        torch.manual_seed(seed)
        ours, ref = pair(family, name, seed, attn, **head(torch.zeros(1))[0])
        kw = inputs(family, name, ours.config, seed)
        if case == "decoder":  # a place before the text sees nobody: what it says, and its gradient, is arbitrary
            kw["attention_mask"][:, :2] = 1
            if FAMILIES[family].pads:
                kw["input_ids"][:, :2] = 5
        _, labels = head(kw["input_ids"])
        want = dict(output_hidden_states=True, output_attentions=attn == "eager")
        outs = [m(**kw, **labels, **want) for m in (ours, ref)]
        close(*outs)
        close(ours(**kw), ref(**kw))
        assert "loss" not in ours(**kw)
        assert ours.config.problem_type == ref.config.problem_type
        plain = [m(**kw, **labels, return_dict=False) for m in (ours, ref)]
        assert isinstance(plain[0], tuple) and len(plain[0]) == len(plain[1])
        torch.testing.assert_close(plain[0][0], outs[0][0])
        for o in outs:
            (o.loss if "loss" in o else o[0].square().mean()).backward()
        same_gradients(ours, ref)


@by_name
def test_keys_shapes_and_first_weights(family, name):
    for seed in (0, 1, 2):
        states = []
        for lib in (T, minihf):
            torch.manual_seed(seed)
            model = make(lib, family, name, **sizes(family, seed, initializer_range=0.02))
            states.append((model.state_dict(), [(k, p.requires_grad) for k, p in model.named_parameters()]))
        (theirs, a), (ours, b) = states
        assert list(ours) == list(theirs) and a == b
        for k in theirs:
            assert ours[k].shape == theirs[k].shape and torch.equal(ours[k], theirs[k]), k


@by_name
def test_state_dicts_go_both_ways(family, name):
    ours, ref = pair(family, name, 3)
    other = type(ours)(ours.config).eval()
    ref.load_state_dict(other.state_dict())
    kw = inputs(family, name, ours.config)
    close(other(**kw), ref(**kw))


@pytest.mark.parametrize("tie", [True, False])
@by_name
def test_dropout_embeds_positions_and_order(family, name, tie):
    ours, ref = pair(family, name, 4, tie_word_embeddings=tie, **FAMILIES[family].dropouts)
    x = inputs(family, name, ours.config)
    first = []
    for m in (ours, ref):
        torch.manual_seed(5)
        first.append(m.train()(**x)[0])
    torch.testing.assert_close(*first, **TOL)
    for m in (ours, ref):
        m.eval()
    embeds = ref.get_input_embeddings()(x["input_ids"])
    assert torch.equal(embeds, ours.get_input_embeddings()(x["input_ids"]))
    rest = {k: v for k, v in x.items() if k != "input_ids"}
    torch.testing.assert_close(*[m(inputs_embeds=embeds, **rest)[0] for m in (ours, ref)], **TOL)
    x["position_ids"] = torch.arange(9).flip(0)[None]
    torch.testing.assert_close(*[m(**x)[0] for m in (ours, ref)], **TOL)
    names = list(signature(ref.forward).parameters)
    in_order = [x.get(n) for n in names[: names.index("position_ids") + 1]]
    torch.testing.assert_close(*[m(*in_order)[0] for m in (ours, ref)], **TOL)


@pytest.mark.parametrize("tie", [True, False])
@by_name
def test_files_go_both_ways(family, name, tie, tmp_path):
    ours, ref = pair(family, name, 2, tie_word_embeddings=tie)
    kw = inputs(family, name, ours.config)
    want = ref(**kw)[0]
    ours.save_pretrained(tmp_path / "ours")
    ref.save_pretrained(tmp_path / "ref")
    back, info = type(ref).from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert clean(info), info
    torch.testing.assert_close(back.eval()(**kw)[0], want, **TOL)
    mine, info = type(ours).from_pretrained(tmp_path / "ref", output_loading_info=True)
    assert clean(info), info
    torch.testing.assert_close(mine(**kw)[0], want, **TOL)


@by_name
def test_checkpointing_gives_the_same_gradients(family, name):
    "Layers run twice; shared ones add up all their uses"
    grads = []
    for on in (False, True):
        ours, _ = pair(family, name, 5)
        if on:
            ours.gradient_checkpointing_enable()
        ours.train()
        for m in ours.modules():
            if isinstance(m, torch.nn.Dropout):
                m.p = 0.0
        out = ours(**inputs(family, name, ours.config))
        sum(v.square().sum() for v in out.values() if isinstance(v, torch.Tensor)).backward()
        grads.append({k: p.grad for k, p in ours.named_parameters() if p.grad is not None})
    assert grads[0].keys() == grads[1].keys()
    for k, g in grads[0].items():
        torch.testing.assert_close(g, grads[1][k], **TOL)


@by_name
def test_nothing_is_made_on_the_cpu(family, name):
    model = make(minihf, family, name, **sizes(family)).to("meta")
    ids = torch.ones(2, 3, 5, dtype=torch.long, device="meta")
    ids = ids if "Choice" in name else ids[0]
    assert model(ids, attention_mask=ids, output_hidden_states=True)[0].is_meta
    assert model.double()(ids)[0].dtype == torch.double


@pytest.mark.parametrize("family, name", [(f, n) for f, n in NAMES if "LM" in n or (f, n) in (("Bert", "ForPreTraining"), ("Albert", "ForPreTraining"))])
def test_the_vocabulary_is_tied_and_grows(family, name):
    ours, ref = pair(family, name, 7)
    assert ours.get_output_embeddings().weight is ours.get_input_embeddings().weight
    for m in (ours, ref):
        m.resize_token_embeddings(61)
    assert [(k, v.shape) for k, v in ours.state_dict().items()] == [(k, v.shape) for k, v in ref.state_dict().items()]
    assert ours.get_output_embeddings().weight is ours.get_input_embeddings().weight
    assert ours(**inputs(family, name, ours.config))[0].shape[-1] == 61
    holder = ours.get_submodule(ours.output_embeddings.rpartition(".")[0])
    if "bias" in holder._parameters:
        assert holder.bias is ours.get_output_embeddings().bias
    ours.set_output_embeddings(head := torch.nn.Linear(*ours.get_output_embeddings().weight.shape[::-1]))
    assert ours.get_output_embeddings() is head and ("bias" not in holder._parameters or holder.bias is head.bias)


@pytest.mark.parametrize("family", FAMILIES)
def test_padding_may_be_left_out(family):
    from minihf.speed import optimize_for_inference

    ours, _ = pair(family, seed=6)
    kw = inputs(family, "Model", ours.config)
    real = kw["attention_mask"].bool()
    with torch.no_grad():
        want = ours(**kw).last_hidden_state
        got = optimize_for_inference(ours)(**kw).last_hidden_state
    torch.testing.assert_close(got[real], want[real], **TOL)
    assert not got[~real].any()
    assert not ours.train().skip_padding


@pytest.mark.parametrize("family", FAMILIES)
def test_a_new_head_on_an_old_body(family, tmp_path):
    ours, _ = pair(family, "ForMaskedLM", 3)
    ours.save_pretrained(tmp_path)
    kind = getattr(minihf, family + "ForTokenClassification")
    new, info = kind.from_pretrained(tmp_path, num_labels=3, output_loading_info=True)
    assert set(info["missing_keys"]) == {"classifier.weight", "classifier.bias"}
    assert torch.equal(*[m.get_input_embeddings().weight for m in (ours, new)])


@pytest.mark.parametrize("family", FAMILIES)
def test_question_answering_wants_two_labels(family):
    with pytest.raises(ValueError, match="num_labels=3"):
        make(minihf, family, "ForQuestionAnswering", **sizes(family), num_labels=3)
    assert make(minihf, "GPT2", "ForQuestionAnswering", n_embd=8, n_head=2, n_layer=1, vocab_size=9, num_labels=3)


def test_double_heads_have_the_references_shapes():
    "Choices are rows of the batch inside, and an axis again at the end"
    kw = dict(vocab_size=41, n_embd=12, n_layer=2, n_head=3, n_positions=16, attn_implementation="eager")
    torch.manual_seed(0)
    ref = make(T, "GPT2", "DoubleHeadsModel", **kw).eval()
    ours = make(minihf, "GPT2", "DoubleHeadsModel", **kw).eval()
    ours.load_state_dict(ref.state_dict())
    ids, right = torch.randint(0, 41, (2, 3, 7)), torch.tensor([0, 2])
    for labels in (dict(mc_labels=right), dict(labels=ids), dict(labels=ids, mc_labels=right)):
        outs = [m(ids, **labels, output_hidden_states=True, output_attentions=True) for m in (ours, ref)]
        close(*outs)
