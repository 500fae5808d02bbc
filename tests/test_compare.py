"Comparing, recommending and searching models: scores against counting by hand, faults as rows, budgets, resuming."
import math

import pytest
import torch

import minihf
from minihf import compare as C
from minihf.compare import compare_models, recommend, search_models

pytestmark = pytest.mark.filterwarnings("ignore")
ROWS = [{"text": f"{w} number {i}", "label": k} for i in range(8) for w, k in (("good", "yes"), ("bad", "no"), ("dull", "no"))]
QUIET = dict(progress_bar=False)
TASK = "text-classification"


def first_word(rows, seed=0):
    known = {r["text"].split()[0]: r["label"] for r in rows}
    return lambda texts: [known.get(t.split()[0]) for t in texts]


def always_yes(rows, seed=0):
    return lambda texts: ["yes"] * len(texts)


def broken(rows, seed=0):
    raise RuntimeError("no luck\ntoday")


def test_folds_hold_each_row_once_and_each_label_evenly():
    for k in (2, 3, 5):
        folds = C.deal_folds(ROWS, k)
        assert sorted(i for f in folds for i in f) == list(range(24))
        for f in folds:
            assert abs(sum(ROWS[i]["label"] == "yes" for i in f) - 8 / k) < 1
    assert C.deal_folds(ROWS, 3) == C.deal_folds(ROWS, 3) != C.deal_folds(ROWS, 3, seed=1)


def test_scores_are_those_of_counting_and_a_fault_is_a_row():
    found = compare_models(TASK, [first_word, always_yes, broken], ROWS, folds=4, **QUIET)
    by = {r.name: r for r in found}
    assert by["first_word"].scores == [1.0] * 4 and by["first_word"].spread == 0
    assert by["always_yes"].quality == pytest.approx(1 / 3) and by["most frequent label"].quality == pytest.approx(2 / 3)
    assert by["broken"].error == "RuntimeError: no luck today" and not by["broken"].scores and math.isnan(by["broken"].quality)
    assert [r.name for r in found] == ["first_word", "most frequent label", "always_yes", "broken"]
    assert found.recommended.name == "first_word" and "first_word" in found.why
    for word in ("1.000 ± 0.000", "no luck", "recommended: first_word", "ms/row"):
        assert word in repr(found)
    assert found.sorted("milliseconds")[-1].name == "broken"


def test_metrics():
    f1 = compare_models(TASK, [always_yes], ROWS, metric="f1", baseline=False, folds=2, **QUIET)[0]
    assert f1.quality == pytest.approx(0.25)  # 0.5 for yes, 0 for no
    own = compare_models(TASK, [always_yes], ROWS, metric=lambda answers, rows: len(answers), baseline=False, folds=2, **QUIET)
    assert own[0].scores == [12.0, 12.0]
    sk = pytest.importorskip("sklearn.metrics")
    answers, right = list("abacab"), [{"label": c} for c in "abbcca"]
    assert C.macro_f1(answers, right) == pytest.approx(sk.f1_score([r["label"] for r in right], answers, average="macro"))


def test_the_quicker_of_two_that_are_as_good_is_recommended():
    made = C.Comparison([C.Result("slow", [0.80, 0.90, 0.85], 9.0), C.Result("quick", [0.82, 0.86, 0.85], 1.0),
                         C.Result("weak", [0.5, 0.6, 0.5], 0.1), C.Result("none", error="x")])
    assert made.recommended.name == "quick" and "within chance" in made.why and "9.0 times" in made.why
    assert C.Comparison([C.Result("none", error="x")]).recommended is None
    assert "nothing is recommended" in repr(C.Comparison([C.Result("none", error="x")]))
    assert C.as_good([0.8, 0.9], [0.82, 0.89]) and not C.as_good([0.8, 0.9], [0.85, 0.95])


def test_a_budget_shows_what_is_known_by_then(monkeypatch):
    clock = iter(range(10**6))
    monkeypatch.setattr(C.time, "perf_counter", lambda: float(next(clock)))
    found = compare_models(TASK, [first_word, always_yes], ROWS, folds=5, budget=25, **QUIET)
    assert 0 < sum(len(r.scores) for r in found) < 15
    sizes = [len(r.scores) for r in found]
    assert max(sizes) - min(sizes) <= 1  # in turns
    assert any("ended before all folds" in r.error for r in found)


