"The Trainer against the reference's: same data, seed and arguments give the same losses, metrics and predictions."
import dataclasses
import inspect
import json
import logging

import numpy as np
import pytest
import torch
import transformers as hf
from torch import nn

import minihf.trainer as T
from minihf.config import BertConfig, GPT2Config
from minihf.models.bert import BertForMaskedLM, BertForQuestionAnswering, BertForSequenceClassification, BertModel
from minihf.models.gpt2 import GPT2LMHeadModel

BERT = dict(vocab_size=100, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
            max_position_embeddings=64, num_labels=3, hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1)
GPT2 = dict(vocab_size=100, n_embd=32, n_layer=2, n_head=4, n_positions=64, bos_token_id=0, eos_token_id=0,
            pad_token_id=0)
PAIRS = {
    "classifier": (hf.BertForSequenceClassification, hf.BertConfig, BertForSequenceClassification, BertConfig, BERT),
    "masked": (hf.BertForMaskedLM, hf.BertConfig, BertForMaskedLM, BertConfig, BERT),
    "causal": (hf.GPT2LMHeadModel, hf.GPT2Config, GPT2LMHeadModel, GPT2Config, GPT2),
}


def make_rows(n, seed=0):
    "Rows of 4 to 19 tokens; the label is the first token modulo 3"
    g = torch.Generator().manual_seed(seed)
    rows = []
    for _ in range(n):
        ids = torch.randint(5, 100, (int(torch.randint(4, 20, (1,), generator=g)),), generator=g).tolist()
        rows.append(dict(input_ids=ids, attention_mask=[1] * len(ids), label=ids[0] % 3))
    return rows


TRAIN, EVAL = make_rows(150), make_rows(37, seed=1)


def pad(rows, value=0, key="input_ids"):
    most = max(len(o["input_ids"]) for o in rows)
    return torch.tensor([o[key] + [value] * (most - len(o[key])) for o in rows])


def collate(rows):
    batch = dict(input_ids=pad(rows), attention_mask=pad(rows, key="attention_mask"))
    return batch | dict(labels=torch.tensor([o["label"] for o in rows]))


def collate_causal(rows):
    batch = dict(input_ids=pad(rows), attention_mask=pad(rows, key="attention_mask"))
    return batch | dict(labels=pad(rows, -100))


def collate_masked(rows):
    "Masks words with torch's own randomness, which dropout uses as well"
    batch = collate_causal(rows)
    chosen = torch.bernoulli(torch.full(batch["input_ids"].shape, 0.3)).bool() & batch["attention_mask"].bool()
    labels = batch["labels"].masked_fill(~chosen, -100)
    return batch | dict(input_ids=batch["input_ids"].masked_fill(chosen, 3), labels=labels)


COLLATE = dict(classifier=collate, masked=collate_masked, causal=collate_causal)


def both(kind, tmp_path=None, seed=0, **changes):
    "The reference's model and ours, with the same weights"
    their, their_config, ours, our_config, sizes = PAIRS[kind]
    torch.manual_seed(seed)
    a = their(their_config(**sizes | changes))
    if tmp_path is not None:
        a.save_pretrained(tmp_path / "theirs")
        return a, ours.from_pretrained(tmp_path / "theirs")
    b = ours(our_config(**sizes | changes))
    b.load_state_dict(a.state_dict())
    return a, b


def accuracy(p):
    return {"accuracy": float((p.predictions.argmax(-1) == p.label_ids).mean())}


def settings(folder, **kw):
    base = dict(use_cpu=True, per_device_train_batch_size=8, max_steps=20, logging_steps=1, disable_tqdm=True,
                report_to="none", learning_rate=1e-3, save_strategy="no", remove_unused_columns=False)
    return dict(output_dir=str(folder), **base | kw)


def train(lib, model, folder, kind="classifier", data=TRAIN, metrics=None, callbacks=None, **kw):
    trainer = lib.Trainer(model=model, args=lib.TrainingArguments(**settings(folder, **kw)), train_dataset=data,
                          eval_dataset=EVAL, data_collator=COLLATE[kind], compute_metrics=metrics, callbacks=callbacks)
    return trainer, trainer.train()


def logged(trainer, name):
    return [o[name] for o in trainer.state.log_history if name in o]


def assert_same_run(ours, theirs, rel=1e-4):
    for name in ("loss", "learning_rate", "grad_norm", "eval_loss"):
        a, b = logged(ours, name), logged(theirs, name)
        assert len(a) == len(b)
        np.testing.assert_allclose(a, b, rtol=rel if name != "learning_rate" else 1e-12, err_msg=name)
    for a, b in zip(ours.state.log_history, theirs.state.log_history):
        assert set(a) - {"total_flos"} == set(b) - {"total_flos"}


