"""Every public function with every kind of wrong value in every place: a result, or an error that minihf itself raises and that says something.

An error counts as said when the line that raised it is a `raise` of minihf (not a crash inside torch, NumPy or Python that happens to come
out), when its type is none that a reader takes for a bug (KeyError, AttributeError, RuntimeError, …), and when it has a message; or when it is
the system's OSError with the path in it. "Public" is what `minihf` itself names, with the pictures and the files of the Hub. A call that returns is right as far as `test_nothing_odd_breaks_it` can tell; `REFUSED` lists what must not be taken in silence. What is known to be
otherwise stands in `KNOWN`, with the reason. (The forward passes of the families have a test of their own, test_model_inputs.py, the
commands test_cli.py.)
"""
import ast
import copy
import functools
import inspect
import linecache
import logging
import signal
import traceback
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import minihf
from minihf import viz

pytestmark = pytest.mark.filterwarnings("ignore")
PACKAGE = str(Path(minihf.__file__).parent)
ODD = {
    "none": None, "text": "x", "empty": "", "list": ["x"], "empty list": [], "float": 2.5, "nan": float("nan"), "zero": 0, "negative": -3,
    "huge": 10**30, "true": True, "numpy int": np.int64(2), "numpy float": np.float32(0.5), "bytes": b"x", "dict": {"x": 1}, "object": object(),
    "nested": [[["x"]]], "tensor": torch.ones(2), "class": int,
}
BARE = (KeyError, AttributeError, RecursionError, ZeroDivisionError, AssertionError, OverflowError, MemoryError, StopIteration,
        UnboundLocalError, NameError, RuntimeError, SystemError)
TORCH = "torch's own message names the type and what is wanted"
OTHERS = "what a reader's own function raises is passed on as it is"
SHAPE = "a tensor of another shape: generate makes these, and nothing is checked at each of its steps"
FLAG = "a tensor for True or False: Python's own message"
KNOWN = {  # (case, argument), or (group, kind of value): why its errors come from elsewhere
    ("processor.__call__", "tensor"): SHAPE,
    **{(f"set_input_embeddings.{name}", "value"): TORCH for name in ("BertModel", "DistilBertModel", "GPT2Model", "BertForMaskedLM",
                                                                     "GPT2LMHeadModel", "BertForSequenceClassification")},
    ("set_output_embeddings.BertForMaskedLM", "value"): TORCH,
    ("set_output_embeddings.GPT2LMHeadModel", "value"): TORCH,
    ("hub.write_json", "obj"): "json's own message names the type",
    ("hub.plain_name", "folders"): FLAG,
    ("model.BertModel", "add_pooling_layer"): FLAG,
    ("save_pretrained.BertTokenizer", "push_to_hub"): FLAG,
    ("processor.PrefixConstrainedLogitsProcessor", "prefix_allowed_tokens_fn"): OTHERS,
    ("pipeline", "pipeline_class"): OTHERS,
    ("processor.__call__.EosTokenCriteria", "new_token_length"): "generate's own count",
}


# -- the rule -----------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=None)
def raises_in(file):
    "The lines of `file` that belong to a `raise` statement"
    lines = set()
    for node in ast.walk(ast.parse("".join(linecache.getlines(file)))):
        if isinstance(node, ast.Raise):
            lines |= set(range(node.lineno, node.end_lineno + 1))
    return lines


def said(error):
    "Is this an error that minihf raised on purpose, of a telling type?"
    frames = traceback.extract_tb(error.__traceback__)
    last = frames[-1]
    if "unexpected keyword" in str(error) or "required positional argument" in str(error):
        return isinstance(error, TypeError)  # the call did not fit the signature
    if isinstance(error, OSError) and error.errno and error.filename is not None:
        return True  # the system's own, with the path
    if not last.filename.startswith(PACKAGE) or last.lineno not in raises_in(last.filename):
        return False
    return type(error) not in BARE and len(str(error)) > 15


class TooLong(BaseException):
    "Not an Exception, so that nothing on the way catches it"