def test_checkpoints_are_trained_with_the_settings_and_the_seed():
    how = dict(settings={"learning_rate": 2e-3, "num_train_epochs": 12}, baseline=False, folds=2, **QUIET)
    found = [compare_models(TASK, ["minihf/tiny-bert"], ROWS, **how)[0] for _ in range(2)]
    assert found[0].scores == found[1].scores and found[0].quality > 0.7
    model = minihf.AutoModelForSequenceClassification.from_pretrained("minihf/tiny-bert", num_labels=2)
    assert found[0].parameters == model.num_parameters() and found[0].megabytes == pytest.approx(found[0].parameters * 4 / 2**20)
    wrong = compare_models(TASK, ["minihf/tiny-bert"], ROWS, settings={"learning_rat": 1}, baseline=False, folds=2, **QUIET)
    assert "learning_rat" in wrong[0].error


def test_a_checkpoint_that_knows_the_labels_is_not_trained(tmp_path, monkeypatch):
    torch.manual_seed(0)
    model = minihf.AutoModelForSequenceClassification.from_pretrained("minihf/tiny-bert", id2label={0: "yes", 1: "no"},
                                                                      label2id={"yes": 0, "no": 1})
    tokenizer = minihf.AutoTokenizer.from_pretrained("minihf/tiny-bert")
    minihf.pipeline(TASK, model, tokenizer=tokenizer).save_pretrained(tmp_path)
    monkeypatch.setattr(C.Classifier, "train", lambda *a: pytest.fail("trained"))
    found = compare_models(TASK, {"mine": tmp_path}, ROWS, baseline=False, folds=2, **QUIET)[0]
    said = [o["label"] for o in minihf.pipeline(TASK, tmp_path)([r["text"] for r in ROWS])]
    assert found.quality == pytest.approx(sum(a == r["label"] for a, r in zip(said, ROWS)) / 24)
    assert recommend(TASK, ROWS, [str(tmp_path)])[0].knows_labels


def test_labels_may_be_numbers():
    rows = [{**r, "label": int(r["label"] == "yes")} for r in ROWS]
    found = compare_models(TASK, ["minihf/tiny-gpt2"], rows, settings={"learning_rate": 2e-3}, folds=2, **QUIET)
    assert all(len(r.scores) == 2 for r in found) and max(r.quality for r in found) > 0.6


def test_compression_is_that_of_the_loss():
    text = "Return the number of items in the list."
    answer = C.Writer("minihf/tiny-gpt2")([])
    model, tokenizer = answer.model, minihf.AutoTokenizer.from_pretrained("minihf/tiny-gpt2")
    ids = torch.tensor([[tokenizer.eos_token_id, *tokenizer(text)["input_ids"]]])
    loss = model(ids, labels=ids).loss.item()
    assert answer([text])[0] == pytest.approx(8 * len(text) / (loss * (ids.shape[1] - 1) / math.log(2)), rel=1e-4)
    found = compare_models("text-generation", ["minihf/tiny-gpt2", "minihf/tiny-bert"], [{"text": text}] * 4, folds=2, **QUIET)
    assert found.metric == "compression" and found[0].quality > 2
    assert answer(["word " * 300])[0] > 1  # longer than the model reads


@pytest.mark.parametrize("change, error, match", [
    (dict(task="translation"), ValueError, "`task` must be one of"), (dict(candidates="minihf/tiny-bert"), TypeError, "candidates should be a list"),
    (dict(candidates=[]), ValueError, "`candidates` must be at least one"), (dict(candidates=[5]), TypeError, "candidate '5'"),
    (dict(candidates=[broken, broken]), ValueError, "there twice"), (dict(dataset=[]), ValueError, "at least two rows"),
    (dict(dataset=[{"text": "a", "label": 1}, {"text": "b"}]), ValueError, "row 1 has no 'label'"),
    (dict(dataset=[{"text": 5, "label": 1}] * 3), TypeError, "row 0 has a text that's no string"),
    (dict(folds=1), ValueError, "`folds` must be from 2 to 24"), (dict(metric="bleu"), ValueError, "`metric` must be one of"),
    (dict(metric=5), TypeError, "metric"), (dict(budget="x"), TypeError, "budget")])
