"Rows to batches: the collators and the sampler equal the reference's, the data sets are there, errors say what to do."
import inspect
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from torch.utils.data import DataLoader, TensorDataset
from transformers.trainer_pt_utils import LengthGroupedSampler as HFSampler

import minihf.data as data
from minihf import BatchEncoding, BertTokenizer, GPT2Tokenizer

ASSETS = Path(data.__file__).parent / "assets"


@pytest.fixture(scope="module")
def bert():
    folder = ASSETS / "tiny-bert"
    return BertTokenizer.from_pretrained(folder), transformers.AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def gpt2():
    folder = ASSETS / "tiny-gpt2"
    pair = GPT2Tokenizer.from_pretrained(folder), transformers.AutoTokenizer.from_pretrained(folder)
    for tok in pair:
        tok.pad_token = tok.eos_token
    return pair


def both(name, pair, **kwargs):
    "Our collator and the reference's with the same settings"
    return tuple(getattr(lib, name)(tok, **kwargs) for lib, tok in zip((data, transformers), pair))


def assert_same(ours, theirs):
    assert list(ours) == list(theirs) or set(ours) == set(theirs)
    for k, v in theirs.items():
        assert type(ours[k]) is type(v), k
        assert ours[k].dtype == v.dtype, k
        assert ours[k].shape == v.shape, k
        assert (ours[k] == v).all(), k


def some_rows(n=6, seed=0, longest=20, vocab=(10, 4000), **columns):
    r = random.Random(seed)
    rows = []
    for i in range(n):
        k = r.randint(1, longest)
        ids = [2, *(r.randrange(*vocab) for _ in range(k)), 3]
        rows.append({"input_ids": ids, "attention_mask": [1] * len(ids)})
        rows[-1] |= {name: make(r, ids) for name, make in columns.items()}
    return rows


KINDS = pytest.mark.parametrize("kind", ["pt", "np"])


# ---------------------------------------------------------------- default_data_collator

STACKABLE = {
    "int label": [{"x": [1, 2], "label": 1}, {"x": [3, 4], "label": 0}],
    "float label": [{"x": [1, 2], "label": 1.5}, {"x": [3, 4], "label": 0}],
    "bool label": [{"x": [True, False], "label": True}, {"x": [True, True], "label": False}],
    "label_ids": [{"x": 1.5, "label_ids": [0, 1]}, {"x": 2.5, "label_ids": [1, 1]}],
    "float label_ids": [{"x": 1, "label_ids": [0.0, 1.0]}, {"x": 2, "label_ids": [1.0, 1.0]}],
    "labels": [{"labels": [0, 1], "x": 1}, {"labels": [1, 0], "x": 2}],
    "text": [{"x": 1, "text": "a"}, {"x": 2, "text": "b"}],
    "none": [{"x": 1, "y": None, "label": None}, {"x": 2, "y": None, "label": None}],
    "nested": [{"x": [[1, 2], [3, 4]]}, {"x": [[5, 6], [7, 8]]}],
    "arrays": [{"x": np.eye(2, dtype=np.float32), "label": np.int64(1)}] * 2,
    "array label": [{"x": np.arange(3), "label_ids": np.arange(2)}] * 2,
    "one": [{"x": [1, 2, 3], "label": 7}],
}


@KINDS
@pytest.mark.parametrize("name", STACKABLE)
@pytest.mark.filterwarnings("ignore:Creating a tensor from a list")  # the reference's
def test_default_collator_equals_reference(name, kind):
    rows = STACKABLE[name]
    assert_same(data.default_data_collator(rows, kind), transformers.default_data_collator(rows, kind))
    assert_same(data.DefaultDataCollator(kind)(rows), transformers.DefaultDataCollator(kind)(rows))