# --- the same run -----------------------------------------------------------------------------
@pytest.mark.parametrize("kw", [
    dict(max_steps=50),
    dict(lr_scheduler_type="cosine", warmup_steps=5, weight_decay=0.1, max_grad_norm=0.3),
    dict(num_train_epochs=1.5, max_steps=-1, warmup_steps=0.2, logging_steps=4, logging_first_step=True),
    dict(eval_strategy="steps", eval_steps=7, eval_on_start=True, eval_delay=8),
    dict(eval_strategy="epoch", logging_strategy="epoch", max_steps=-1, num_train_epochs=2),
    dict(label_smoothing_factor=0.1, seed=3, data_seed=9, dataloader_drop_last=True),
    dict(optim="sgd", optim_args="momentum=0.9,nesterov=True", lr_scheduler_type="polynomial"),
], ids=["50 steps", "cosine", "epochs", "eval steps", "eval epochs", "smoothing", "sgd"])
def test_classifier_trains_as_the_reference(tmp_path, kw):
    theirs, ours = both("classifier")
    a, out_a = train(T, ours, tmp_path / "a", metrics=accuracy, **kw)
    b, out_b = train(hf, theirs, tmp_path / "b", metrics=accuracy, **kw)
    assert_same_run(a, b)
    assert out_a.global_step == out_b.global_step
    assert out_a.training_loss == pytest.approx(out_b.training_loss, rel=1e-5)
    ea, eb = a.evaluate(), b.evaluate()
    assert set(ea) == set(eb)
    assert ea["eval_loss"] == pytest.approx(eb["eval_loss"], rel=1e-5) and ea["eval_accuracy"] == eb["eval_accuracy"]
    pa, pb = a.predict(EVAL), b.predict(EVAL)
    np.testing.assert_allclose(pa.predictions, pb.predictions, atol=1e-5)
    assert (pa.label_ids == pb.label_ids).all() and set(pa.metrics) == set(pb.metrics)


@pytest.mark.parametrize("kind,kw", [
    ("masked", dict(max_steps=25)),  # masks and dropout drawn in turn from one source of randomness
    ("causal", dict(gradient_accumulation_steps=3, max_steps=8)),  # pieces weighted with their labels
    ("causal", dict(label_smoothing_factor=0.2, max_steps=8)),
])
def test_language_models_train_as_the_reference(tmp_path, kind, kw):
    theirs, ours = both(kind, tmp_path)
    a, _ = train(T, ours, tmp_path / "a", kind, **kw)
    b, _ = train(hf, theirs, tmp_path / "b", kind, **kw)
    assert_same_run(a, b)


def test_accumulation_is_a_mean(tmp_path):
    "The reference adds the losses of the pieces for this head; divided by their number they are ours"
    theirs, ours = both("classifier")
    kw = dict(gradient_accumulation_steps=2, max_grad_norm=0.0, max_steps=9)
    a, _ = train(T, ours, tmp_path / "a", **kw)
    b, _ = train(hf, theirs, tmp_path / "b", **kw)
    np.testing.assert_allclose(np.array(logged(a, "loss")) * 2, logged(b, "loss"), rtol=1e-3)


