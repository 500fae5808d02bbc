"Every argument of the reference's pipelines is obeyed or refused by name; odd inputs are named by row and key."
import inspect
import re
from pathlib import Path

import numpy as np
import pytest
import torch

transformers = pytest.importorskip("transformers")
import minihf  # noqa: E402
from minihf import pipelines as P  # noqa: E402
from minihf.pipelines import pipeline  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")
BERT, GPT2 = "minihf/tiny-bert", "minihf/tiny-gpt2"
ASSETS = Path(minihf.__file__).parent / "assets"
ANSWER = dict(question="who?", context="it is me")
TASKS = {  # task -> model, a good input, arguments that the call needs
    "text-classification": (BERT, "a b", {}), "token-classification": (BERT, "a b", {}), "fill-mask": (BERT, "a [MASK] b", {}),
    "feature-extraction": (BERT, "a b", {}), "zero-shot-classification": (BERT, "a b", dict(candidate_labels=["a", "b"])),
    "question-answering": (BERT, ANSWER, {}), "text-generation": (GPT2, "a b", dict(max_new_tokens=2)),
    "sentence-similarity": (BERT, {"source_sentence": "a", "sentences": ["b", "c"]}, {})}


@pytest.fixture(scope="module")
def pipes():
    return {task: pipeline(task, model=row[0]) for task, row in TASKS.items()}


def ask(pipes, task, inputs=None, **kwargs):
    _, good, needed = TASKS[task]
    return pipes[task](good if inputs is None else inputs, **needed | kwargs)


# what the reference's `_sanitize_parameters` and calls take (5.23; 4.57 for what was lost since) -> a value that must be obeyed,
# or the pattern of the error that refuses it
ARGUMENTS = {
    "fill-mask": dict(top_k=2, targets=["a", "b"], tokenizer_kwargs={"truncation": True}),
    "text-classification": dict(function_to_apply="none", top_k=1, return_all_scores=True, tokenizer_kwargs={"truncation": True}),
    "token-classification": dict(ignore_labels=[], aggregation_strategy="simple", stride=2, delimiter=" ", is_split_into_words=False,
                                 offset_mapping=re.compile("offset_mapping")),
    "zero-shot-classification": dict(candidate_labels="a, b", hypothesis_template="It is {}.", multi_label=True),
    "feature-extraction": dict(truncation=True, tokenize_kwargs={"truncation": True}, return_tensors=True),
    "question-answering": dict(padding="do_not_pad", top_k=2, doc_stride=2, max_answer_len=3, max_seq_len=32, max_question_len=9,
                               handle_impossible_answer=True, align_to_words=False),
    "text-generation": dict(
        return_full_text=False, return_tensors=True, return_text=True, return_type="NEW_TEXT", clean_up_tokenization_spaces=True,
        prefix="x ", handle_long_generation="hole", stop_sequence="b", truncation=True, max_length=9, skip_special_tokens=False,
        tokenizer_encode_kwargs={"truncation": True}, continue_final_message=re.compile("continue_final_message.*chat"),
        tools=re.compile("tools.*chat"), documents=re.compile("documents.*chat")),
}
ODD = {"offset_mapping": [(0, 1)], "continue_final_message": True, "tools": [{}], "documents": [{}]}


@pytest.mark.parametrize("task", ARGUMENTS)
def test_every_argument_of_the_reference_is_obeyed_or_refused(pipes, task):
    if task != "question-answering":
        theirs = getattr(transformers, P.TASKS[task][0])
        source = inspect.signature(theirs._sanitize_parameters).parameters
        names = [n for n, p in source.items() if n != "self" and p.kind is not p.VAR_KEYWORD]
        names += re.findall(r'"(\w+)" in kwargs', inspect.getsource(theirs._sanitize_parameters))
        assert set(names) <= ARGUMENTS[task].keys(), set(names) - ARGUMENTS[task].keys()
    for name, value in ARGUMENTS[task].items():
        if isinstance(value, re.Pattern):
            with pytest.raises((TypeError, ValueError), match=value):
                ask(pipes, task, **{name: ODD[name]})
        else:
            assert ask(pipes, task, **{name: value}) is not None, name
    with pytest.raises((TypeError, ValueError), match="no_such_thing"):
        ask(pipes, task, no_such_thing=1)


def test_every_argument_of_pipeline_is_known():
    theirs = set(inspect.signature(transformers.pipeline).parameters)
    ours = set(inspect.signature(pipeline).parameters)
    assert theirs - ours - P.IGNORED.keys() == set()
    for name, value in [("feature_extractor", "x"), ("image_processor", object()), ("processor", "x"), ("framework", "tf"),
                        ("binary_output", True)]:
        with pytest.raises(ValueError, match=f"`{name}`"):
            pipeline("fill-mask", model=BERT, **{name: value})
    for name, value in [("use_fast", False), ("framework", "pt"), ("num_workers", 2), ("feature_extractor", None)]:
        pipeline("fill-mask", model=BERT, **{name: value})