def test_default_collator_takes_tensors_objects_and_encodings():
    rows = [{"x": torch.tensor([1, 2]), "label": torch.tensor(i)} for i in (1, 0)]
    assert_same(data.default_data_collator(rows), transformers.default_data_collator(rows))
    rows = [{"x": torch.rand(2), "label_ids": torch.tensor([0.5, i])} for i in (1, 0)]
    assert_same(data.default_data_collator(rows), transformers.default_data_collator(rows))
    objects = [type("Row", (), {})() for _ in range(2)]
    for i, o in enumerate(objects):
        o.x, o.label = [i, i], i
    assert_same(data.default_data_collator(objects), transformers.default_data_collator(objects))
    encodings = [BatchEncoding({"input_ids": [1, 2]}), BatchEncoding({"input_ids": [3, 4]})]
    assert data.default_data_collator(encodings)["input_ids"].tolist() == [[1, 2], [3, 4]]


def test_default_collator_says_what_is_wrong():
    collate = data.default_data_collator
    with pytest.raises(ValueError, match="'input_ids'.*2 to 3.*DataCollatorWithPadding"):
        collate([{"input_ids": [1, 2]}, {"input_ids": [1, 2, 3]}])
    with pytest.raises(ValueError, match="empty batch"):
        collate([])
    with pytest.raises(ValueError, match="row 1 of the batch has no 'label'"):
        collate([{"x": 1, "label": 0}, {"x": 1}])
    with pytest.raises(ValueError, match="'x'.*differ in shape"):
        collate([{"x": [[1, 2], [3]]}, {"x": [[1, 2], [3]]}])
    with pytest.raises(ValueError, match="row 1 of the batch is None"):
        collate([{"x": 1}, {"x": None}])
    with pytest.raises(ValueError, match="'words'.*text"):
        collate([{"words": ["a", "b"]}, {"words": ["c", "d"]}])
    with pytest.raises(TypeError, match="tuple.*must be a dict"):
        collate([TensorDataset(torch.arange(3))[0]])
    with pytest.raises(ValueError, match="tf"):
        collate([{"x": 1}], return_tensors="tf")


# ---------------------------------------------------------------- padding


@KINDS
@pytest.mark.parametrize("label", ["label", "label_ids", "labels", None])
def test_padding_equals_reference(bert, kind, label):
    rows = some_rows(**({label: lambda r, ids: r.randrange(3)} if label else {}))
    for options in ({}, {"pad_to_multiple_of": 8}, {"padding": "max_length", "max_length": 40}):
        ours, theirs = both("DataCollatorWithPadding", bert, return_tensors=kind, **options)
        assert_same(ours(rows), theirs(rows))


def test_padding_takes_encodings_arrays_and_tensors(bert):
    ours, theirs = both("DataCollatorWithPadding", bert)
    texts = ["a short text", "the statement is a little longer than the other"]
    assert_same(ours([bert[0](t) for t in texts]), theirs([bert[1](t) for t in texts]))
    for make in (np.array, torch.tensor):
        rows = [{k: make(v) for k, v in row.items()} for row in some_rows()]
        assert_same(ours(rows), theirs(rows))
    floats = some_rows(labels=lambda r, ids: [r.random(), 1.0])
    assert_same(ours(floats), theirs(floats))
    segments = some_rows(token_type_ids=lambda r, ids: [0] + [1] * (len(ids) - 1))
    assert_same(ours(segments), theirs(segments))


def test_padding_on_the_left(gpt2):
    for tok in gpt2:
        tok.padding_side = "left"
    rows = some_rows()
    ours, theirs = both("DataCollatorWithPadding", gpt2)
    assert_same(ours(rows), theirs(rows))
    for tok in gpt2:
        tok.padding_side = "right"