@pytest.mark.parametrize("kind", ["classifier", "causal"])
def test_accumulation_equals_the_large_batch(tmp_path, kind):
    off = dict(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    off = off if kind == "classifier" else dict(resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
    kw = dict(max_steps=6, train_sampling_strategy="sequential", optim="sgd", learning_rate=0.1)
    whole, parts = both(kind, tmp_path, **off)[1], both(kind, tmp_path, **off)[1]
    a, _ = train(T, whole, tmp_path / "a", kind, TRAIN[:144], per_device_train_batch_size=24, **kw)
    b, _ = train(T, parts, tmp_path / "b", kind, TRAIN[:144], gradient_accumulation_steps=3, **kw)
    assert logged(a, "loss") == pytest.approx(logged(b, "loss"), rel=1e-4)
    assert logged(a, "grad_norm") == pytest.approx(logged(b, "grad_norm"), rel=1e-3)


def test_own_loss_function_gets_the_count(tmp_path):
    "Pieces of an update, divided by all its labels, in both libraries"
    def loss_of(outputs, labels, num_items_in_batch=None):
        return nn.functional.cross_entropy(outputs["logits"], labels, reduction="sum") / num_items_in_batch
    runs = []
    for lib, model in zip((hf, T), both("classifier")):
        args = lib.TrainingArguments(**settings(tmp_path / lib.__name__, gradient_accumulation_steps=2, max_steps=8))
        trainer = lib.Trainer(model, args, train_dataset=TRAIN, eval_dataset=EVAL, data_collator=collate,
                              compute_loss_func=loss_of)
        trainer.train()
        runs.append(trainer)
    assert_same_run(runs[1], runs[0])
    assert runs[1].evaluate()["eval_loss"] == pytest.approx(runs[0].evaluate()["eval_loss"], rel=1e-5)


def test_spans_are_predicted_as_pairs(tmp_path):
    torch.manual_seed(0)
    two = BERT | dict(num_labels=2)
    theirs = hf.BertForQuestionAnswering(hf.BertConfig(**two))
    ours = BertForQuestionAnswering(BertConfig(**two))
    ours.load_state_dict(theirs.state_dict())
    spans = lambda rows: dict(input_ids=pad(rows), start_positions=torch.tensor([o["label"] for o in rows]),
                              end_positions=torch.tensor([o["label"] + 1 for o in rows]))
    out = []
    for lib, model in ((T, ours), (hf, theirs)):
        args = lib.TrainingArguments(**settings(tmp_path / lib.__name__, max_steps=5, optim="sgd", learning_rate=0.1))
        trainer = lib.Trainer(model, args, train_dataset=TRAIN, data_collator=spans)
        trainer.train()
        out.append((trainer.predict(EVAL), trainer))
    (a, t), (b, _) = out
    assert t.label_names == ["start_positions", "end_positions"]
    for x, y in zip((*a.predictions, *a.label_ids), (*b.predictions, *b.label_ids)):
        np.testing.assert_allclose(x, y, atol=1e-5)  # rows of other lengths are filled with -100
    assert a.metrics["test_loss"] == pytest.approx(b.metrics["test_loss"], rel=1e-5)


# --- schedules, optimizer, arguments ----------------------------------------------------------
@pytest.mark.parametrize("name,extra", [
    ("linear", {}), ("cosine", {}), ("cosine", {"num_cycles": 1.5}), ("cosine_with_restarts", {"num_cycles": 3}),
    ("polynomial", {}), ("polynomial", {"power": 2.5, "lr_end": 1e-5}), ("constant", {}),
    ("constant_with_warmup", {}), ("inverse_sqrt", {}),
])
@pytest.mark.parametrize("warmup,total", [(0, 10), (3, 17), (5, 5), (4, 40)])
def test_schedules_equal_the_reference(name, extra, warmup, total):
    if name == "polynomial" and warmup == total:
        pytest.skip("the reference divides by zero")
    rates = []
    for lib in (T, hf):
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=3e-4)
        schedule = lib.get_scheduler(name, optimizer, warmup, total, scheduler_specific_kwargs=extra)
        rates.append([])
        for _ in range(total + 5):
            rates[-1].append(schedule.get_last_lr()[0])
            optimizer.step()
            schedule.step()
    assert rates[0] == pytest.approx(rates[1], rel=1e-12, abs=1e-18)


@pytest.mark.parametrize("kind", ["classifier", "masked", "causal"])
def test_weight_decay_spares_what_the_reference_spares(tmp_path, kind):
    theirs, ours = both(kind, tmp_path)
    want = hf.Trainer.get_decay_parameter_names(None, theirs)
    names = {n for n, _ in theirs.named_parameters()}
    assert set(T.decay_names(ours)) == set(want) & names


def test_defaults_are_the_reference_s(tmp_path):
    ours, theirs = T.TrainingArguments(str(tmp_path)), hf.TrainingArguments(str(tmp_path))
    for f in dataclasses.fields(ours):
        a, b = getattr(ours, f.name), getattr(theirs, f.name)
        if f.name not in ("gradient_checkpointing", "disable_tqdm", "dataloader_pin_memory"):
            assert a == b, f.name
    a, b = (next(iter(inspect.signature(o.TrainingArguments).parameters)) for o in (T, hf))
    assert a == b == "output_dir"


def test_every_default_of_the_reference_is_taken(tmp_path):
    for f in dataclasses.fields(hf.TrainingArguments):
        made = f.default_factory is not dataclasses.MISSING
        T.TrainingArguments(**{f.name: f.default_factory() if made else f.default}) if f.init else None
    old = dict(per_gpu_train_batch_size=None, fp16_opt_level="O1", fp16_backend="auto", ray_scope="last", tpu_metrics_debug=False,
               use_legacy_prediction_loop=False, push_to_hub_token=None, include_num_input_tokens_seen=False, warmup_ratio=0.0)
    assert T.TrainingArguments("x", **old).train_batch_size == 8
    assert T.TrainingArguments("x", warmup_ratio=1.0).get_warmup_steps(70) == 70


def test_names_of_other_versions():
    a = T.TrainingArguments("x", evaluation_strategy="steps", no_cuda=True, per_gpu_train_batch_size=3,
                            per_gpu_eval_batch_size=5, warmup_ratio=0.25, group_by_length=True, logging_dir="logs",
                            activation_checkpointing=True, overwrite_output_dir=True, include_inputs_for_metrics=True)
    assert a.eval_strategy == "steps" and a.use_cpu and a.train_batch_size == 3 and a.eval_batch_size == 5
    assert a.get_warmup_steps(100) == 25 and a.train_sampling_strategy == "group_by_length"
    assert a.gradient_checkpointing and a.include_for_metrics == ["inputs"] and a.eval_steps == 500
    assert json.loads(a.to_json_string())["eval_strategy"] == "steps"


@pytest.mark.parametrize("kw,says", [
    (dict(learning_rat=1), "Did you mean 'learning_rate'"),
    (dict(push_to_hub=True), "nothing is uploaded"),
    (dict(deepspeed="x.json"), "doesn't have"),
    (dict(torch_compile=True), "doesn't have"),
    (dict(eval_strategy="always"), "choose one of no, steps, epoch"),
    (dict(lr_scheduler_type="lineal"), "choose one of linear"),
    (dict(optim="lion"), "choose one of adamw_torch"),
    (dict(fp16=True, bf16=True), "choose one"),
    (dict(load_best_model_at_end=True), "eval_strategy='no'"),
    (dict(load_best_model_at_end=True, eval_strategy="steps", eval_steps=3, save_steps=4), "multiple of"),
    (dict(logging_steps=0), "logging_steps=0"),
    (dict(save_steps=2.5), "save_steps=2.5"),
    (dict(per_device_train_batch_size=0), "at least 1"),
    (dict(lr_scheduler_type="reduce_lr_on_plateau"), "watches a metric"),
    (dict(report_to="wandb"), "callback"),
    (dict(report_to=["tensorboard", "wandb"]), "callback"),
    (dict(fsdp=True, fp16=True), "choose bf16"),
    (dict(deepspeed="x.json"), "set fsdp=True"),
    (dict(train_sampling_strategy="sorted"), "group_by_length"),
])
def test_wrong_settings_are_named(kw, says):
    with pytest.raises((ValueError, TypeError), match=says):
        T.TrainingArguments("x", **kw)


# --- what else a Trainer does -----------------------------------------------------------------
class Tiny(nn.Module):
    "Two classes from four numbers: a model that is no PreTrainedModel"

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))

    def forward(self, x, labels=None):
        logits = self.net(x)
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return {"loss": loss, "logits": logits} if loss is not None else {"logits": logits}


