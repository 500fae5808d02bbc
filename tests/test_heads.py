"Heads' functions against the reference's losses: values, gradients, problem types, wrong labels"
import pytest
import torch
import torch.nn.functional as F
import transformers as T
from minihf.config import PretrainedConfig
from minihf.heads import (
    align_labels, choice_loss, class_loss, classification_loss, first_token, fold_choices, masked_lm_loss,
    max_pool, mean_pool, next_sentence_loss, next_token_loss, span_loss, token_loss,
)
from transformers.loss import loss_utils as L

TOL = dict(atol=1e-6, rtol=1e-5)


def same_gradients(ours, theirs, *tensors):
    "Both losses and their gradients with respect to `tensors`"
    torch.testing.assert_close(ours, theirs, **TOL)
    for a, b in zip(torch.autograd.grad(ours, tensors, retain_graph=True), torch.autograd.grad(theirs, tensors, retain_graph=True)):
        torch.testing.assert_close(a, b, **TOL)


# pooling


def test_pooling_ignores_padding():
    torch.manual_seed(0)
    x, mask = torch.randn(3, 6, 4), torch.tensor([[1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 1, 1], [1] * 6])
    for pool, by_hand in ((mean_pool, lambda r: r.mean(0)), (max_pool, lambda r: r.amax(0))):
        want = torch.stack([by_hand(r[m.bool()]) for r, m in zip(x, mask)])
        for kind in (torch.long, torch.bool, torch.float):
            torch.testing.assert_close(pool(x, mask.to(kind)), want)
        torch.testing.assert_close(pool(x), pool(x, torch.ones(3, 6)))
        assert pool(x.half(), mask).dtype == torch.half
        assert pool(x, torch.zeros(3, 6)).eq(0).all()
    assert torch.equal(first_token(x), x[:, 0])


def test_an_empty_text_has_finite_gradients():
    for pool in (mean_pool, max_pool):
        x = torch.randn(2, 3, 4, requires_grad=True)
        pool(x, torch.tensor([[1, 1, 0], [0, 0, 0]])).sum().backward()
        assert x.grad.isfinite().all() and x.grad[1].eq(0).all()


# classes


SORTS = [
    ("one number", 1, lambda b: torch.randn(b)),
    ("one number, a column", 1, lambda b: torch.randn(b, 1)),
    ("several numbers", 3, lambda b: torch.randn(b, 3)),
    ("classes", 4, lambda b: torch.randint(0, 4, (b,))),
    ("classes, a column", 4, lambda b: torch.randint(0, 4, (b, 1))),
    ("several classes", 3, lambda b: torch.rand(b, 3).round()),
]


@pytest.mark.parametrize("b", [1, 2, 5])
@pytest.mark.parametrize("name, n, make", SORTS, ids=[s[0] for s in SORTS])
def test_classification_loss(name, n, make, b):
    torch.manual_seed(b)
    logits, labels = torch.randn(b, n, requires_grad=True), make(b)
    problems = [None] + (["regression"] if name == "several numbers" else [])
    for problem in problems:
        ours = PretrainedConfig(num_labels=n, problem_type=problem)
        theirs = T.PretrainedConfig(num_labels=n, problem_type=problem)
        same_gradients(classification_loss(logits, labels, ours),
                       L.ForSequenceClassificationLoss(labels, logits, theirs), logits)
        assert ours.problem_type == theirs.problem_type is not None