def test_padding_says_what_is_wrong(bert):
    collate = data.DataCollatorWithPadding(bert[0])
    with pytest.raises(ValueError, match="empty batch"):
        collate([])
    with pytest.raises(ValueError, match="needs the column 'input_ids'.*tokenizer"):
        collate([{"text": "a", "label": 0}])
    with pytest.raises(ValueError, match="'text'.*text.*remove_columns"):
        collate([{"text": t, "input_ids": [1]} for t in "ab"])
    with pytest.raises(ValueError, match="'labels'.*1 to 2.*DataCollatorForTokenClassification"):
        collate([{"input_ids": [1], "labels": [1]}, {"input_ids": [1, 2], "labels": [1, 2]}])
    with pytest.raises(ValueError, match="row 1 of the batch has no 'attention_mask'"):
        collate([{"input_ids": [1], "attention_mask": [1]}, {"input_ids": [1]}])
    with pytest.raises(ValueError, match="input_ids"):
        data.DataCollatorWithPadding(bert[0], padding=False)(some_rows())
    no_pad = GPT2Tokenizer.from_pretrained(ASSETS / "tiny-gpt2")
    with pytest.raises(ValueError, match="pad_token"):
        data.DataCollatorWithPadding(no_pad)(some_rows())


# ---------------------------------------------------------------- labels of tokens, choices


@KINDS
@pytest.mark.parametrize("label", ["label", "labels", None])
@pytest.mark.parametrize("side", ["right", "left"])
def test_token_classification_equals_reference(bert, kind, label, side):
    column = {label: lambda r, ids: [r.randrange(5) for _ in ids]} if label else {}
    rows = some_rows(**column)
    for tok in bert:
        tok.padding_side = side
    for options in ({}, {"pad_to_multiple_of": 8, "label_pad_token_id": -1}):
        ours, theirs = both("DataCollatorForTokenClassification", bert, return_tensors=kind, **options)
        assert_same(ours(rows), theirs(rows))
        if kind == "pt" and label:
            tensors = [{k: torch.tensor(v) for k, v in row.items()} for row in rows]
            assert_same(ours(tensors), theirs(tensors))
    for tok in bert:
        tok.padding_side = "right"


def test_token_classification_wants_a_label_per_token(bert):
    collate = data.DataCollatorForTokenClassification(bert[0])
    with pytest.raises(ValueError, match="row 1 of the batch has 3 tokens, but 2 labels.*align_labels"):
        collate([{"input_ids": [2, 3], "labels": [0, 0]}, {"input_ids": [2, 9, 3], "labels": [0, 0]}])
    with pytest.raises(ValueError, match="the label 1"):
        collate([{"input_ids": [2, 3], "label": 1}])
    padded = {"input_ids": [2, 3, 0], "attention_mask": [1, 1, 0], "labels": [1, 1]}
    assert collate([padded])["labels"].tolist() == [[1, 1, -100]]


@pytest.mark.parametrize("label", ["label", "labels"])
def test_multiple_choice_equals_reference(bert, label):
    rows = []
    for seed in range(3):
        choices = some_rows(4, seed)
        rows.append({k: [c[k] for c in choices] for k in choices[0]} | {label: seed})
    ours, theirs = both("DataCollatorForMultipleChoice", bert)
    assert_same(ours(rows), theirs(rows))
    without = ours([{k: v for k, v in row.items() if k != label} for row in rows])
    assert "labels" not in without and without["input_ids"].shape[:2] == (3, 4)
    rows[1]["input_ids"] = rows[1]["input_ids"][:3]
    with pytest.raises(ValueError, match=r"\[3, 4\] choices"):
        ours(rows)


# ---------------------------------------------------------------- language models


@KINDS
@pytest.mark.parametrize("seed", [None, 7])
@pytest.mark.parametrize("shares", [(0.8, 0.1), (1.0, 0.0), (0.0, 1.0), (0.5, 0.4), (0.9, 0.0), (0.5, 0.5)])
def test_masks_equal_reference(bert, kind, seed, shares):
    how = dict(zip(("mask_replace_prob", "random_replace_prob"), shares))
    pair = both("DataCollatorForLanguageModeling", bert, seed=seed, return_tensors=kind,
                mlm_probability=0.3, **how)
    results = []
    for collate in pair:
        torch.manual_seed(5)
        np.random.seed(5)
        results.append([collate(some_rows(seed=i)) for i in range(3)])
        results[-1].append(dict(state=torch.rand(3)))  # as many numbers were drawn
    for ours, theirs in zip(*results):
        assert_same(ours, theirs)