POINTS = [dict(x=[float(i % 3), float(i % 5), 1.0, -1.0], label=i % 2, name=str(i)) for i in range(24)]


def tiny(folder, data=POINTS, model=None, callbacks=None, metrics=None, cls=T.Trainer, collator=None, **kw):
    base = dict(use_cpu=True, disable_tqdm=True, max_steps=6, learning_rate=1e-2, save_strategy="no", logging_steps=2)
    return cls(model or Tiny(), T.TrainingArguments(str(folder), **base | kw), train_dataset=data, eval_dataset=POINTS,
               data_collator=collator, callbacks=callbacks, compute_metrics=metrics)


def test_plain_module_saves_and_resumes(tmp_path):
    whole = tiny(tmp_path / "a")
    whole.train()
    half = tiny(tmp_path / "b", save_strategy="steps", save_steps=3)
    half.train()
    again = tiny(tmp_path / "b", save_strategy="steps", save_steps=3)
    again.train(resume_from_checkpoint=str(tmp_path / "b/checkpoint-3"))
    for a, b, c in zip(whole.model.parameters(), half.model.parameters(), again.model.parameters()):
        assert torch.equal(a, b) and torch.equal(b, c)


def test_columns_that_the_model_does_not_take_are_dropped_with_one_line(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "minihf.training"):
        tiny(tmp_path).train()
    lines = [r.getMessage() for r in caplog.records if "dropped" in r.getMessage()]
    assert lines == ["training data: name dropped, Tiny doesn't take it (remove_unused_columns=False keeps them)"]


@pytest.mark.parametrize("kind", ["datasets", "torch", "stream"])
def test_kinds_of_data_give_the_same_run(tmp_path, kind):
    if kind == "datasets":
        data = pytest.importorskip("datasets").Dataset.from_list(POINTS)
    elif kind == "torch":
        class Rows(torch.utils.data.Dataset):
            __len__ = lambda self: len(POINTS)
            __getitem__ = lambda self, i: POINTS[i]
        data = Rows()
    else:
        class Stream(torch.utils.data.IterableDataset):
            __iter__ = lambda self: iter(POINTS)
        data = Stream()
    kw = dict(train_sampling_strategy="sequential") if kind == "stream" else {}
    a, b = tiny(tmp_path / "a", **kw), tiny(tmp_path / "b", data=data, **kw)
    a.train(), b.train()
    assert logged(a, "loss") == pytest.approx(logged(b, "loss"), rel=1e-6)


def test_callbacks_hear_of_events_in_order(tmp_path):
    heard = {}
    for lib in (T, hf):
        class Ear(lib.TrainerCallback):
            def __init__(self):
                self.heard = []
        for name in T.EVENTS:
            setattr(Ear, name, lambda self, *a, _n=name, **k: self.heard.append(_n))
        ear = Ear()
        args = lib.TrainingArguments(str(tmp_path / lib.__name__), use_cpu=True, disable_tqdm=True, num_train_epochs=2,
                                     logging_steps=2, gradient_accumulation_steps=2, eval_strategy="epoch",
                                     save_steps=2, report_to="none")
        lib.Trainer(Tiny(), args, train_dataset=POINTS, eval_dataset=POINTS[:8], callbacks=[ear]).train()
        heard[lib.__name__] = ear.heard
    assert heard[T.__name__] == heard["transformers"]