def within(seconds, call):
    "What `call()` returns, stopped after so many seconds of computing"

    def stop(*_):
        raise TooLong

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        return call()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def complaints(name, call, valid):
    "`call(**valid)` works; what is wrong with its errors when one argument after the other is odd"
    call(**valid)
    parameters = inspect.signature(call).parameters
    places = [n for n, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    found = []
    for place in dict.fromkeys([*places, *valid]):
        if (name, place) in KNOWN:
            continue
        for kind, value in ODD.items():
            if (name.rpartition(".")[0], kind) in KNOWN:
                continue
            try:
                within(10, lambda: call(**valid | {place: copy.copy(value)}))
            except TooLong:
                found.append(f"{place}={kind}: takes over 10 s")
            except Exception as e:
                if not said(e):
                    last = traceback.extract_tb(e.__traceback__)[-1]
                    where = f"{Path(last.filename).name}:{last.lineno} {last.name}"
                    found.append(f"{place}={kind}: {type(e).__name__}: {str(e)[:90]!r} at {where}")
    return found


# -- what is called -----------------------------------------------------------------------------------------------------


CASES = {}  # name -> a function that returns what to call and arguments that are right


def case(name):
    def keep(make):
        CASES[name] = make
        return make

    return keep


def each(group, names):
    "Cases `group.name` for all names, from a function of the name"

    def keep(make):
        for name in names:
            CASES[f"{group}.{name}"] = functools.partial(make, name)
        return make

    return keep


def signed(call, names):
    "`call(**kwargs)`, with a signature of these names"
    kinds = [inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY) for n in names]

    def f(**kwargs):
        return call(**kwargs)

    f.__signature__ = inspect.Signature(kinds)
    return f


@functools.lru_cache(maxsize=None)
def tokenizer(name):
    t = minihf.AutoTokenizer.from_pretrained(f"minihf/tiny-{name}")
    t.pad_token = t.pad_token or t.eos_token
    return t


SIZES = dict(vocab_size=30, hidden_size=8, num_hidden_layers=1, num_attention_heads=2)


def small(name, **kwargs):
    "A model of one layer, from its config alone"
    config = "DistilBertConfig" if name.startswith("Distil") else f"{name[:4]}Config"
    more = {"BertConfig": dict(intermediate_size=8, max_position_embeddings=16), "DistilBertConfig": dict(hidden_dim=8, max_position_embeddings=16),
            "GPT2Config": dict(n_positions=24, eos_token_id=3, bos_token_id=1, pad_token_id=0)}[config]
    torch.manual_seed(0)
    return getattr(minihf, name)(getattr(minihf, config)(**SIZES | more | kwargs)).eval()


IDS = torch.tensor([[5, 6, 7, 8], [5, 6, 7, 8]])
BERT_VOCAB = {"[UNK]": 0, "a": 1, "[CLS]": 2, "[SEP]": 3, "[PAD]": 4, "[MASK]": 5}
GPT2_VOCAB = {"a": 0, "b": 1, "<|endoftext|>": 2, "ab": 3}

TOKENIZER_METHODS = {
    "__call__": dict(text=["a b", "c"], text_pair=["a", "b"]),
    "encode": dict(text="a b", padding="max_length", truncation=True, max_length=8, stride=1, return_tensors="pt", pad_to_multiple_of=4),
    "tokenize": dict(text="a b"),
    "decode": dict(token_ids=[5, 6, 7]),
    "batch_decode": dict(sequences=[[5, 6], [7]]),
    "convert_tokens_to_ids": dict(tokens=["a"]),
    "convert_ids_to_tokens": dict(ids=[5]),
    "convert_tokens_to_string": dict(tokens=["a"]),
    "pad": dict(encoded_inputs={"input_ids": [[5, 6], [7]]}),
    "build_inputs_with_special_tokens": dict(token_ids_0=[5], token_ids_1=[6]),
    "create_token_type_ids_from_sequences": dict(token_ids_0=[5], token_ids_1=[6]),
    "get_special_tokens_mask": dict(token_ids_0=[5], token_ids_1=None),
    "num_special_tokens_to_add": dict(pair=True),
    "add_tokens": dict(new_tokens=["xyzzy"]),
    "add_special_tokens": dict(special_tokens_dict={"pad_token": "[PAD]"}),
    "train_new_from_iterator": dict(text_iterator=["a b c"] * 4, vocab_size=300),
}


