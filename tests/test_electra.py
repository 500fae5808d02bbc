"ELECTRA against the reference: names, first weights, numbers, gradients, files; and the loss of a pair"
import random

import pytest
import torch
import transformers as T
from minihf.config import ElectraConfig
from minihf.models import electra as M

TOL = dict(atol=1e-5, rtol=1e-4)
PLACES = torch.tensor([1, -1, 300])
HEADS = {  # name and a case -> config, labels
    ("ElectraModel", ""): lambda x: ({}, {}),
    ("ElectraForMaskedLM", ""): lambda x: ({}, dict(labels=x.masked_fill(x % 3 > 0, -100))),
    ("ElectraForPreTraining", ""): lambda x: ({}, dict(labels=(x % 3 == 0).long())),
    ("ElectraForCausalLM", "encoder"): lambda x: ({}, dict(labels=x.clone())),
    ("ElectraForCausalLM", "decoder"): lambda x: (dict(is_decoder=True), dict(labels=x.clone())),
    ("ElectraForSequenceClassification", "classes"): lambda x: (
        dict(num_labels=5), dict(labels=torch.tensor([4, 0, 1]))),
    ("ElectraForSequenceClassification", "number"): lambda x: (dict(num_labels=1), dict(labels=torch.randn(3))),
    ("ElectraForSequenceClassification", "several"): lambda x: (
        dict(num_labels=4), dict(labels=torch.tensor([[1.0, 0, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1]]))),
    ("ElectraForTokenClassification", ""): lambda x: (
        dict(num_labels=7), dict(labels=(x % 7).masked_fill(x % 4 == 0, -100))),
    ("ElectraForQuestionAnswering", "inside"): lambda x: ({}, dict(
        start_positions=torch.tensor([1, 0, 3]), end_positions=torch.tensor([[2], [8], [3]]))),
    ("ElectraForQuestionAnswering", "outside"): lambda x: ({}, dict(start_positions=PLACES, end_positions=PLACES)),
    ("ElectraForMultipleChoice", ""): lambda x: ({}, dict(labels=torch.tensor([2, 0]))),
}
NAMES = sorted({name for name, _ in HEADS})


def sizes(seed, **more):
    "A random small architecture"
    r = random.Random(seed)
    h = r.choice([1, 2, 3, 5])
    d = h * r.choice([2, 4, 8])
    return dict(
        num_attention_heads=h, hidden_size=d, embedding_size=r.choice([d, 3, 7]), num_hidden_layers=r.randint(1, 4),
        intermediate_size=r.choice([5, 16, 33]), vocab_size=r.choice([23, 50]), max_position_embeddings=r.choice([16, 40]),
        hidden_act=r.choice(["gelu", "relu"]), summary_type=r.choice(["first", "last", "mean"]),
        summary_use_proj=r.choice([True, False]), summary_last_dropout=0.0, initializer_range=0.3) | more


def pair(name="ElectraModel", seed=0, attn="sdpa", **more):
    "Our model and the reference's with the same weights"
    kw = sizes(seed, **more) | dict(attn_implementation=attn)
    torch.manual_seed(seed)
    ref = getattr(T, name)(T.ElectraConfig(**kw)).eval()
    ours = getattr(M, name)(ElectraConfig(**kw)).eval()
    ours.load_state_dict(ref.state_dict())
    return ours, ref


def inputs(name, ours, seed=0):
    "Ids, a mask with padding at the end of one text and at the start of another, types"
    g = torch.Generator().manual_seed(seed)
    b = 6 if "Choice" in name else 3
    ids = torch.randint(1, ours.config.vocab_size, (b, 9), generator=g)
    mask = torch.ones(b, 9, dtype=torch.long)
    mask[:1, 5:], mask[1:2, :2] = 0, 0
    types = torch.randint(0, 2, (b, 9), generator=g)
    if "Choice" in name:
        ids, mask, types = ids.view(2, 3, 9), mask.view(2, 3, 9), types.view(2, 3, 9)
    return dict(input_ids=ids, attention_mask=mask, token_type_ids=types)