def test_control_stops_and_saves(tmp_path):
    class Stop(T.TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            assert kwargs["model"] is not None and kwargs["optimizer"] is not None
            control.should_training_stop = state.global_step == 3
            control.should_save = state.global_step == 2
    out = tiny(tmp_path, callbacks=[Stop]).train()
    assert out.global_step == 3 and (tmp_path / "checkpoint-2/trainer_state.json").exists()


def test_best_model_early_stopping_and_limit(tmp_path):
    scores = iter([0.1, 0.9, 0.3, 0.2, 0.8])
    seen = []

    class Keep(T.TrainerCallback):
        def on_evaluate(self, args, state, control, model=None, **kwargs):
            seen.append([p.detach().clone() for p in model.parameters()])

    trainer = tiny(tmp_path, metrics=lambda p: {"score": next(scores)}, max_steps=10, eval_strategy="steps", eval_steps=2,
                   save_strategy="steps", save_steps=2, load_best_model_at_end=True, metric_for_best_model="score",
                   save_total_limit=1, callbacks=[Keep, T.EarlyStoppingCallback(2)])
    out = trainer.train()
    assert out.global_step == 8 and trainer.state.best_metric == 0.9 and trainer.state.best_global_step == 4
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint-4"]
    assert all(torch.equal(a, b) for a, b in zip(trainer.model.parameters(), seen[1]))


def test_save_strategy_best(tmp_path):
    scores = iter([0.3, 0.2, 0.5])
    tiny(tmp_path, metrics=lambda p: {"score": next(scores)}, eval_strategy="steps", eval_steps=2, save_strategy="best",
         metric_for_best_model="score").train()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint-2", "checkpoint-6"]


def test_own_optimizer_loss_and_init(tmp_path):
    model = Tiny()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    schedule = T.get_constant_schedule(optimizer)
    args = T.TrainingArguments(str(tmp_path), use_cpu=True, disable_tqdm=True, max_steps=2, logging_steps=1,
                               save_strategy="no")
    trainer = T.Trainer(model, args, train_dataset=POINTS, optimizers=(optimizer, schedule))
    trainer.train()
    assert logged(trainer, "learning_rate") == [0.5, 0.5]

    class Double(T.Trainer):
        def compute_loss(self, model, inputs, return_outputs=False):
            out = model(**inputs)
            return (2 * out["loss"], out) if return_outputs else 2 * out["loss"]

    once, twice = tiny(tmp_path), tiny(tmp_path, cls=Double)
    once.train(), twice.train()
    assert logged(twice, "loss")[0] == pytest.approx(2 * logged(once, "loss")[0], rel=1e-2)
    made = T.Trainer(model_init=Tiny, args=args, train_dataset=POINTS)
    first = made.train().training_loss
    assert made.train().training_loss == first
    with pytest.raises(RuntimeError, match="model_init"):
        T.Trainer(model_init=Tiny, args=args, optimizers=(optimizer, None))


def test_metrics_get_inputs_and_losses(tmp_path):
    def look(p):
        assert len(p.inputs) == len(p.losses) == len(p.predictions) == 37
        predictions, labels, *_ = p
        assert labels is p.label_ids and p[0] is predictions
        return {"n": np.float32(1.5)}
    _, ours = both("classifier")
    args = T.TrainingArguments(**settings(tmp_path, include_for_metrics=["inputs", "loss"]))
    trainer = T.Trainer(ours, args, eval_dataset={"a": EVAL, "b": EVAL}, data_collator=collate, compute_metrics=look,
                        preprocess_logits_for_metrics=lambda logits, labels: logits.argmax(-1))
    metrics = trainer.evaluate()
    assert metrics["eval_a_n"] == metrics["eval_b_n"] == 1.5 and type(metrics["eval_a_n"]) is float
    assert trainer.predict(EVAL).predictions.shape == (37,)


def test_predict_without_labels(tmp_path):
    out = tiny(tmp_path).predict([{k: v for k, v in o.items() if k != "label"} for o in POINTS])
    assert out.predictions.shape == (24, 2) and out.label_ids is None and "test_loss" not in out.metrics


def test_group_by_length_makes_even_batches(tmp_path):
    theirs, ours = both("classifier")
    a, _ = train(T, ours, tmp_path / "a", train_sampling_strategy="group_by_length")
    b, _ = train(hf, theirs, tmp_path / "b", train_sampling_strategy="group_by_length")
    assert_same_run(a, b)


@pytest.mark.parametrize("kw", [dict(bf16=True), dict(gradient_checkpointing=True)])
def test_precision_and_checkpointing(tmp_path, kw):
    _, ours = both("classifier")
    _, plain = both("classifier")
    a, _ = train(T, ours, tmp_path / "a", metrics=accuracy, max_steps=5, **kw)
    b, _ = train(T, plain, tmp_path / "b", metrics=accuracy, max_steps=5)
    tolerance = 0.03 if "bf16" in kw else 1e-4
    assert logged(a, "loss") == pytest.approx(logged(b, "loss"), rel=tolerance)
    assert a.predict(EVAL).predictions.dtype == np.float32
    a.train()  # a second run of the same Trainer


def test_search(tmp_path):
    pytest.importorskip("optuna").logging.set_verbosity(30)
    args = T.TrainingArguments(str(tmp_path), use_cpu=True, disable_tqdm=True, max_steps=3, eval_strategy="steps",
                               eval_steps=3, save_strategy="no")
    trainer = T.Trainer(model_init=Tiny, args=args, train_dataset=POINTS, eval_dataset=POINTS)
    space = lambda trial: {"learning_rate": trial.suggest_float("learning_rate", 1e-6, 1.0, log=True)}
    best = trainer.hyperparameter_search(space, n_trials=3, direction="minimize")
    assert isinstance(best.run_id, str) and 1e-6 <= best.hyperparameters["learning_rate"] <= 1
    assert args.learning_rate == 5e-5
    with pytest.raises(RuntimeError, match="model_init"):
        tiny(tmp_path).hyperparameter_search()


def test_seq2seq_evaluates_what_is_written(tmp_path):
    _, model = both("causal", tmp_path)
    args = T.Seq2SeqTrainingArguments(str(tmp_path), use_cpu=True, disable_tqdm=True, predict_with_generate=True,
                                      generation_max_length=24, per_device_eval_batch_size=1)
    seen = {}

    def look(p):
        seen["shape"] = p.predictions.shape, p.label_ids.shape
        return {"n": 1.0}

    trainer = T.Seq2SeqTrainer(model, args, eval_dataset=EVAL[:4], data_collator=collate_causal, compute_metrics=look)
    metrics = trainer.evaluate()
    assert seen["shape"] == ((4, 24), (4, 24)) and metrics["eval_n"] == 1.0 and metrics["eval_loss"] > 0
    ids = torch.tensor([EVAL[0]["input_ids"]])
    want = model.generate(ids, attention_mask=torch.ones_like(ids), max_length=24)
    got = trainer.predict(EVAL[:1]).predictions
    assert got[0, : want.shape[1]].tolist() == want[0].tolist()
    short = trainer.predict(EVAL[:1], max_new_tokens=2).predictions
    assert short.shape[1] == ids.shape[1] + 2


# --- errors that name the cause ---------------------------------------------------------------
class Poisoned(Tiny):
    def forward(self, x, labels=None):
        out = super().forward(x, labels)
        if labels is not None:
            out["loss"] = out["loss"] * float("nan")
        return out


def test_nan_stops_before_the_weights_are_spoilt(tmp_path):
    trainer = tiny(tmp_path, model=Poisoned())
    with pytest.raises(FloatingPointError, match="step 1: the loss is nan.*The weights are those of step 0"):
        trainer.train()
    assert all(p.isfinite().all() for p in trainer.model.parameters())
    bad = [dict(o, x=[float("nan")] * 4) for o in POINTS]
    with pytest.raises(FloatingPointError, match="input 'x' holds NaN"):
        tiny(tmp_path, data=bad).train()


def test_only_skipped_labels_are_an_error(tmp_path):
    _, model = both("masked")
    rows = [dict(o, label=0) for o in TRAIN]
    skip = lambda rows: collate_causal(rows) | dict(labels=torch.full_like(pad(rows), -100))
    args = T.TrainingArguments(**settings(tmp_path))
    with pytest.raises(FloatingPointError, match="every label in a batch is -100"):
        T.Trainer(model, args, train_dataset=rows, data_collator=skip).train()


@pytest.mark.parametrize("make,error,says", [
    (lambda p: tiny(p, data=[]).train(), ValueError, "training data is empty"),
    (lambda p: tiny(p).evaluate([]), ValueError, "evaluation data is empty"),
    (lambda p: tiny(p, data=POINTS[:3], dataloader_drop_last=True).train(), ValueError, "fewer than a batch of 8"),
    (lambda p: tiny(p, data=[{"x": o["x"]} for o in POINTS]).train(), ValueError, "no loss, since the batch has no labels"),
    (lambda p: tiny(p, data=[{"text": "a"}] * 9).train(), ValueError, "no column of the training data is an argument"),
    (lambda p: tiny(p, data=["a"] * 9).train(), ValueError, "rows of the training data are str"),
    (lambda p: tiny(p, collator=lambda rows: rows).train(), TypeError, "returned list"),
    (lambda p: tiny(p, collator=3), TypeError, "data_collator should be a function"),
    (lambda p: T.Trainer(), ValueError, "one of model"),
    (lambda p: T.Trainer(BertModel(BertConfig(**BERT))), ValueError, "has no head"),
    (lambda p: T.Trainer(Tiny(), T.TrainingArguments(str(p), eval_strategy="epoch")), ValueError, "needs eval_dataset"),
    (lambda p: T.Trainer(Tiny(), T.TrainingArguments(str(p))).train(), ValueError, "train_dataset"),
    (lambda p: T.Trainer(Tiny(), T.TrainingArguments(str(p))).evaluate(), ValueError, "eval_dataset"),
    (lambda p: tiny(p).train(resume_from_checkpoint=True), ValueError, "no checkpoint in"),
    (lambda p: tiny(p).train(resume_from_checkpoint=str(p)), FileNotFoundError, "lacks trainer_state.json"),
    (lambda p: tiny(p, metrics=lambda o: 3).evaluate(), TypeError, "compute_metrics returned int"),
    (lambda p: tiny(p, callbacks=[T.EarlyStoppingCallback()]).train(), ValueError, "EarlyStoppingCallback needs"),
    (lambda p: tiny(p, eval_strategy="steps", eval_steps=2, metric_for_best_model="f1").train(), KeyError, "f1"),
    (lambda p: tiny(p).push_to_hub(), ValueError, "nothing is uploaded"),
])
def test_errors_name_the_cause(tmp_path, make, error, says):
    with pytest.raises(error, match=says):
        make(tmp_path)


@pytest.mark.parametrize("kw,error,says", [
    (dict(learning_rate="2e-5"), TypeError, "learning_rate should be float, not '2e-5'.*2.0e-5"),
    (dict(per_device_train_batch_size="8"), TypeError, "per_device_train_batch_size should be int"),
    (dict(learning_rate=float("nan")), ValueError, "learning_rate=nan must be a finite"),
    (dict(adam_beta1=2.0), ValueError, "adam_beta1=2.0 must be at most 1"),
    (dict(seed=2**40), ValueError, "seed=.* must be at most"),
    (dict(output_dir=5), TypeError, "output_dir should be"),
    (dict(metric_for_best_model=5), TypeError, "metric_for_best_model should be str or None"),
    (dict(label_names="labels"), TypeError, "label_names should be list"),
    (dict(lr_scheduler_kwargs="{x"), ValueError, "lr_scheduler_kwargs=.* is no JSON"),
    (dict(bf16="false"), TypeError, "bf16 should be bool, not 'false'"),
])
def test_settings_of_a_wrong_kind_are_named(kw, error, says):
    with pytest.raises(error, match=says):
        T.TrainingArguments(**{"output_dir": "x", **kw})


def test_settings_take_what_the_reference_takes(tmp_path):
    kw = dict(learning_rate=np.float32(0.5), max_steps=np.int64(7), seed=torch.tensor(3), lr_scheduler_kwargs='{"num_cycles": 2}',
              per_device_train_batch_size=4.0, bf16=0, output_dir=tmp_path, use_cpu=np.True_)
    a = T.TrainingArguments(**kw)
    assert (a.learning_rate, a.max_steps, a.seed, a.train_batch_size, a.bf16) == (0.5, 7, 3, 4, False)
    assert a.lr_scheduler_kwargs == {"num_cycles": 2} == hf.TrainingArguments(str(tmp_path), lr_scheduler_kwargs='{"num_cycles": 2}').lr_scheduler_kwargs
    assert a.output_dir == str(tmp_path) and a.use_cpu is True and json.loads(a.to_json_string())["seed"] == 3


class Silent(Tiny):
    "Gives something else than a loss"

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, x, labels=None):
        return self.answer(self.net(x))