@each("bert", TOKENIZER_METHODS)
def _(name):
    t = tokenizer("bert")
    return getattr(copy.deepcopy(t) if name.startswith("add") else t, name), TOKENIZER_METHODS[name]


@each("gpt2", TOKENIZER_METHODS)
def _(name):
    t = tokenizer("gpt2")
    return getattr(copy.deepcopy(t) if name.startswith("add") else t, name), TOKENIZER_METHODS[name]


ENCODING_METHODS = {
    **dict.fromkeys(("char_to_token", "char_to_word"), dict(batch_or_char_index=1)),
    **dict.fromkeys(("token_to_chars", "token_to_word", "token_to_sequence"), dict(batch_or_token_index=1)),
    **dict.fromkeys(("word_to_tokens", "word_to_chars"), dict(batch_or_word_index=1)),
    **dict.fromkeys(("tokens", "word_ids", "sequence_ids"), {}),
    "convert_to_tensors": dict(tensor_type="np"),
    "to": dict(device="cpu"),
}


@each("encoding", ENCODING_METHODS)
def _(name):
    return getattr(tokenizer("bert")("a b c", "d"), name), ENCODING_METHODS[name]


@case("AddedToken")
def _():
    return minihf.AddedToken, dict(content="x")


@case("BertTokenizer")
def _():
    return minihf.BertTokenizer, dict(vocab=BERT_VOCAB)


@case("GPT2Tokenizer")
def _():
    return minihf.GPT2Tokenizer, dict(vocab=GPT2_VOCAB, merges=["a b"])


# configurations


CONFIGS = ("BertConfig", "DistilBertConfig", "GPT2Config", "PretrainedConfig")


@each("config", CONFIGS)
def _(name):
    from minihf.config import fields_of

    cls = getattr(minihf, name)
    return cls, {k: v for k, (_, v) in fields_of(cls).items()}


@each("config.labels", CONFIGS)
def _(name):
    return getattr(minihf, name), dict(id2label={0: "a", 1: "b"}, label2id={"a": 0, "b": 1}, num_labels=2)


@each("config.from_dict", CONFIGS)
def _(name):
    return getattr(minihf, name).from_dict, dict(config_dict={})


@each("config.update", CONFIGS)
def _(name):
    return getattr(minihf, name)().update, dict(config_dict={})


@case("config.to_json_string")
def _():
    return minihf.BertConfig().to_json_string, {}


# loading, saving, the Auto classes


HUB = dict(revision=None, cache_dir=None, token=None, subfolder="", local_files_only=True, force_download=False)
WEIGHTS = dict(dtype=None, torch_dtype=None, device_map=None, config=None, output_loading_info=False, ignore_mismatched_sizes=False,
               attn_implementation="eager", low_cpu_mem_usage=None, state_dict=None, use_safetensors=None, variant=None, key_mapping=None,
               weights_only=True, max_memory=None, offload_folder=None)
LOADED = {"BertConfig": "bert", "AutoConfig": "bert", "AutoTokenizer": "bert", "BertTokenizer": "bert", "BertModel": "bert", "AutoModel": "bert",
          "AutoModelForCausalLM": "gpt2", "GenerationConfig": "gpt2"}


@each("from_pretrained", LOADED)
def _(name):
    source = "pretrained_model_name" if name == "GenerationConfig" else "pretrained_model_name_or_path"
    more = WEIGHTS if name == "AutoModel" else {}
    return getattr(minihf, name).from_pretrained, {source: f"minihf/tiny-{LOADED[name]}", **HUB, **more}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    "An empty folder, in which whatever is written stays"
    monkeypatch.chdir(tmp_path)
    return tmp_path


@each("save_pretrained", ("BertConfig", "BertModel", "BertTokenizer", "GenerationConfig"))
def _(name):
    made = small(name) if name.endswith("Model") else tokenizer("bert") if name.endswith("zer") else getattr(minihf, name)()
    return made.save_pretrained, dict(save_directory="saved")


@case("AutoModel.from_config")
def _():
    return minihf.AutoModel.from_config, dict(config=minihf.BertConfig(**SIZES, intermediate_size=8))