def test_labels_the_reference_can_not_take():
    "Whole numbers for regression and for yes-or-no questions; small integers for classes"
    torch.manual_seed(0)
    logits = torch.randn(4, 3, requires_grad=True)
    yes = torch.randint(0, 2, (4, 3))
    multi = PretrainedConfig(num_labels=3, problem_type="multi_label_classification")
    want = F.binary_cross_entropy_with_logits(logits, yes.float())
    for y in (yes, yes.bool(), yes.int()):
        same_gradients(classification_loss(logits, y, multi), want + 0, logits)
    assert classification_loss(logits, yes.bool(), (c := PretrainedConfig(num_labels=3))) == want
    assert c.problem_type == "multi_label_classification"
    one, stars = logits[:, :1], torch.tensor([1, 5, 3, 2])
    same_gradients(classification_loss(one, stars, PretrainedConfig(num_labels=1)),
                   F.mse_loss(one[:, 0], stars.float()), logits)
    classes = torch.tensor([0, 2, 1, 1])
    for kind in (torch.int, torch.int16, torch.uint8):
        assert class_loss(logits, classes.to(kind)) == F.cross_entropy(logits, classes)


def test_problem_type_is_kept():
    config = PretrainedConfig(num_labels=3, problem_type="regression")
    classification_loss(torch.randn(2, 3), torch.randn(2, 3), config)
    assert config.problem_type == "regression"
    fresh = PretrainedConfig(num_labels=3)
    with pytest.raises(IndexError):
        classification_loss(torch.randn(2, 3), torch.tensor([0, 7]), fresh)
    assert fresh.problem_type is None  # a wrong batch decides nothing
    fresh.problem_type = "ranking"
    with pytest.raises(ValueError, match="ranking"):
        classification_loss(torch.randn(2, 3), torch.randn(2, 3), fresh)


@pytest.mark.parametrize("labels, n, says", [
    (torch.tensor([0, 3]), 3, r"labels\[1\] is 3, but with num_labels=3"),
    (torch.tensor([[0], [-1]]), 3, r"labels\[1, 0\] is -1, but with num_labels=3"),
    (torch.tensor([0, 1, 2]), 3, r"labels has shape \(3,\).*\(2, 3\)"),
    (torch.tensor([[0, 1, 1], [1, 0, 0]]), 3, r"labels has shape \(2, 3\)"),
    (torch.tensor([0.0, 1.0]), 3, r"labels has shape \(2,\).*multi_label_classification.*num_labels=3"),
    (torch.randn(2, 2), 1, r"labels has shape \(2, 2\).*regression.*num_labels=1"),
    (torch.randn(4), 1, r"labels has shape \(4,\)"),
])
def test_wrong_labels_are_named(labels, n, says):
    with pytest.raises((IndexError, ValueError), match=says):
        classification_loss(torch.randn(2, n), labels, PretrainedConfig(num_labels=n))


def test_ignored_labels_do_not_hide_wrong_ones():
    with pytest.raises(IndexError, match=r"labels\[0, 2\] is 9, but with num_labels=4"):
        token_loss(torch.randn(2, 3, 4), torch.tensor([[-100, 1, 9], [0, 0, 0]]))
    with pytest.raises(ValueError, match=r"labels has shape \(3, 2\)"):
        token_loss(torch.randn(2, 3, 4), torch.zeros(3, 2, dtype=torch.long))
    with pytest.raises(ValueError, match="whole numbers"):
        token_loss(torch.randn(2, 3, 4), torch.zeros(2, 3))


# tokens, words


def labelled(b=3, s=7, n=11):
    torch.manual_seed(0)
    logits, labels = torch.randn(b, s, n, requires_grad=True), torch.randint(0, n, (b, s))
    labels[0, 2:], labels[1, 0] = -100, -100
    return logits, labels


def test_token_and_word_losses():
    logits, labels = labelled()
    want = F.cross_entropy(logits.view(-1, 11), labels.view(-1))
    same_gradients(token_loss(logits, labels), want, logits)
    same_gradients(masked_lm_loss(logits, labels), L.ForMaskedLMLoss(logits, labels, 11), logits)
    same_gradients(next_token_loss(logits, labels), L.ForCausalLMLoss(logits, labels, 11), logits)
    same_gradients(masked_lm_loss(logits, labels.flatten()), L.ForMaskedLMLoss(logits, labels, 11), logits)