def frozen():
    return Tiny().requires_grad_(False)


@pytest.mark.parametrize("make,error,says", [
    (lambda p: tiny(p, data={"train": POINTS}).train(), TypeError, r"no list of rows: give one part of it, as data\['train'\]"),
    (lambda p: tiny(p, data=(o for o in POINTS)).train(), TypeError, "can be read only once"),
    (lambda p: tiny(p, data="rows").train(), TypeError, "training data is 'rows'"),
    (lambda p: tiny(p, data=7).train(), TypeError, "training data is 7"),
    (lambda p: tiny(p, model=frozen()).train(), ValueError, "every parameter of Tiny is frozen"),
    (lambda p: tiny(p, model=Silent(lambda y: None)).train(), TypeError, "Silent.*gave None"),
    (lambda p: tiny(p, model=Silent(lambda y: y)).train(), TypeError, r"a tensor of the shape \(8, 2\)"),
    (lambda p: tiny(p, model=Silent(lambda y: ())).train(), TypeError, r"gave \(\)"),
    (lambda p: tiny(p, model=Silent(lambda y: {"loss": y.detach().sum()})).train(), TypeError, "no parameter has a part in"),
    (lambda p: tiny(p, data=[dict(o, label="good") for o in POINTS]).train(), ValueError, "column 'label' holds text .'good'"),
    (lambda p: T.Trainer("bert-base-uncased"), TypeError, "model should be a model: AutoModelFor"),
    (lambda p: T.Trainer(Tiny(), {"output_dir": "x"}), TypeError, "args should be TrainingArguments"),
    (lambda p: tiny(p, callbacks=[5]), TypeError, "callbacks should be a list of callbacks"),
    (lambda p: tiny(p, callbacks=T.PrinterCallback()), TypeError, "callbacks should be a list of callbacks"),
    (lambda p: tiny(p).add_callback("x"), TypeError, "a callback should be a TrainerCallback, not 'x'"),
    (lambda p: tiny(p, metrics=5), TypeError, "compute_metrics should be a function"),
    (lambda p: tiny(p, metrics=lambda o: {1: 2}).evaluate(), TypeError, "compute_metrics returned dict"),
    (lambda p: T.Trainer(Tiny(), optimizers=5), TypeError, "optimizers should be a pair"),
    (lambda p: tiny(p).evaluate({"a": 3}), TypeError, "evaluation data is 3"),
    (lambda p: tiny(p).evaluate("other"), TypeError, "evaluation data is 'other'"),
    (lambda p: tiny(p).predict(None), TypeError, "test data is None"),
    (lambda p: tiny(p).predict(POINTS, ignore_keys=5), TypeError, "ignore_keys should be list or None"),
    (lambda p: tiny(p).train(resume_from_checkpoint=5), TypeError, "resume_from_checkpoint should be"),
    (lambda p: tiny(p).train(resume_from_checkpoint=str(p / "gone")), FileNotFoundError, "no folder .*gone' to resume from"),
    (lambda p: T.EarlyStoppingCallback("x"), TypeError, "early_stopping_patience should be int"),
    (lambda p: T.set_seed("x"), TypeError, "seed should be int"),
    (lambda p: T.set_seed(-1), ValueError, "seed=-1"),
    (lambda p: T.get_scheduler("linear", 5, 1, 2), TypeError, "optimizer should be Optimizer, not 5"),
])
def test_what_is_no_data_model_or_callback_is_named(tmp_path, make, error, says):
    with pytest.raises(error, match=says):
        make(tmp_path)