@KINDS
def test_masks_obey_special_tokens_mask(bert, kind):
    ours, theirs = both("DataCollatorForLanguageModeling", bert, seed=1, return_tensors=kind,
                        mlm_probability=1.0, pad_to_multiple_of=8)
    rows = some_rows(special_tokens_mask=lambda r, ids: [int(i % 3 == 0) for i in ids])
    batch = ours(rows)
    assert_same(batch, theirs(rows))
    free = [i for row in rows for i in row["input_ids"] if i % 3]
    assert batch["labels"][batch["labels"] != -100].tolist() == free


def test_special_tokens_are_never_masked(bert):
    collate = data.DataCollatorForLanguageModeling(bert[0], mlm_probability=1.0, mask_replace_prob=1.0,
                                                   random_replace_prob=0.0)
    rows = some_rows(20)
    batch = collate(rows)
    special = torch.isin(bert[0].pad({"input_ids": [r["input_ids"] for r in rows]}, return_tensors="pt")["input_ids"],
                         torch.tensor(bert[0].all_special_ids))
    assert (batch["labels"] == -100).equal(special)
    assert (batch["input_ids"] == bert[0].mask_token_id).equal(~special)


@KINDS
def test_plain_ids_equal_reference(bert, kind):
    for make in (list, np.array, torch.tensor) if kind == "pt" else (list, np.array):
        rows = [make(row["input_ids"]) for row in some_rows()]
        for multiple in (None, 8):
            for mlm in (True, False):
                ours, theirs = both("DataCollatorForLanguageModeling", bert, seed=3, mlm=mlm,
                                    return_tensors=kind, pad_to_multiple_of=multiple)
                assert_same(ours(rows), theirs(rows))


@KINDS
def test_causal_labels_equal_reference(gpt2, kind):
    rows = some_rows() + [{"input_ids": [0, 5, 0], "attention_mask": [1, 1, 1]}]
    ours, theirs = both("DataCollatorForLanguageModeling", gpt2, mlm=False, return_tensors=kind)
    assert_same(ours(rows), theirs(rows))
    extra = [row | {"label": i} for i, row in enumerate(rows)]
    assert_same(ours(extra), theirs(extra))


def test_rows_of_one_length_need_no_padding_token():
    "Bare ids: as in the reference. With dicts its tokenizer asks for a padding token all the same"
    tok = GPT2Tokenizer.from_pretrained(ASSETS / "tiny-gpt2")
    theirs = transformers.AutoTokenizer.from_pretrained(ASSETS / "tiny-gpt2")
    rows = [[1, 2, 0], [4, 5, 0]]
    collate = data.DataCollatorForLanguageModeling(tok, mlm=False)
    assert_same(collate(rows), transformers.DataCollatorForLanguageModeling(theirs, mlm=False)(rows))
    dicts = [{"input_ids": r, "attention_mask": [1] * 3} for r in rows]
    for batch in (collate(dicts), data.DataCollatorWithPadding(tok)(dicts)):
        assert batch["input_ids"].tolist() == rows and batch["attention_mask"].tolist() == [[1] * 3] * 2
    assert collate(dicts)["labels"].tolist() == rows
    with pytest.raises(ValueError, match="pad_token"):
        collate([[1, 2, 3], [4, 5]])
    for bad in (dict(pad_to_multiple_of=8), dict(padding="max_length", max_length=8)):
        with pytest.raises(ValueError, match="pad_token"):
            data.DataCollatorWithPadding(tok, **bad)(dicts)