@case("AutoModel.register")
def _():
    return minihf.AutoModel.register, dict(config_class=minihf.BertConfig, model_class=minihf.BertModel, exist_ok=True)


@case("AutoConfig.register")
def _():
    return minihf.AutoConfig.register, dict(model_type="bert", config=minihf.BertConfig, exist_ok=True)


@case("AutoTokenizer.register")
def _():
    known = dict(config_class=minihf.BertConfig, tokenizer_class=minihf.BertTokenizer)
    return minihf.AutoTokenizer.register, dict(**known, exist_ok=True)


@case("AutoConfig.for_model")
def _():
    return minihf.AutoConfig.for_model, dict(model_type="bert")


@each("hub", ("cached_file", "read_json", "read_safetensors", "find_local", "plain_name", "write_json"))
def _(name):
    from minihf import hub

    home = f"{PACKAGE}/assets/tiny-bert"
    valid = {
        "cached_file": dict(name_or_path=home, filename="config.json", subfolder=""),
        "find_local": dict(path=home, filename="config.json", subfolder="", required=True),
        "read_json": dict(path=f"{home}/config.json"),
        "read_safetensors": dict(path=f"{home}/model.safetensors"),
        "plain_name": dict(argument="a", name="b"),
        "write_json": dict(obj={}, path="file.json"),
    }[name]
    return getattr(hub, name), valid


# models


BODIES = ("BertModel", "DistilBertModel", "GPT2Model", "BertForMaskedLM", "GPT2LMHeadModel", "BertForSequenceClassification")


@each("model", BODIES)
def _(name):
    return getattr(minihf, name), dict(config=small(name).config)


@each("build", ("BertModel", "GPT2Model"))
def _(name):
    return functools.partial(small, name), {}


@each("resize_token_embeddings", BODIES)
def _(name):
    return small(name).resize_token_embeddings, dict(new_num_tokens=30)


@each("set_input_embeddings", BODIES)
def _(name):
    model = small(name)
    return model.set_input_embeddings, dict(value=model.get_input_embeddings())


@each("set_output_embeddings", ("BertForMaskedLM", "GPT2LMHeadModel"))
def _(name):
    model = small(name)
    return model.set_output_embeddings, dict(value=model.get_output_embeddings())


@each("num_parameters", BODIES[:1])
def _(name):
    return small(name).num_parameters, {}


@each("gradient_checkpointing_enable", BODIES[:1])
def _(name):
    return small(name).gradient_checkpointing_enable, {}


@case("optimize_for_inference")
def _():
    model = small("GPT2LMHeadModel")
    return signed(lambda model, **kw: minihf.optimize_for_inference(copy.deepcopy(model), **kw), ["model"]), dict(model=model)


@each("layers", ("lookup", "check_ids"))
def _(name):
    from minihf import layers

    table = 3 if name == "check_ids" else torch.nn.Embedding(3, 4)
    call = lambda ids: layers.check_ids(ids, table) if name == "check_ids" else layers.lookup(table, ids)
    return call, dict(ids=torch.tensor([1]))


# generation


GENERATE = {
    "greedy": {"input_ids": IDS, "attention_mask": None, "inputs_embeds": None, "max_new_tokens": 2},
    "sample": dict(do_sample=True, temperature=1.0, top_k=5, top_p=0.9, min_p=None, typical_p=None, epsilon_cutoff=None, eta_cutoff=None),
    "beam": dict(num_beams=2, length_penalty=1.0, early_stopping=False, num_return_sequences=1, max_length=None),
}


@each("generate", GENERATE)
def _(name):
    generate, valid = small("GPT2LMHeadModel").generate, GENERATE[name]
    if name == "greedy":  # with all settings there are
        settings = vars(minihf.GenerationConfig())
        valid = {k: None for k in settings if k[0] != "_"} | valid
    return signed(lambda **kw: generate(**GENERATE["greedy"] | kw), valid), valid


@case("GenerationConfig")
def _():
    settings = vars(minihf.GenerationConfig())
    return minihf.GenerationConfig, {k: v for k, v in settings.items() if k[0] != "_"}