@pytest.mark.parametrize("empty", [[], {"a": POINTS, "b": []}])
def test_empty_evaluation_is_told_before_the_first_step(tmp_path, empty):
    args = T.TrainingArguments(str(tmp_path), use_cpu=True, eval_strategy="epoch", save_strategy="no", disable_tqdm=True)
    trainer = T.Trainer(Tiny(), args, train_dataset=POINTS, eval_dataset=empty)
    with pytest.raises(ValueError, match="data is empty"):
        trainer.train()
    assert trainer.state.global_step == 0


def test_label_out_of_range(tmp_path):
    _, model = both("classifier")
    rows = [dict(o, label=7) for o in TRAIN]
    for kw in ({}, dict(label_smoothing_factor=0.1)):
        with pytest.raises(IndexError, match=r"labels\[0\] is 7, but with num_labels=3"):
            T.Trainer(model, T.TrainingArguments(**settings(tmp_path, **kw)), train_dataset=rows,
                      data_collator=collate).train()


def test_uneven_rows_without_padding(tmp_path):
    _, model = both("classifier")
    with pytest.raises(ValueError, match="Lengths differ in input_ids, attention_mask: pass processing_class"):
        T.Trainer(model, T.TrainingArguments(**settings(tmp_path)), train_dataset=TRAIN).train()


def test_stream_needs_max_steps(tmp_path):
    class Stream(torch.utils.data.IterableDataset):
        __iter__ = lambda self: iter(POINTS)
    with pytest.raises(ValueError, match="max_steps"):
        tiny(tmp_path, data=Stream(), max_steps=-1)