@KINDS
def test_whole_words_equal_reference(bert, kind):
    texts = ["uninterpretable expressions, unparenthesized!", "the classmethod initialises namespaces"]
    rows = []
    for tok in bert:
        e = [tok(t, return_offsets_mapping=True, return_special_tokens_mask=True, padding="max_length",
                 max_length=40) for t in texts]
        rows.append([dict(o) for o in e])
    assert rows[0] == rows[1]
    for seed in range(5):
        ours, theirs = both("DataCollatorForLanguageModeling", bert, seed=seed, whole_word_mask=True,
                            mlm_probability=0.4, return_tensors=kind, mask_replace_prob=1.0,
                            random_replace_prob=0.0)
        assert_same(ours(rows[0]), theirs(rows[1]))


def test_whole_words_of_unequal_length(bert):
    tok = bert[0]
    texts = ["uninterpretable", "the classmethod initialises namespaces, unparenthesized!"]
    rows = [dict(tok(t, return_offsets_mapping=True)) for t in texts]
    collate = data.DataCollatorForLanguageModeling(tok, whole_word_mask=True, mlm_probability=0.5, seed=0)
    batch = collate(rows)
    assert set(batch) == {"input_ids", "token_type_ids", "attention_mask", "labels"}
    for i, t in enumerate(texts):
        hidden = {}
        begins = [k == 0 or t[k - 1] == " " for k in range(len(t))]
        for span, label in zip(tok(t, return_offsets_mapping=True)["offset_mapping"], batch["labels"][i].tolist()):
            if span != (0, 0):
                hidden.setdefault(sum(begins[: span[0] + 1]), set()).add(label != -100)
        assert all(len(o) == 1 for o in hidden.values())
    with pytest.raises(ValueError, match="return_offsets_mapping"):
        collate(some_rows())


NAMES = ("DefaultDataCollator DataCollatorWithPadding DataCollatorForTokenClassification DataCollatorForSeq2Seq "
         "DataCollatorForMultipleChoice DataCollatorForLanguageModeling default_data_collator").split()


@pytest.mark.parametrize("name", NAMES)
def test_arguments_are_the_reference_s(name):
    ours, theirs = (inspect.signature(getattr(lib, name)).parameters for lib in (data, transformers))
    assert [(k, p.default) for k, p in ours.items()] == [(k, p.default) for k, p in theirs.items()]


def test_sampler_arguments_are_the_reference_s():
    ours, theirs = (inspect.signature(s).parameters for s in (data.LengthGroupedSampler, HFSampler))
    assert [(k, p.default) for k, p in ours.items()] == [(k, p.default) for k, p in theirs.items()]


@KINDS
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("label", ["label", "labels"])
def test_seq2seq_equals_reference(bert, kind, side, label):
    rows = some_rows(**{label: lambda r, ids: [r.randrange(5) for _ in range(r.randint(1, 9))]})
    for tok in bert:
        tok.padding_side = side
    for options in ({}, {"pad_to_multiple_of": 8}, {"label_pad_token_id": 1},
                    {"padding": "max_length", "max_length": 32}):
        ours, theirs = both("DataCollatorForSeq2Seq", bert, return_tensors=kind, **options)
        assert_same(ours(rows), theirs(rows))
    for tok in bert:
        tok.padding_side = "right"


def test_seq2seq_asks_the_model_and_does_without_labels(bert):
    class Model:
        def prepare_decoder_input_ids_from_labels(self, labels):
            return labels + 1

    rows = some_rows(labels=lambda r, ids: ids[:3])
    ours, theirs = both("DataCollatorForSeq2Seq", bert, model=Model())
    assert_same(ours(rows), theirs(rows))
    for row in rows:
        row["labels"] = None
    assert ours(rows)["labels"] is theirs(rows)["labels"] is None
    assert "decoder_input_ids" not in ours(some_rows())
    with pytest.raises(ValueError, match="'labels'.*2 to 3"):
        data.DataCollatorForSeq2Seq(bert[0], padding=False)(
            [{"input_ids": [1], "labels": [1] * n} for n in (2, 3)])


def test_whole_words_warn_of_settings_without_effect(bert):
    with pytest.warns(UserWarning, match="no effect"):
        data.DataCollatorForLanguageModeling(bert[0], whole_word_mask=True, mask_replace_prob=0.5)