def test_what_cannot_be_is_said_before_any_work(change, error, match):
    def never(rows, seed=0):
        pytest.fail("work was done")

    with pytest.raises(error, match=match):
        compare_models(**dict(task=TASK, candidates=[never], dataset=ROWS, **QUIET) | change)


def test_recommend_measures_tokenizers_and_heads(tmp_path):
    found = {p.name: p for p in recommend(TASK, [{"text": "今天天气真好。", "label": i} for i in range(3)], ["no/such"])}
    assert found["minihf/tiny-bert"].unknown > 0.5 and "writing" in found["minihf/tiny-bert"].against
    assert found["minihf/tiny-gpt2"].unknown == 0 and found["minihf/tiny-gpt2"].per_word > 5
    assert "no/such" in found["no/such"].against
    long = recommend(TASK, [{"text": "the list " * 200, "label": i} for i in range(3)])
    assert {p.name: p.cut for p in long}["minihf/tiny-bert"] == 1.0
    made = recommend("text-generation", [{"text": "a"}, {"text": "b"}])
    assert made[0].name == "minihf/tiny-gpt2" and made.names[0] == "minihf/tiny-gpt2" and made[0].megabytes > 1
    assert "unknown" in repr(made) and "minihf/tiny-gpt2" in repr(made)


def test_plots():
    import matplotlib

    matplotlib.use("agg")
    ax = C.Comparison([C.Result("a", [0.5, 0.6], 1.0, 2.0), C.Result("b", error="x")]).plot("megabytes")
    assert "megabytes" in ax.get_xlabel() and [t.get_text() for t in ax.texts] == ["a"]
    fig = C.Search([dict(score=0.5, error="", settings={"model": "a", "learning_rate": 1e-3}),
                    dict(score=None, error="x", settings={})]).plot()
    assert len(fig.axes) == 3


# ---- search ----


@pytest.fixture
def trained(monkeypatch):
    "A classifier that is as good as its learning rate is near to 1e-3; what was tried"
    pytest.importorskip("optuna")
    tried = []

    def call(self, rows, seed=0):
        tried.append((self.name, self.settings["learning_rate"]))
        if self.name == "bad":
            raise RuntimeError("no such thing")
        n = max(0, 10 - abs(round(4 * math.log10(self.settings["learning_rate"] / 1e-3))))
        return lambda texts: ["yes" if i < n else "no" for i in range(len(texts))]

    monkeypatch.setattr(C.Classifier, "__call__", call)
    return tried


HOW = dict(space={"learning_rate": (1e-5, 1e-1)}, metric=lambda answers, rows: answers.count("yes") / 10)


def test_a_search_goes_on_where_it_was(trained, tmp_path):
    first = search_models(TASK, ["one", "two"], ROWS, n_trials=4, folder=tmp_path, **HOW)
    assert len(trained) == len(first) == 4
    again = search_models(TASK, ["one", "two"], ROWS, n_trials=7, folder=tmp_path, **HOW)
    assert len(trained) == len(again) == 7 and again[:4] == first
    assert search_models(TASK, ["one", "two"], ROWS, n_trials=7, folder=tmp_path, **HOW) == again and len(trained) == 7
    assert again.best["score"] == max(t["score"] for t in again) and "← best" in repr(again)
    assert {t["settings"]["model"] for t in again} <= {"one", "two"}


def test_a_search_is_repeatable_and_survives_faults(trained):
    a, b = (search_models(TASK, ["one", "bad"], ROWS, n_trials=8, **HOW) for _ in range(2))
    assert a == b and len(a) == 8
    failed = [t for t in a if t["score"] is None]
    assert failed and all("no such thing" in t["error"] and t["settings"]["model"] == "bad" for t in failed)
    assert a.best["settings"]["model"] == "one"
    assert search_models(TASK, ["bad"], ROWS, n_trials=2, **HOW).best is None


def test_spaces(trained):
    found = search_models(TASK, ["one"], ROWS, n_trials=3, metric=HOW["metric"], space=lambda trial: {
        "learning_rate": trial.suggest_float("learning_rate", 0.1, 0.2)})
    assert all(0.1 <= t["settings"]["learning_rate"] <= 0.2 for t in found)
    with pytest.raises(ValueError, match="task"):
        search_models("text-generation", ["one"], ROWS)
    with pytest.raises(ValueError, match="metric"):
        search_models(TASK, ["one"], ROWS, metric="bleu")