def close(a, b):
    "Equal outputs; where the reference has no cross-attentions it has an empty tuple"
    wanted = [k for k in b if not isinstance(b[k], tuple) or len(b[k])]
    assert list(a.keys()) == wanted
    for k in wanted:
        if k == "past_key_values":  # objects of two libraries
            continue
        for x, y in zip(a[k], b[k], strict=True) if isinstance(b[k], tuple) else [(a[k], b[k])]:
            torch.testing.assert_close(x, y, **TOL)


@pytest.mark.parametrize("attn", ["sdpa", "eager"])
@pytest.mark.parametrize("name, case", HEADS)
def test_outputs_losses_gradients(name, case, attn):
    for seed in (0, 1, 2):
        torch.manual_seed(seed)
        more, _ = HEADS[name, case](torch.zeros(1))
        ours, ref = pair(name, seed, attn, **more)
        kw = inputs(name, ours, seed)
        if case == "decoder":  # a place before the text sees nobody: what it says, and its gradient, is arbitrary
            kw["attention_mask"][1] = 1
        _, labels = HEADS[name, case](kw["input_ids"])
        want = dict(output_hidden_states=True, output_attentions=attn == "eager")
        outs = [m(**kw, **labels, **want) for m in (ours, ref)]
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


@pytest.mark.parametrize("name", NAMES)
def test_keys_shapes_and_first_weights(name):
    for seed in (0, 1, 2):
        kw = sizes(seed, initializer_range=0.02)
        states = []
        for lib, config in ((T, T.ElectraConfig), (M, ElectraConfig)):
            torch.manual_seed(seed)
            model = getattr(lib, name)(config(**kw))
            states.append((model.state_dict(), [(k, p.requires_grad) for k, p in model.named_parameters()]))
        (theirs, a), (ours, b) = states
        assert list(ours) == list(theirs) and a == b
        for k in theirs:
            assert ours[k].shape == theirs[k].shape and torch.equal(ours[k], theirs[k]), k


@pytest.mark.parametrize("name", NAMES)
def test_state_dicts_go_both_ways(name):
    ours, ref = pair(name, 3)
    other = getattr(M, name)(ours.config).eval()
    ref.load_state_dict(other.state_dict())
    kw = inputs(name, ours)
    close(other(**kw), ref(**kw))