def test_tokenizer_kwargs(pipes):
    long = "a b c d e f g h"
    short = dict(truncation=True, max_length=4)
    assert ask(pipes, "text-classification", long, tokenizer_kwargs=short) == ask(pipes, "text-classification", long, **short)
    assert ask(pipes, "text-classification", long, tokenizer_kwargs=short) != ask(pipes, "text-classification", long)
    for name in ("tokenizer_kwargs", "tokenize_kwargs"):
        assert np.shape(ask(pipes, "feature-extraction", long, **{name: short})) == (1, 4, 96)
    their = transformers.pipeline("fill-mask", model=str(ASSETS / "tiny-bert"), device="cpu")
    cut = dict(truncation=True, max_length=5)
    want = their("a [MASK] " + long, tokenizer_kwargs=cut)
    got = ask(pipes, "fill-mask", "a [MASK] " + long, tokenizer_kwargs=cut)
    assert [o["sequence"] for o in got] == [o["sequence"] for o in want]
    for name in ("tokenizer_kwargs", "tokenizer_encode_kwargs"):
        out = ask(pipes, "text-generation", long, return_tensors=True, do_sample=False, **{name: short})
        assert len(out[0]["generated_token_ids"]) == 6
    with pytest.raises(ValueError, match="truncation.*given twice"):
        ask(pipes, "text-classification", truncation=True, tokenizer_kwargs=short)
    for task in ("text-classification", "fill-mask", "feature-extraction", "text-generation", "sentence-similarity"):
        with pytest.raises((TypeError, ValueError), match="tokenizer_kwargs"):
            ask(pipes, task, tokenizer_kwargs="x")
    for task in ("token-classification", "zero-shot-classification", "question-answering"):
        with pytest.raises(TypeError, match="tokenizer_kwargs"):
            ask(pipes, task, tokenizer_kwargs=short)


def test_multi_class_is_multi_label(pipes):
    want = ask(pipes, "zero-shot-classification", multi_label=True)
    with pytest.warns(FutureWarning, match="multi_label"):
        assert ask(pipes, "zero-shot-classification", multi_class=True) == want
    assert ask(pipes, "zero-shot-classification", multi_class=False) == ask(pipes, "zero-shot-classification") != want


def test_return_type(pipes):
    from transformers.pipelines.text_generation import ReturnType

    torch.manual_seed(0)
    answers = [ask(pipes, "text-generation", do_sample=False, return_type=t)[0] for t in ReturnType]
    names = [ask(pipes, "text-generation", do_sample=False, return_type=t.name, return_full_text=True)[0] for t in ReturnType]
    assert answers == names and len({str(o) for o in answers}) == 3 and "generated_token_ids" in answers[0]


@pytest.mark.parametrize("n", [0, -1, 2.5, "4", True, [2], float("nan")])
@pytest.mark.parametrize("task", TASKS)
def test_batch_sizes_that_cannot_be(pipes, task, n):
    for call in (lambda: ask(pipes, task, batch_size=n), lambda: pipeline(task, model=TASKS[task][0], batch_size=n)):
        with pytest.raises(ValueError, match="batch_size"):
            call()


def test_batch_sizes_of_numpy(pipes):
    want = ask(pipes, "text-classification", ["a", "b c", "d"])
    for n in (np.int64(2), torch.tensor(2), None, 10**9):
        for a, b in zip(ask(pipes, "text-classification", ["a", "b c", "d"], batch_size=n), want):
            assert a["label"] == b["label"] and a["score"] == pytest.approx(b["score"], abs=1e-5)