def test_masking_can_be_overridden(bert):
    class Nothing(data.DataCollatorForLanguageModeling):
        def torch_mask_tokens(self, inputs, special_tokens_mask=None, offset_mapping=None):
            return inputs, inputs

    batch = Nothing(bert[0])(some_rows())
    assert batch["labels"].equal(batch["input_ids"])


def test_language_modeling_says_what_is_wrong(bert, gpt2):
    make = data.DataCollatorForLanguageModeling
    with pytest.raises(ValueError, match="no mask token.*mlm=False"):
        make(gpt2[0])
    for bad in (dict(mlm_probability=1.5), dict(mlm_probability=None), dict(mask_replace_prob=-0.1),
                dict(random_replace_prob=2), dict(mask_replace_prob=0.8, random_replace_prob=0.3),
                dict(mlm=False, whole_word_mask=True)):
        with pytest.raises(ValueError, match=next(iter(bad))):
            make(bert[0], **bad)
        with pytest.raises(ValueError):
            transformers.DataCollatorForLanguageModeling(bert[1], **bad)
    with pytest.raises(ValueError, match="empty batch"):
        make(bert[0])([])


def test_workers_draw_their_own_masks(bert):
    "A worker of a DataLoader has the seed plus its number, also after the collator was used before"
    pair = both("DataCollatorForLanguageModeling", bert, seed=11)
    rows = some_rows(8)
    batches = [list(DataLoader(rows, batch_size=2, collate_fn=c, num_workers=2)) for c in pair]
    for ours, theirs in zip(*batches):
        assert_same(ours, theirs)
    pair[0](rows)
    again = list(DataLoader(rows, batch_size=2, collate_fn=pair[0], num_workers=2))
    assert all(a["input_ids"].equal(b["input_ids"]) for a, b in zip(again, batches[0]))


# ---------------------------------------------------------------- order


@pytest.mark.parametrize("n", [1, 3, 8, 57, 1000])
@pytest.mark.parametrize("batch_size", [1, 4, 16])
def test_sampler_equals_reference(n, batch_size):
    r = random.Random(n)
    lengths = [r.randint(1, 50) for _ in range(n)]
    orders = [list(s(batch_size, lengths=lengths, generator=torch.Generator().manual_seed(2)))
              for s in (data.LengthGroupedSampler, HFSampler)]
    assert orders[0] == orders[1] and sorted(orders[0]) == list(range(n))
    dataset = [{"input_ids": [0] * k} for k in lengths]
    torch.manual_seed(1)
    ours = list(data.LengthGroupedSampler(batch_size, dataset))
    torch.manual_seed(1)
    assert ours == list(HFSampler(batch_size, dataset))


def test_sampler_takes_tensors_and_says_what_is_wrong():
    sampler = data.LengthGroupedSampler(2, lengths=torch.tensor([3, 1, 2]))
    assert len(sampler) == 3 and sampler.lengths == [3, 1, 2]
    with pytest.raises(ValueError, match="`dataset` or `lengths`"):
        data.LengthGroupedSampler(2)
    with pytest.raises(ValueError, match="'input_ids'.*'text'.*model_input_name"):
        data.LengthGroupedSampler(2, [{"text": "a"}])
    assert data.LengthGroupedSampler(2, [{"x": "abc"}], model_input_name="x").lengths == [3]
    assert list(data.LengthGroupedSampler(2, lengths=[])) == []


# ---------------------------------------------------------------- rows and columns