PROCESSORS = {
    "TemperatureLogitsWarper": dict(temperature=0.5),
    "TopKLogitsWarper": dict(top_k=3),
    "TopPLogitsWarper": dict(top_p=0.5),
    "MinPLogitsWarper": dict(min_p=0.1),
    "TypicalLogitsWarper": dict(mass=0.5),
    "EpsilonLogitsWarper": dict(epsilon=0.01),
    "EtaLogitsWarper": dict(epsilon=0.01),
    "RepetitionPenaltyLogitsProcessor": dict(penalty=1.2),
    "NoRepeatNGramLogitsProcessor": dict(ngram_size=2),
    "SequenceBiasLogitsProcessor": dict(sequence_bias={(5,): 1.0}),
    "NoBadWordsLogitsProcessor": dict(bad_words_ids=[[5]]),
    "MinLengthLogitsProcessor": dict(min_length=2, eos_token_id=3),
    "MinNewTokensLengthLogitsProcessor": dict(prompt_length_to_skip=1, min_new_tokens=2, eos_token_id=3),
    "ForcedBOSTokenLogitsProcessor": dict(bos_token_id=1),
    "ForcedEOSTokenLogitsProcessor": dict(max_length=5, eos_token_id=3),
    "ExponentialDecayLengthPenalty": dict(exponential_decay_length_penalty=(2, 1.1), eos_token_id=3, input_ids_seq_length=1),
    "SuppressTokensLogitsProcessor": dict(suppress_tokens=[4]),
    "SuppressTokensAtBeginLogitsProcessor": dict(begin_suppress_tokens=[4], begin_index=1),
    "PrefixConstrainedLogitsProcessor": dict(prefix_allowed_tokens_fn=lambda b, i: [5], num_beams=1),
    "MaxLengthCriteria": dict(max_length=5),
    "MaxTimeCriteria": dict(max_time=1.0),
    "EosTokenCriteria": dict(eos_token_id=3),
}


@each("processor", PROCESSORS)
def _(name):
    cls = getattr(minihf, name)
    use = lambda **kw: cls(**kw)(IDS, torch.zeros(2, 30))
    return signed(use, inspect.signature(cls).parameters), PROCESSORS[name]


@each("processor.__call__", PROCESSORS)
def _(name):
    return getattr(minihf, name)(**PROCESSORS[name]).__call__, dict(input_ids=IDS, scores=torch.zeros(2, 30))


@case("StopStringCriteria")
def _():
    return minihf.StopStringCriteria, dict(tokenizer=tokenizer("gpt2"), stop_strings=["a"])


@each("streamer", ("TextStreamer", "TextIteratorStreamer"))
def _(name):
    return getattr(minihf, name), dict(tokenizer=tokenizer("gpt2"))


@case("TextStreamer.put")
def _():
    return minihf.TextStreamer(tokenizer("gpt2")).put, dict(value=torch.tensor([5]))


@case("DynamicCache")
def _():
    return minihf.DynamicCache, {}


# pipelines


PIPELINES = {
    "text-classification": dict(inputs=["a b", "c"], top_k=1, function_to_apply="softmax", batch_size=2),
    "token-classification": dict(inputs=["a b", "c"], aggregation_strategy="simple", ignore_labels=["O"], stride=None),
    "fill-mask": dict(inputs="a [MASK] b", top_k=2, targets=None),
    "feature-extraction": dict(inputs=["a b", "c"], return_tensors=True, truncation=True),
    "text-generation": dict(inputs=["a b", "c"], max_new_tokens=2, return_full_text=True, num_return_sequences=1, batch_size=1),
    "zero-shot-classification": dict(inputs=["a b"], candidate_labels=["a", "b"], multi_label=False, hypothesis_template="It is {}."),
    "question-answering": dict(question="who is it?", context="it is me and you", top_k=1, doc_stride=2, max_answer_len=3, max_seq_len=32,
                               handle_impossible_answer=False),
}


@each("pipeline", PIPELINES)
def _(name):
    valid = PIPELINES[name]
    p = minihf.pipeline(name, model="minihf/tiny-gpt2" if name == "text-generation" else "minihf/tiny-bert")
    return signed(lambda inputs=..., **kw: p(**kw) if inputs is ... else p(inputs, **kw), valid), valid