WRONG = [
    ("text-classification", "top_k", [0, -1, 2.5, "x", [1]]), ("text-classification", "function_to_apply", [5, "relu", ["none"]]),
    ("fill-mask", "top_k", [0, -1, 2.5, "x"]), ("fill-mask", "targets", [5, [5], [None], {"a": 1}]),
    ("token-classification", "ignore_labels", [5, "O"]), ("token-classification", "aggregation_strategy", [5, "mean"]),
    ("token-classification", "stride", [-1, "x", 2.5, 10**9]), ("token-classification", "is_split_into_words", ["x", 5]),
    ("token-classification", "delimiter", [5]), ("zero-shot-classification", "candidate_labels", [5, [], "", [5], [None]]),
    ("zero-shot-classification", "hypothesis_template", [5, "no place", ["{}"]]), ("zero-shot-classification", "multi_label", ["x", 5]),
    ("zero-shot-classification", "multi_class", ["x"]), ("feature-extraction", "return_tensors", ["pt", 5]),
    ("question-answering", "top_k", [0, -1, 2.5, "x"]), ("question-answering", "max_answer_len", [0, "x", 2.5]),
    ("question-answering", "doc_stride", [-1, "x", 10**9]), ("question-answering", "max_seq_len", [0, -1, "x"]),
    ("question-answering", "align_to_words", ["x"]), ("question-answering", "handle_impossible_answer", ["x", 5]),
    ("text-generation", "return_full_text", ["x", 5]), ("text-generation", "return_type", ["x", 9]), ("text-generation", "prefix", [5]),
    ("text-generation", "handle_long_generation", ["x", 5]), ("text-generation", "max_new_tokens", ["x", -1, 2.5, 10**9]),
    ("text-generation", "num_return_sequences", ["x", 0]), ("sentence-similarity", "pooling", ["x", 5])]


@pytest.mark.parametrize("task,name,values", WRONG, ids=str)
def test_wrong_values_are_named(pipes, task, name, values):
    for value in values:
        with pytest.raises((TypeError, ValueError), match=name):
            ask(pipes, task, **{name: value})


@pytest.mark.parametrize("task", TASKS)
def test_inputs_that_are_no_texts_name_their_row(pipes, task):
    good = TASKS[task][1]
    for wrong in (None, 5, 2.5, b"x", {}, {"x": 1}):
        with pytest.raises((TypeError, ValueError), match="input 0"):
            pipes[task](wrong, **TASKS[task][2])
        for rows in ([good, wrong], (o for o in (good, wrong))):
            with pytest.raises((TypeError, ValueError), match="input 1"):
                list(pipes[task](rows, **TASKS[task][2]))
    assert pipes[task]([], **TASKS[task][2]) == [] and list(pipes[task](iter(()), **TASKS[task][2])) == []


def test_generators_name_rows_after_many(pipes):
    rows = (f"a {i}" if i != 700 else 7 for i in range(800))
    with pytest.raises(TypeError, match="input 700"):
        list(pipes["feature-extraction"](rows, batch_size=64))


def test_strings_of_numpy_and_columns_of_pandas(pipes):
    want = ask(pipes, "text-classification", ["a", "b c"])
    assert list(pipes["text-classification"](np.array(["a", "b c"]))) == want
    assert pipes["text-classification"](np.str_("a")) == [want[0]]

    class Series:  # as pandas: by label, not by place
        def __init__(self, values, labels):
            self.of = dict(zip(labels, values))

        def __len__(self):
            return len(self.of)

        def __iter__(self):
            return iter(self.of.values())

        def __getitem__(self, label):
            return self.of[label]

    assert list(pipes["text-classification"](Series(["a", "b c"], [7, 3]))) == want


def test_datasets_name_row_and_key(pipes):
    rows = [{"text": "a"}, {"txt": "b"}]
    with pytest.raises(ValueError, match="row 1 has no 'text'.*txt"):
        list(pipes["text-classification"](P.KeyDataset(rows, "text")))
    with pytest.raises(ValueError, match="row 0 has no 'pair'"):
        list(pipes["text-classification"](P.KeyPairDataset(rows, "text", "pair")))
    with pytest.raises(ValueError, match="row 0 has no 'text'"):
        list(pipes["text-classification"](P.KeyDataset(["a"], "text")))


@pytest.mark.parametrize("kwargs,message", [
    (dict(tokenizer=5), "tokenizer"), (dict(tokenizer=["x"]), "tokenizer"), (dict(device="x"), "device"), (dict(device=2.5), "device"),
    (dict(device=[0]), "device"), (dict(model_kwargs="x"), "model_kwargs"), (dict(pipeline_class="x"), "pipeline_class"),
    (dict(task=5), "task"), (dict(progress_bar="x"), "progress_bar")])
def test_wrong_arguments_of_pipeline(kwargs, message):
    with pytest.raises((TypeError, ValueError), match=message):
        pipeline(**dict(task="fill-mask", model=BERT) | kwargs)


def test_what_nobody_asked_for_fits_into_the_model(pipes):
    out = pipes["text-generation"]("the cat", return_tensors=True, eos_token_id=-1)  # 256 new tokens by default, and 256 positions
    assert len(out[0]["generated_token_ids"]) == 257
    with pytest.raises(ValueError, match="max_new_tokens.*256 positions"):
        pipes["text-generation"]("the cat", max_new_tokens=256)