def test_map_rows_equals_datasets():
    datasets = pytest.importorskip("datasets")
    rows = [{"text": "x" * i, "label": i} for i in range(25)]
    table = datasets.Dataset.from_list(rows)
    one = lambda row: {"n": len(row["text"]), "label": -row["label"]}
    many = lambda columns: {"n": [len(t) for t in columns["text"]]}
    datasets.disable_progress_bars()
    for args in (dict(function=one), dict(function=one, remove_columns=["text"]),
                 dict(function=many, batched=True, batch_size=7),
                 dict(function=many, batched=True, remove_columns=["text", "label"])):
        assert data.map_rows(rows, **args) == table.map(**args).to_list()
    grow = lambda columns: {"part": [c for t in columns["text"] for c in t]}
    args = dict(function=grow, batched=True, remove_columns=["text", "label"])
    assert data.map_rows(rows, **args) == table.map(**args).to_list()
    with pytest.raises(ValueError, match="unequal length"):
        data.map_rows(rows, grow, batched=True)


def test_collators_take_rows_of_datasets(bert):
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    rows = [{"text": "a text " * (i + 1), "label": i % 2} for i in range(5)]
    table = datasets.Dataset.from_list(rows)
    table = table.map(lambda r: bert[0](r["text"]), batched=True, remove_columns=["text"])
    plain = data.map_rows(rows, lambda r: bert[0](r["text"]), batched=True, remove_columns=["text"])
    collate = data.DataCollatorWithPadding(bert[0])
    want = collate(plain)
    assert_same(collate([table[i] for i in range(5)]), want)
    torch_table = table.with_format("torch")
    assert_same(collate([torch_table[i] for i in range(5)]), want)
    assert_same(collate([table.with_format("numpy")[i] for i in range(5)]), want)
    lengths = [len(row["input_ids"]) for row in plain]
    for dataset in (plain, table, torch_table):
        assert data.LengthGroupedSampler(2, dataset).lengths == lengths
    loader = DataLoader(table, batch_size=5, collate_fn=collate)
    assert_same(next(iter(loader)), want)


def test_group_texts():
    columns = {"input_ids": [[1, 2, 3], [4], [], [5, 6, 7]], "attention_mask": [[1, 1, 1], [1], [], [1, 1, 1]]}
    assert data.group_texts(columns, 3) == {"input_ids": [[1, 2, 3], [4, 5, 6]], "attention_mask": [[1] * 3] * 2}
    assert data.group_texts(columns, 100) == {"input_ids": [], "attention_mask": []}


def test_split():
    rows = [{"i": i} for i in range(50)]
    train, test = data.split(rows, test=0.2)
    assert len(test) == 10 and sorted(r["i"] for r in train + test) == list(range(50))
    assert data.split(rows, test=0.2) == (train, test) and data.split(rows, seed=1)[1] != test[:5]


# ---------------------------------------------------------------- data sets


def test_texts():
    docs = data.python_docs()
    assert len(docs) > 1000 and all(len(r["text"]) > 10 for r in docs)
    assert docs == data.python_docs()
    rows = data.docstrings()
    assert len({r["text"] for r in rows}) == len(rows) > 1000
    assert {r["label"] for r in rows} == set(range(len(data.DOCSTRING_LABELS)))


def test_names_are_the_same_everywhere():
    rows = data.names()
    assert {"text": "alef", "label": data.SCRIPTS.index("hebrew")} in rows
    assert {r["label"] for r in rows} == set(range(len(data.SCRIPTS)))


def test_code():
    rows = data.python_code()
    assert len(rows) > 3000 and all(len(r["tokens"]) == len(r["labels"]) for r in rows)
    assert {i for r in rows for i in r["labels"]} == set(range(len(data.CODE_TAGS)))
    line, = data.code_lines("def f(x, *y, z=1): return self.g(x.a, k='s') # why\n")
    tags = dict(zip((t.string for t in line), data.tag_line(line)))
    want = dict(f="definition", y="argument", z="argument", self="name", g="call", a="attribute", k="argument")
    assert want.items() <= tags.items() and tags["def"] == "keyword" and tags["'s'"] == "string"


def test_digits():
    pytest.importorskip("sklearn")
    batch = data.default_data_collator(data.digits()[:4])
    assert batch["pixel_values"].shape == (4, 1, 8, 8) and batch["pixel_values"].dtype == torch.float32
    assert batch["labels"].tolist() == [0, 1, 2, 3] and batch["pixel_values"].max() == 1