@case("pipeline")
def _():
    return minihf.pipeline, dict(task="fill-mask", model="minihf/tiny-bert")


# data and training


COLLATORS = {
    "DataCollatorWithPadding": {}, "DataCollatorForLanguageModeling": dict(mlm=True, mlm_probability=0.15),
    "DataCollatorForTokenClassification": {}, "DataCollatorForMultipleChoice": {}, "DataCollatorForSeq2Seq": {},
}


@each("collator", COLLATORS)
def _(name):
    return getattr(minihf, name), dict(tokenizer=tokenizer("bert"), **COLLATORS[name])


@each("collator.__call__", COLLATORS)
def _(name):
    row = dict(tokenizer("bert")("a b"))
    if "Multiple" in name:
        row = {k: [v, v] for k, v in row.items()} | {"labels": 0}
    if "Token" in name or "Seq2" in name:
        row["labels"] = [0] * 4
    return getattr(minihf, name)(tokenizer=tokenizer("bert"), **COLLATORS[name]).__call__, dict(features=[row, row])


@case("default_data_collator")
def _():
    return minihf.default_data_collator, dict(features=[{"a": 1, "labels": 0}])


ARGUMENTS = dict(output_dir="out", report_to="none", disable_tqdm=True, save_strategy="no", max_steps=1, use_cpu=True)


def training():
    "What `Trainer` gets: a model, arguments, four rows"
    rows = [dict(tokenizer("bert")("one row"), labels=0) for _ in range(4)]
    model = small("BertForSequenceClassification", vocab_size=len(tokenizer("bert")))
    return dict(model=model, args=minihf.TrainingArguments(**ARGUMENTS), train_dataset=rows, processing_class=tokenizer("bert"))


@case("TrainingArguments")
def _():
    return minihf.TrainingArguments, ARGUMENTS


TRAINER = ("model args train_dataset processing_class data_collator eval_dataset compute_metrics callbacks optimizers model_init "
           "preprocess_logits_for_metrics compute_loss_func").split()


@each("Trainer", TRAINER)
def _(name):
    valid = training()

    def train(**kw):
        return minihf.Trainer(**valid | kw).train()

    return signed(train, [name]), {}


@each("trainer", ("train", "evaluate", "predict"))
def _(name):
    valid = training()
    trainer = minihf.Trainer(**valid, eval_dataset=valid["train_dataset"])
    if name == "train":
        return signed(trainer.train, ["resume_from_checkpoint", "ignore_keys_for_eval"]), {}
    return getattr(trainer, name), dict(test_dataset=valid["train_dataset"]) if name == "predict" else {}


SCHEDULES = {
    "get_scheduler": dict(name="linear", num_warmup_steps=1, num_training_steps=5),
    "get_constant_schedule": {},
    "get_constant_schedule_with_warmup": dict(num_warmup_steps=1),
    "get_linear_schedule_with_warmup": dict(num_warmup_steps=1, num_training_steps=5),
    "get_cosine_schedule_with_warmup": dict(num_warmup_steps=1, num_training_steps=5),
    "get_cosine_with_hard_restarts_schedule_with_warmup": dict(num_warmup_steps=1, num_training_steps=5),
    "get_polynomial_decay_schedule_with_warmup": dict(num_warmup_steps=1, num_training_steps=5),
    "get_inverse_sqrt_schedule": dict(num_warmup_steps=1),
    "get_reduce_on_plateau_schedule": {},
}


@each("schedule", SCHEDULES)
def _(name):
    make = getattr(minihf, name)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1)

    def use(**kw):
        made = make(**kw)
        optimizer.step()
        made.step(*[1.0] * (name == "get_reduce_on_plateau_schedule"))

    return signed(use, inspect.signature(make).parameters), dict(optimizer=optimizer, **SCHEDULES[name])


@case("set_seed")
def _():
    return minihf.set_seed, dict(seed=1)


@case("EarlyStoppingCallback")
def _():
    return minihf.EarlyStoppingCallback, {}


@case("EvalPrediction")
def _():
    return minihf.EvalPrediction, dict(predictions=1, label_ids=1)