@pytest.mark.parametrize("name", NAMES)
def test_dropout_embeds_and_order(name):
    ours, ref = pair(name, 4, hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.2)
    x = inputs(name, ours)
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
    places = torch.arange(9).flip(0)[None]
    torch.testing.assert_close(*[m(**x, position_ids=places)[0] for m in (ours, ref)], **TOL)
    torch.testing.assert_close(*[m(x["input_ids"], x["attention_mask"], x["token_type_ids"], places)[0]
                                 for m in (ours, ref)], **TOL)


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
    mine, info = getattr(M, name).from_pretrained(tmp_path / "ref", output_loading_info=True)
    assert not any(info[k] for k in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    torch.testing.assert_close(mine(**kw)[0], want, **TOL)


def test_config_has_the_reference_s_fields():
    ours, ref = ElectraConfig(), T.ElectraConfig()
    a, b = ours.to_dict(), ref.to_dict()
    for k in T.ElectraConfig.__annotations__:
        assert a[k] == b[k], k
    own = {k for k in ElectraConfig.__annotations__}
    assert own == {k for k in T.ElectraConfig.__annotations__ if k != "model_type"}


@pytest.mark.parametrize("name", NAMES)
def test_checkpointing_gives_the_same_gradients(name):
    "Layers run twice; shared ones add up all their uses"
    grads = []
    for on in (False, True):
        ours, _ = pair(name, 5)
        if on:
            ours.gradient_checkpointing_enable()
        ours.train()
        for m in ours.modules():
            if isinstance(m, torch.nn.Dropout):
                m.p = 0.0
        out = ours(**inputs(name, ours))
        sum(v.square().sum() for v in out.values() if isinstance(v, torch.Tensor)).backward()
        grads.append({k: p.grad for k, p in ours.named_parameters() if p.grad is not None})
    assert grads[0].keys() == grads[1].keys()
    for k, g in grads[0].items():
        torch.testing.assert_close(g, grads[1][k], **TOL)


def test_padding_may_be_left_out():
    from minihf.speed import optimize_for_inference

    ours, _ = pair(seed=6)
    kw = inputs("ElectraModel", ours)
    real = kw["attention_mask"].bool()
    with torch.no_grad():
        want = ours(**kw).last_hidden_state
        got = optimize_for_inference(ours)(**kw).last_hidden_state
    torch.testing.assert_close(got[real], want[real], **TOL)
    assert not got[~real].any()


def test_a_new_head_on_an_old_body(tmp_path):
    ours, _ = pair("ElectraForMaskedLM", 3)
    ours.save_pretrained(tmp_path)
    new, info = M.ElectraForTokenClassification.from_pretrained(tmp_path, num_labels=3, output_loading_info=True)
    assert set(info["missing_keys"]) == {"classifier.weight", "classifier.bias"}
    words = [m.get_input_embeddings().weight for m in (ours, new)]
    assert torch.equal(*words)


@pytest.mark.parametrize("name", [n for n in NAMES if "LM" in n])
def test_the_vocabulary_grows(name):
    ours, ref = pair(name, 7)
    for m in (ours, ref):
        m.resize_token_embeddings(61)
    assert [(k, v.shape) for k, v in ours.state_dict().items()] == [(k, v.shape) for k, v in ref.state_dict().items()]
    assert ours.get_output_embeddings().weight is ours.get_input_embeddings().weight
    assert ours(**inputs(name, ours)).logits.shape[-1] == 61


def test_question_answering_wants_two_labels():
    with pytest.raises(ValueError, match="num_labels=3"):
        M.ElectraForQuestionAnswering(ElectraConfig(**sizes(0), num_labels=3))


def test_a_decoder_keeps_a_cache_and_writes_as_the_reference_does():
    ours, ref = pair("ElectraForCausalLM", 1, is_decoder=True)
    ids = torch.randint(1, ours.config.vocab_size, (2, 5), generator=torch.Generator().manual_seed(0))
    start = ours(ids[:, :3], use_cache=True)
    rest = ours(ids[:, 3:], past_key_values=start.past_key_values)
    torch.testing.assert_close(rest.logits, ref(ids).logits[:, 3:], **TOL)
    kw = dict(max_new_tokens=6, do_sample=False, pad_token_id=0)
    assert torch.equal(ours.generate(ids, **kw), ref.generate(ids, **kw))


def test_cross_attention_looks_at_an_encoder():
    ours, ref = pair("ElectraForCausalLM", 2, "eager", is_decoder=True, add_cross_attention=True)
    ids = torch.randint(1, ours.config.vocab_size, (2, 5), generator=torch.Generator().manual_seed(0))
    heard = dict(encoder_hidden_states=torch.randn(2, 4, ours.config.hidden_size),
                 encoder_attention_mask=torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]]))
    outs = [m(ids, **heard, output_attentions=True, use_cache=False) for m in (ours, ref)]
    close(*outs)


def test_detection_counts_real_tokens_only():
    ours, _ = pair("ElectraForPreTraining", 3)
    kw = inputs("ElectraForPreTraining", ours)
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
    generator, _ = pair("ElectraForMaskedLM", 4)
    discriminator = M.ElectraForPreTraining(generator.config).eval()
    kw = inputs("", generator)
    ids, mask, hidden = kw["input_ids"], kw["attention_mask"], kw["input_ids"] % 3 == 0
    torch.manual_seed(1)
    loss = M.electra_loss(generator, discriminator, ids, mask, hidden, 0, weight=7.0)
    guess = generator(ids.masked_fill(hidden, 0), mask, labels=ids.masked_fill(~hidden, -100))
    torch.manual_seed(1)
    replaced, labels = M.replace_tokens(ids, hidden, guess.logits)
    torch.testing.assert_close(loss, guess.loss + 7 * discriminator(replaced, mask, labels=labels).loss)


def test_a_summary_that_is_not_there_is_refused():
    with pytest.raises(NotImplementedError, match="summary_type='attn'"):
        M.ElectraForMultipleChoice(ElectraConfig(**sizes(0, summary_type="attn")))