def test_missing_sources_are_named():
    with pytest.raises(FileNotFoundError, match="no_such_module"):
        data.source_files("no_such_module")


def test_import_is_light():
    code = "import sys, minihf.data; print([o for o in %r if o in sys.modules])"
    heavy = ["matplotlib", "sklearn", "datasets", "accelerate", "transformers", "fastcore"]
    said = subprocess.run([sys.executable, "-c", code % heavy], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


# ---------------------------------------------------------------- what is no row, no size, no tokenizer

@pytest.mark.parametrize("call,error,says", [
    (lambda t: data.default_data_collator(5), TypeError, "a batch should be a list of rows, not 5"),
    (lambda t: data.default_data_collator({"a": 1}), TypeError, "a batch should be a list of rows"),
    (lambda t: data.default_data_collator([{"a": 1}, 3]), TypeError, "row 0 is a dict, but row 1 3"),
    (lambda t: data.default_data_collator([{"x": 1, "label": "good"}]), ValueError, "column 'label' holds text"),
    (lambda t: data.default_data_collator([{"labels": [1, 2]}, {"labels": [1]}]), ValueError,
     "column 'labels'.*DataCollatorForTokenClassification pads labels of tokens, DataCollatorForSeq2Seq"),
    (lambda t: data.DataCollatorWithPadding("bert"), TypeError, "tokenizer should be a tokenizer, not 'bert'"),
    (lambda t: data.DataCollatorWithPadding(t, padding="max_length", max_length=10**30), ValueError, "max_length=10+ should be from 1 to"),
    (lambda t: data.DataCollatorWithPadding(t, max_length="8"), TypeError, "max_length should be int or None, not '8'"),
    (lambda t: data.DataCollatorWithPadding(t, pad_to_multiple_of=0), ValueError, "pad_to_multiple_of=0"),
    (lambda t: data.DataCollatorForLanguageModeling(t, mlm_probability="x"), TypeError, "mlm_probability should be float"),
    (lambda t: data.DataCollatorForSeq2Seq(t)([{"input_ids": [2, 3], "labels": 3}]), ValueError, "a list of ids in every row"),
    (lambda t: data.DataCollatorForMultipleChoice(t)([{"input_ids": 3}]), ValueError, "columns that are no lists"),
    (lambda t: data.split("abc"), TypeError, "rows should be a list of rows"),
    (lambda t: data.split([1, 2], test=3.0), ValueError, "test.*from 0 to 1"),
    (lambda t: data.map_rows([3], dict), TypeError, "a row should be a dict of columns, not 3"),
    (lambda t: data.map_rows([{}], lambda o: 5), TypeError, "what the function returned should be a dict"),
    (lambda t: data.map_rows([{}], dict, batched=True, batch_size=0), ValueError, "batch_size=0"),
    (lambda t: data.group_texts({"a": [[1]]}, 0), ValueError, "block_size=0"),
    (lambda t: data.to_rows({"a": 3}), TypeError, "column 'a' should be a list"),
    (lambda t: data.LengthGroupedSampler(0, lengths=[1]), ValueError, "batch_size=0"),
    (lambda t: data.LengthGroupedSampler(2, lengths=["x"]), ValueError, "lengths="),
    (lambda t: data.paragraphs(5), TypeError, "text should be str, not 5"),
])
def test_wrong_arguments_are_named(bert, call, error, says):
    with pytest.raises(error, match=says):
        call(bert[0])


def test_a_limit_that_is_no_length_is_harmless(bert):
    "`max_length=tokenizer.model_max_length` of a tokenizer without one, as people write"
    ours, theirs = both("DataCollatorWithPadding", bert, max_length=int(1e30))
    rows = [{"input_ids": [2, 3]}, {"input_ids": [2, 9, 3]}]
    assert_same(ours(rows), theirs(rows))