# pictures


TOKENS = ["a", "##b", "c"]
TABLES = torch.full((2, 3, 3), 1 / 3)  # the weights of two heads
POINTS = np.eye(3)
PICTURES = {
    "byte_level": dict(tokens=TOKENS),
    "readable": dict(tokens=TOKENS),
    "drawable": dict(text="a"),
    "word_numbers": dict(tokens=TOKENS),
    "token_strip": dict(tokens=TOKENS, ids=[1, 2, 3], words=[0, 0, 1], width=7.5),
    "token_html": dict(tokens=TOKENS, ids=[1, 2, 3], words=[0, 0, 1]),
    "to_array": dict(x=[1]),
    "one_text": dict(layer=TABLES, item=None),
    "stack_attentions": dict(attentions=TABLES),
    "heatmap": dict(table=POINTS, rows=TOKENS, columns=TOKENS, digits=1),
    "choose": dict(maps=TABLES[None].numpy(), layer=0, head=0),
    "attention_map": dict(attentions=TABLES, tokens=TOKENS, head=0),
    "attention_grid": dict(attentions=TABLES, tokens=TOKENS, layers=[0], heads=[0]),
    "head_view": dict(attentions=TABLES, tokens=TOKENS, head=0, query=1),
    "attention_entropy": dict(attentions=TABLES),
    "units": dict(vectors=POINTS),
    "nearest": dict(vectors=POINTS, query=0, k=2),
    "bars": dict(names=TOKENS, numbers=[1, 2, 3]),
    "plane": dict(vectors=POINTS),
    "word_map": dict(vectors=POINTS, names=TOKENS, groups=[0, 1, 1]),
    "similarity_map": dict(vectors=POINTS, labels=TOKENS),
    "softmax": dict(logits=np.ones(3)),
    "distribution": dict(logits=np.ones(3), tokens=TOKENS, k=2, temperature=1.0),
}


@each("viz", PICTURES)
def _(name):
    import matplotlib.pyplot as plt

    def draw(**kw):
        try:
            return getattr(viz, name)(**kw)
        finally:
            plt.close("all")

    return signed(draw, inspect.signature(getattr(viz, name)).parameters), PICTURES[name]


# -- what must be refused -----------------------------------------------------------------------------------------------