def test_next_token_shifts_once():
    logits = F.one_hot(torch.tensor([[4, 2, 7, 0]]), 9) * 100.0  # says 4 2 7 next, then anything
    assert next_token_loss(logits, torch.tensor([[1, 4, 2, 7]])) < 1e-6
    assert next_token_loss(logits, torch.tensor([[4, 2, 7, 0]])) > 10
    assert next_token_loss(logits.half(), torch.tensor([[1, 4, 2, 7]])).dtype == torch.float
    with pytest.raises(ValueError, match=r"\(1, 4\)"):
        next_token_loss(logits[:, -1:], torch.tensor([[1, 4, 2, 7]]))


def test_nothing_asked_is_nan_as_in_the_reference():
    logits, labels = labelled()
    nothing = torch.full_like(labels, -100)
    assert masked_lm_loss(logits, nothing).isnan() and L.ForMaskedLMLoss(logits, nothing, 11).isnan()


def test_memory_of_the_shift():
    "The logits are not copied"
    logits = torch.randn(2, 5, 9)
    seen = []
    real = F.cross_entropy
    try:
        F.cross_entropy = lambda x, *a, **k: seen.append(x.data_ptr()) or real(x, *a, **k)
        next_token_loss(logits, torch.zeros(2, 5, dtype=torch.long))
    finally:
        F.cross_entropy = real
    assert seen == [logits.data_ptr()]


# spans, choices, pairs


@pytest.mark.parametrize("column", [False, True])
def test_spans_are_clamped(column):
    torch.manual_seed(0)
    start, end = torch.randn(5, 8, requires_grad=True), torch.randn(5, 8, requires_grad=True)
    a, b = torch.tensor([0, 3, -4, 8, 99]), torch.tensor([7, -1, 2, 7, 1000])
    if column:
        a, b = a[:, None], b[:, None]
    same_gradients(span_loss(start, end, a, b), L.ForQuestionAnsweringLoss(start, end, a, b), start, end)
    with pytest.raises(ValueError, match=r"end_positions has shape \(4,"):
        span_loss(start, end, a, b[:4])


def test_choices_and_pairs():
    torch.manual_seed(0)
    scores = torch.randn(4, 2, requires_grad=True)
    labels = torch.tensor([0, 1, 1, 0])
    for loss in (choice_loss, next_sentence_loss):
        same_gradients(loss(scores, labels), F.cross_entropy(scores, labels), scores)
        with pytest.raises(IndexError, match=r"labels\[3\] is 2"):
            loss(scores, torch.tensor([0, 1, 1, 2]))


def test_fold_choices():
    x = torch.randn(2, 3, 5)
    assert torch.equal(fold_choices(x)[4], x[1, 1]) and fold_choices(None) is None
    assert fold_choices(torch.randn(2, 3, 5, 7), "inputs_embeds", 4).shape == (6, 5, 7)
    with pytest.raises(ValueError, match=r"token_type_ids has shape \(2, 5\).*token_type_ids\[None\]"):
        fold_choices(torch.zeros(2, 5), "token_type_ids")


# words and pieces


def test_align_labels(rng):
    for _ in range(200):
        labels = [rng.randint(0, 9) for _ in range(rng.randint(0, 6))]
        ids = [None] + [w for w in range(len(labels)) for _ in range(rng.randint(0, 3))] + [None] * rng.randint(1, 3)
        first = [labels[w] if w is not None and ids.index(w) == i else -100 for i, w in enumerate(ids)]
        assert align_labels(labels, ids) == first
        assert align_labels(labels, ids, every_piece=True) == [-100 if w is None else labels[w] for w in ids]
    with pytest.raises(ValueError, match="1 labels.*3 words"):
        align_labels([1], [None, 0, 2, None])


def test_half_and_devices():
    logits, labels = labelled()
    for kind in (torch.bfloat16, torch.float64):
        assert token_loss(logits.to(kind), labels).dtype == kind
    assert token_loss(logits.to("meta"), labels.to("meta")).is_meta