def test_interrupt_leaves_usable_objects(tmp_path):
    class Press(T.TrainerCallback):
        def on_substep_end(self, args, state, control, **kwargs):
            if state.global_step == 2:
                raise KeyboardInterrupt
    trainer = tiny(tmp_path, callbacks=[Press], gradient_accumulation_steps=2, disable_tqdm=False)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert not trainer.is_in_train and all(p.grad is None for p in trainer.model.parameters())
    assert trainer.evaluate()["eval_loss"] > 0 and trainer.predict(POINTS).predictions.shape == (24, 2)
    trainer.save_model(str(tmp_path / "saved"))
    trainer.pop_callback(Press)
    assert trainer.train().global_step == 6


def test_import_is_light():
    import subprocess
    import sys
    code = "import sys, minihf.training.trainer; print([m for m in ('accelerate', 'optuna', 'matplotlib', 'datasets', 'sklearn') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


class Scaled(T.Trainer):
    "float16's scaled losses, as on a GPU, on a CPU; the scale is far too high at first"

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127, backoff_factor=2.0**-60)
        self.accelerator.native_amp, self.accelerator.state._mixed_precision = True, "fp16"


def test_scaled_losses_skip_steps_that_overflow(tmp_path):
    kw = dict(cls=Scaled, optim="adamw_torch", logging_steps=1, save_strategy="steps", save_steps=3)
    whole = tiny(tmp_path, **kw)
    first = [p.detach().clone() for p in whole.model.parameters()]
    whole.train()
    rates = logged(whole, "learning_rate")
    assert rates[0] == rates[1] > rates[-1]  # a step that was left out doesn't count for the schedule
    assert any(not torch.equal(a, b) for a, b in zip(first, whole.model.parameters()))
    again = tiny(tmp_path, **kw)
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
    assert again.accelerator.scaler.get_scale() == whole.accelerator.scaler.get_scale()
    assert all(torch.equal(a, b) for a, b in zip(whole.model.parameters(), again.model.parameters()))


def test_bars_and_curves(tmp_path, monkeypatch, capsys):
    import IPython.display

    shown = []

    class Handle:
        update = shown.append

    monkeypatch.setattr(IPython.display, "display", lambda fig, display_id: shown.append(fig) or Handle)
    curves = T.CurvesCallback(("eval_accuracy",), pause=0.0)
    trainer = tiny(tmp_path, metrics=accuracy, callbacks=[curves], disable_tqdm=False, eval_strategy="steps", eval_steps=2)
    trainer.train()
    bar = trainer.pop_callback(T.ProgressCallback)
    assert bar.bar is None and bar.eval_bar is None
    assert len(shown) >= 3 and len(shown[-1].axes) == 2
    assert "'loss'" in capsys.readouterr().out
    assert trainer.pop_callback(T.ProgressCallback) is None


class Written:
    "Stands in for TensorBoard's writer"

    def __init__(self, log_dir="given"):
        self.log_dir, self.numbers, self.texts = log_dir, [], []

    def add_scalar(self, name, value, step):
        self.numbers.append((name, step))

    def add_text(self, name, text):
        self.texts.append(name)

    flush = close = lambda self: None


def test_tensorboard_hears_what_the_reference_tells_it(tmp_path):
    from transformers.integrations import TensorBoardCallback

    heard = []
    for lib, cls in ((T, T.TensorBoardCallback), (hf, TensorBoardCallback)):
        writer = Written()
        callback = cls.__new__(cls)
        if lib is hf:  # it looks for the package even if it is given a writer
            callback.tb_writer, callback.logging_dir, callback._SummaryWriter = writer, str(tmp_path), None
        else:
            callback.__init__(writer)
        args = lib.TrainingArguments(str(tmp_path / lib.__name__), use_cpu=True, disable_tqdm=True, max_steps=4, logging_steps=2,
                                     eval_strategy="steps", eval_steps=2, save_strategy="no", report_to="none")
        lib.Trainer(Tiny(), args, train_dataset=POINTS, eval_dataset=POINTS[:8], callbacks=[callback]).train()
        heard.append((writer.numbers, writer.texts))
    assert heard[0] == heard[1] and ("train/loss", 2) in heard[0][0] and ("eval/loss", 4) in heard[0][0]


def test_tensorboard_is_asked_for_by_name(tmp_path, monkeypatch):
    import sys
    import types

    made = []
    module = types.SimpleNamespace(SummaryWriter=lambda log_dir: made.append(Written(log_dir)) or made[-1])
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    tiny(tmp_path, report_to="tensorboard").train()
    assert made[0].log_dir.startswith(str(tmp_path / "runs")) and ("train/train_loss", 6) in made[0].numbers
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError, match="pip install tensorboard"):
        tiny(tmp_path, report_to=["tensorboard"])


def test_metrics_go_to_files(tmp_path, capsys):
    trainer = tiny(tmp_path)
    trainer.save_metrics("train", {"train_loss": 0.5})
    trainer.save_metrics("eval", {"eval_loss": 0.25})
    assert json.loads((tmp_path / "all_results.json").read_text()) == {"train_loss": 0.5, "eval_loss": 0.25}
    trainer.log_metrics("eval", {"eval_loss": 0.25})
    assert "eval metrics" in capsys.readouterr().out


def test_workers_make_the_same_batches(tmp_path):
    a, b = tiny(tmp_path / "a"), tiny(tmp_path / "b", dataloader_num_workers=2)
    a.train(), b.train()
    assert logged(a, "loss") == pytest.approx(logged(b, "loss"), rel=1e-6)