NAN, INF = float("nan"), float("inf")
REFUSED = {  # case -> argument -> values that have no meaning there
    "build.BertModel": dict(hidden_size=["8", 0, -8, 2.5, NAN], vocab_size=["30", -1, 2.5], num_hidden_layers=["2", -1], layer_norm_eps=["x", NAN],
                              hidden_dropout_prob=["0.1", -0.1, 1.5, NAN]),
    "build.GPT2Model": dict(hidden_size=["8", 0, -8], num_hidden_layers=["2", -1], n_positions=["x", -1], resid_pdrop=[-0.1, 1.5, NAN]),
    "from_pretrained.AutoModel": dict(pretrained_model_name_or_path=[3, ["x"], b"x"], dtype=["float33", 3], device_map=["nowhere"], config=[3],
                                      state_dict=["x", 3], attn_implementation=["no such", 3]),
    "from_pretrained.AutoTokenizer": dict(pretrained_model_name_or_path=[None, 3, ["x"], b"x"], revision=[3], subfolder=[3]),
    "resize_token_embeddings.BertModel": dict(new_num_tokens=["30", -1, 2.5, NAN]),
    "hub.find_local": dict(path=[3, None], filename=[3, None], subfolder=[3, ["x"]]),
    "layers.lookup": dict(ids=["x", [1], 1.5, torch.tensor([1.0]), torch.tensor([-1]), torch.tensor([3])]),
    "bert.__call__": dict(text=[3, 2.5, b"x", [None], [["a", 3]]], text_pair=[3, ["a"], ["a", None]]),
    "bert.encode": dict(max_length=["8", -1, 2.5, NAN], stride=["1", -1, 2.5], pad_to_multiple_of=["4", -4, 2.5], return_tensors=["xx"],
                        padding=["no such"], truncation=["no such"]),
    "bert.decode": dict(token_ids=["x", [2.5], [NAN], torch.rand(4), [[["x"]]]]),
    "gpt2.decode": dict(token_ids=["x", [2.5], [NAN], torch.rand(4)]),
    "gpt2.add_tokens": dict(new_tokens=[5, [5], [b"x"], 2.5]),
    "generate.greedy": dict(input_ids=["text", ["text"], 3, 2.5], attention_mask=["x", 3], max_new_tokens=["2", 0, -3, 2.5, NAN],
                            repetition_penalty=["1", 0, -1.0, NAN], no_repeat_ngram_size=["2", -1, 2.5], bad_words_ids=["x", ["x"], 3]),
    "generate.sample": dict(temperature=["1", 0.0, -1.0, NAN], top_k=["5", -1, 2.5, NAN], top_p=["0.9", -0.1, 1.5, NAN], min_p=["x", -0.1, 1.5],
                            typical_p=["x", -1.0, 1.5]),
    "generate.beam": dict(num_beams=["2", 0, -1, 2.5], length_penalty=["x", NAN], num_return_sequences=["1", 0, -1, 3]),
    "pipeline.text-classification": dict(batch_size=["2", 0, -1, 2.5], top_k=["x", -1], function_to_apply=["no such", 3]),
    "pipeline.fill-mask": dict(top_k=["2", 0, -1, 2.5]),
    "pipeline.question-answering": dict(question=[3, None], context=[3, None], top_k=["1", 0, -1], max_answer_len=["3", 0, -1], doc_stride=["x", -1]),
    "TrainingArguments": dict(learning_rate=["2e-5", -1.0, NAN, INF], num_train_epochs=["x", NAN], per_device_train_batch_size=["8", 0, -1, 2.5],
                              weight_decay=["x", NAN], max_grad_norm=["x", NAN], warmup_steps=["x", -1], seed=["x", 2.5],
                              gradient_accumulation_steps=["2", 0, -1, 2.5], save_steps=["x"], save_strategy=["no such", 3]),
    "Trainer.train_dataset": dict(train_dataset=["x", 3, {"x": 1}, []]),
    "Trainer.model": dict(model=["x", 3, object()]),
    "schedule.get_linear_schedule_with_warmup": dict(optimizer=["x", None], num_warmup_steps=["1"], num_training_steps=["5"]),
    "collator.DataCollatorForLanguageModeling": dict(mlm_probability=["0.1", -0.1, 1.5, NAN], tokenizer=["x", None]),
    "set_seed": dict(seed=["1", None, 2.5, -1, NAN]),
    "viz.heatmap": dict(table=["x", [["a"]], [[1], [2, 3]], 3], rows=["abc", ["a"], [1, 2, 3]], digits=["1", -1]),
    "viz.token_strip": dict(tokens=["abc", [1], 3], ids=["x", [1]], width=[0, -1, NAN, "x"], ax=["x"]),
    "viz.attention_map": dict(attentions=[None, "x", []], layer=[5, "x", 2.5], head=[5, "x"]),
    "viz.distribution": dict(logits=["x", [], 3], tokens=["abc", ["a"], [1, 2, 3]], temperature=[0, -1, "x"]),
}


# -- the tests ----------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def quiet():
    logging.disable(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("name", CASES)
def test_nothing_odd_breaks_it(name, folder, capfd):
    call, valid = CASES[name]()
    assert not complaints(name, call, valid)


def test_the_rule_itself():
    def caught(call):
        try:
            call()
        except Exception as e:
            return e

    assert not said(caught(lambda: {}["a"])) and not said(caught(lambda: torch.ones(2).view(3)))
    assert not said(caught(lambda: minihf.BertConfig().nothing))
    assert said(caught(lambda: minihf.BertConfig(hidden_size="x")))
    assert said(caught(lambda: minihf.BertConfig.from_pretrained("minihf/no-such-model")))


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_meaning_is_refused(name, folder):
    call, valid = CASES[name]()
    taken = []
    for place, values in REFUSED[name].items():
        for value in values:
            try:
                call(**valid | {place: value})
            except Exception as e:
                assert said(e), (place, value, repr(e))
            else:
                taken.append((place, value))
    assert not taken
