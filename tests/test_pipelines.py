"Pipelines against the reference's on tiny random models: structure, order, strings exactly, scores to 1e-4."
import itertools
import json
import warnings
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

import minihf
from minihf import AutoModel, AutoTokenizer, BertConfig, BertModel, BertTokenizer, auto
from minihf import pipelines as P
from minihf.pipelines import base, pipeline, tasks

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore")

WORDS = """[PAD] [UNK] [CLS] [SEP] [MASK] the a of to and is in cat dog sat on mat ran over hill big small house love ##ly
##d ##s ##ing paris london ada lives works at new york city what where who did , . ! ? ' - 4 2 ##2 good bad movie film i we you
not very so much sun moon rain micro ##soft open ##ai sports cooking this example e ##x""".split()
CHARS = "abcdefghijklmnopqrstuvwxyz"
VOCAB = list(dict.fromkeys([*WORDS, *CHARS, *(f"##{c}" for c in CHARS)]))
TEXTS = ["The cat sat on the mat.", "I love Paris!", "Ada lives in New York City, and works at Microsoft.", "", "so", "London",
         "We love this movie very much, you know", "Zürich 42 ☃ is   small", "the " * 30, "Who did what? You did."]
SIZES = dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=4, intermediate_size=32, max_position_embeddings=64)
LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
NLI = ["contradiction", "neutral", "entailment"]


def named(labels):
    return dict(id2label=dict(enumerate(labels)), label2id={v: k for k, v in enumerate(labels)})


def save(folder, kind, config, seed=0):
    "Seeded random weights, wide enough that answers differ"
    torch.manual_seed(seed)
    model = getattr(transformers, kind)(config)
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() > 1:
                p.normal_(0, 0.5)
    model.save_pretrained(folder)
    return str(folder)


def wordpiece(folder, **settings):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(VOCAB) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True, "model_max_length": 64, **settings}))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    "name -> folder of a tiny checkpoint"
    root, made = tmp_path_factory.mktemp("models"), {}
    bert = lambda **kw: transformers.BertConfig(vocab_size=len(VOCAB), **{**SIZES, **kw})
    distil = lambda **kw: transformers.DistilBertConfig(
        vocab_size=len(VOCAB), dim=24, n_layers=2, n_heads=4, hidden_dim=32, max_position_embeddings=64, **kw)
    kinds = {
        "classes": ("BertForSequenceClassification", bert(**named(["bad", "fine", "good"]))),
        "yes": ("BertForSequenceClassification", bert(num_labels=1)),
        "number": ("BertForSequenceClassification", bert(num_labels=1, problem_type="regression")),
        "several": ("BertForSequenceClassification", bert(num_labels=3, problem_type="multi_label_classification")),
        "distil": ("DistilBertForSequenceClassification", distil(num_labels=2)),
        "names": ("BertForTokenClassification", bert(**named(LABELS))),
        "plain_names": ("DistilBertForTokenClassification", distil(**named(["O", "PER", "LOC"]))),
        "masked": ("BertForMaskedLM", bert()),
        "base": ("BertModel", bert()),
        "nli": ("BertForSequenceClassification", bert(**named(NLI))),
        "nli_first": ("BertForSequenceClassification", bert(**named(NLI[::-1]))),
    }
    with torch.random.fork_rng():
        for i, (name, (kind, config)) in enumerate(kinds.items()):
            wordpiece(root / name)
            made[name] = save(root / name, kind, config, i)
        made |= gpts(root)
    return made


def gpts(root):
    from tokenizers import ByteLevelBPETokenizer

    made = {}
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator([t.lower() for t in TEXTS] * 5, vocab_size=320, min_frequency=2,
                            special_tokens=["<|endoftext|>"], show_progress=False)
    for name, kind, extra in [("writer", "GPT2LMHeadModel", {}), ("gpt_names", "GPT2ForTokenClassification", named(LABELS)),
                              ("gpt_classes", "GPT2ForSequenceClassification", dict(num_labels=3)),
                              ("gpt_padded", "GPT2ForSequenceClassification", dict(num_labels=3, pad_token_id=0))]:
        (root / name).mkdir()
        bpe.save_model(str(root / name))
        settings = {"model_max_length": 64, "tokenizer_class": "GPT2Tokenizer"}
        settings |= {"pad_token": "<|endoftext|>"} if name == "gpt_padded" else {}
        (root / name / "tokenizer_config.json").write_text(json.dumps(settings))
        config = transformers.GPT2Config(vocab_size=bpe.get_vocab_size(), n_embd=24, n_layer=2, n_head=4, n_positions=64,
                                         bos_token_id=0, eos_token_id=0, **extra)
        made[name] = save(root / name, kind, config)
    return made


def same(a, b, path="answer"):
    "Raises: `AssertionError` with the path to the first thing that differs; scores within 1e-4"
    if hasattr(b, "dtype"):  # the reference's numbers are sometimes NumPy's
        b = b.tolist()
    if torch.is_tensor(a):
        a = a.tolist()
    if isinstance(a, Mapping):
        assert list(a) == list(b), (path, list(a), list(b))
        for k in a:
            same(a[k], b[k], f"{path}[{k!r}]")
    elif isinstance(a, (list, tuple)):
        assert isinstance(b, (list, tuple)) and len(a) == len(b), (path, a, b)
        for i, (x, y) in enumerate(zip(a, b)):
            same(x, y, f"{path}[{i}]")
    elif isinstance(a, float):
        assert a == pytest.approx(b, abs=1e-4, rel=1e-4), (path, a, b)
    else:
        assert type(a) is type(b) and a == b, (path, a, b)


@pytest.fixture
def both(world):
    "both(task, name, inputs, **arguments of the call) compares, and returns our answer"
    pipes = world.setdefault("made pipelines", {})

    def run(task, name, *args, make=(), seed=0, **kwargs):
        answers, key = [], (task, name, str(make))
        for lib in (pipeline, transformers.pipeline):
            if (lib, *key) not in pipes:
                pipes[(lib, *key)] = lib(task, model=world[name], device="cpu", **dict(make))
            torch.manual_seed(seed)
            answers.append(pipes[(lib, *key)](*args, **kwargs))
        same(*answers)
        return answers[0]

    return run


# ---- text classification ----


@pytest.mark.parametrize("name", ["classes", "yes", "number", "several", "distil", "gpt_classes", "gpt_padded"])
@pytest.mark.parametrize("how", [{}, {"top_k": 1}, {"top_k": 2}, {"top_k": None}, {"function_to_apply": "none"},
                                 {"function_to_apply": "sigmoid", "top_k": None}, {"function_to_apply": "softmax"}], ids=str)
def test_classification(both, name, how):
    both("text-classification", name, "We love this movie", **how)
    texts = [t for t in TEXTS if t] if "gpt" in name else TEXTS  # GPT-2 has no token for an empty text
    found = both("sentiment-analysis", name, texts, **how)
    assert len(found) == len(texts)


def test_classification_defaults_given_at_the_start(both):
    both("text-classification", "classes", "so", make={"top_k": None})
    both("text-classification", "classes", "so", make={"top_k": 2}, top_k=1)
    both("text-classification", "classes", TEXTS, make={"function_to_apply": "sigmoid", "batch_size": 4})


@pytest.mark.parametrize("item", [{"text": "the cat", "text_pair": "the dog"}, {"text": "the cat"},
                                  [{"text": "the cat", "text_pair": "a dog"}, {"text": "so", "text_pair": "so so"}],
                                  [[["the cat", "the dog"]]]], ids=str)
def test_classification_of_pairs(both, item):
    both("text-classification", "classes", item)


@pytest.mark.parametrize("how", [dict(truncation=True), dict(truncation=True, max_length=8), dict(padding="max_length", max_length=40),
                                 dict(padding=True), dict(add_special_tokens=False)], ids=str)
def test_classification_passes_arguments_to_the_tokenizer(both, how):
    both("text-classification", "classes", ["the cat sat on the mat " * 3, "so"], **how)


def test_all_scores_by_the_old_name(world):
    "As version 4 had it: unsorted, and still in a list of lists for a single text"
    pipe = pipeline("text-classification", model=world["classes"])
    found = pipe("so", return_all_scores=True)
    assert [o["label"] for o in found[0]] == ["bad", "fine", "good"] and len(found) == 1
    assert pipe(["so"], return_all_scores=False) == pipe(["so"])
    assert [o["label"] for o in pipeline("text-classification", model=world["classes"], return_all_scores=True)(["so"])[0]] == [
        "bad", "fine", "good"]


# ---- token classification ----


@pytest.mark.parametrize("strategy", P.STRATEGIES)
@pytest.mark.parametrize("name", ["names", "plain_names", "gpt_names"])
def test_names(both, name, strategy):
    found = both("ner", name, TEXTS if name != "gpt_names" else [t for t in TEXTS if t], aggregation_strategy=strategy)
    assert any(found)
    both("token-classification", name, TEXTS[2], aggregation_strategy=strategy)
    both("ner", name, TEXTS[2], aggregation_strategy=strategy, ignore_labels=["O", "B-PER"])
    both("ner", name, TEXTS[2], aggregation_strategy=strategy, ignore_labels=[])


@pytest.mark.parametrize("strategy", P.STRATEGIES)
def test_names_in_words(both, strategy):
    words = ["Ada", "lives", "in", "NewYork", "City", ",", "é"]
    both("ner", "names", words, is_split_into_words=True, aggregation_strategy=strategy, ignore_labels=[])
    both("ner", "names", [words, ["so", "what"]], is_split_into_words=True, aggregation_strategy=strategy, ignore_labels=[])
    both("ner", "names", words, is_split_into_words=True, delimiter="", aggregation_strategy=strategy, ignore_labels=[])


@pytest.mark.parametrize("stride", [0, 5, 30])
@pytest.mark.parametrize("strategy", P.STRATEGIES[1:])
def test_names_in_long_texts(both, stride, strategy):
    text = " ".join(TEXTS[:8]) * 4
    found = both("ner", "names", text, stride=stride, aggregation_strategy=strategy, ignore_labels=[])
    assert found[-1]["end"] > 600
    both("ner", "names", [text, "Ada lives", text[50:]], stride=stride, aggregation_strategy=strategy)


def test_names_are_cut_off_without_a_stride(both):
    text = " ".join(TEXTS[:8]) * 4
    assert both("ner", "names", text, ignore_labels=[])[-1]["end"] < len(text)


# ---- fill-mask ----


@pytest.mark.parametrize("inputs", ["the [MASK] sat", "the [MASK] sat on [MASK].", ["the [MASK] sat"],
                                    ["the [MASK] sat on the mat .", "[MASK]", "a [MASK] and [MASK] [MASK]"]], ids=str)
@pytest.mark.parametrize("how", [{}, {"top_k": 2}, {"targets": ["cat", "dog", "mat"]}, {"targets": "cat"},
                                 {"targets": ["catdog", "Paris", "ran"], "top_k": 2}], ids=str)
def test_fill_mask(both, inputs, how):
    both("fill-mask", "masked", inputs, **how)


def test_fill_mask_defaults_and_tokenizer_arguments(both):
    both("fill-mask", "masked", "the [MASK] sat", make={"top_k": 3})
    both("fill-mask", "masked", "the [MASK] sat", make={"targets": ["cat", "sun"]}, top_k=1)
    both("fill-mask", "masked", "the [MASK] sat " + "on the mat " * 40, tokenizer_kwargs={"truncation": True})
    both("fill-mask", "masked", "the [MASK] sat", tokenizer_kwargs={"padding": "max_length", "max_length": 12})


def test_fill_mask_without_a_mask(world):
    pipe = pipeline("fill-mask", model=world["masked"])
    with pytest.raises(P.PipelineException, match=r"no mask_token \(\[MASK\]\).*the dog"):
        pipe(["the [MASK]", "the dog"])
    with pytest.raises(ValueError, match="no token is left"):
        pipe("the [MASK]", targets=[])


# ---- feature extraction ----


@pytest.mark.parametrize("name", ["base", "distil", "masked", "writer"])
def test_features(both, name):
    both("feature-extraction", name, "the cat sat")
    both("feature-extraction", name, [t for t in TEXTS if t], truncation=True)
    both("feature-extraction", name, "the cat sat", return_tensors=True)
    both("feature-extraction", name, "the cat " * 40, tokenize_kwargs={"truncation": True, "max_length": 9})


@pytest.mark.parametrize("n", [1, 2, 3, 32])
@pytest.mark.parametrize("name", ["base", "distil"])
def test_features_of_a_batch_have_the_lengths_of_the_reference(world, name, n):
    "Behind a text's own vectors stand zeros; the reference has there what its model made of padding"
    pipe = pipeline("feature-extraction", model=world[name], return_tensors=True)
    their = transformers.pipeline("feature-extraction", model=world[name], device="cpu")
    alone, theirs = [pipe(t) for t in TEXTS], their(TEXTS, batch_size=n, return_tensors=True)
    for found in (pipe(TEXTS, batch_size=n), list(pipe((t for t in TEXTS), batch_size=n))):
        for a, b, c in zip(alone, found, theirs, strict=True):
            own = a.shape[1]
            assert b.shape == c.shape
            torch.testing.assert_close(b[:, :own], a, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(b[:, :own], c[:, :own], atol=1e-4, rtol=1e-4)
            assert not b[:, own:].any()
    assert [x.shape for x in pipe(TEXTS)] == [x.shape for x in alone]
    assert [len(x[0]) for x in pipe(TEXTS, batch_size=n, return_tensors=False)] == [x.shape[1] for x in theirs]


def test_features_of_many_windows_keep_the_batches_of_the_reference(world, monkeypatch):
    monkeypatch.setattr(base, "WINDOW", 4)
    pipe = pipeline("feature-extraction", model=world["base"], return_tensors=True, batch_size=3)
    their = transformers.pipeline("feature-extraction", model=world["base"], device="cpu")
    assert [x.shape for x in pipe(TEXTS)] == [x.shape for x in their(TEXTS, batch_size=3, return_tensors=True)]


def test_features_can_be_trained_on(world):
    x = pipeline("feature-extraction", model=world["base"], return_tensors=True)(TEXTS[0]).requires_grad_()
    torch.nn.functional.linear(x, torch.ones(2, 24)).sum().backward()


# ---- zero-shot ----


@pytest.mark.parametrize("name", ["nli", "nli_first", "distil"])
@pytest.mark.parametrize("how", [{}, {"multi_label": True}, {"hypothesis_template": "you love {}"}], ids=str)
def test_zero_shot(both, name, how):
    both("zero-shot-classification", name, "the cat sat on the mat", candidate_labels=["cat", "dog", "good movie"], **how)
    both("zero-shot-classification", name, [t for t in TEXTS if t], candidate_labels="sports, cooking ,moon", **how)
    both("zero-shot-classification", name, "the cat", ["sun"], **how)
    both("zero-shot-classification", name, "the cat sat " * 40, candidate_labels=["sun", "moon"], **how)


def test_zero_shot_errors(world):
    pipe = pipeline("zero-shot-classification", model=world["nli"])
    for args, kwargs, match in [(("so",), {}, "candidate_labels"), (("so", ["a"]), {"hypothesis_template": "no place"}, "no place"),
                                (("", ["a"]), {}, "input 0 is empty")]:
        with pytest.raises(ValueError, match=match):
            pipe(*args, **kwargs)


# ---- text generation ----

PROMPTS = ["the cat", "who did what? you did not", "so"]


@pytest.mark.parametrize("how", [
    {"do_sample": False}, {"max_new_tokens": 7}, {"max_length": 20}, {"max_length": 20, "do_sample": True}, {"top_k": 5},
    {"temperature": 1.3, "top_p": 0.8}, {"num_return_sequences": 3}, {"num_beams": 2, "do_sample": False},
    {"return_full_text": False}, {"return_full_text": True}, {"return_tensors": True}, {"return_text": True},
    {"clean_up_tokenization_spaces": True}, {"skip_special_tokens": False}, {"stop_sequence": "a"}, {"prefix": "we love "}, {"prefix": "we love ", "max_length": 12},
    {"handle_long_generation": "hole", "max_new_tokens": 60}, {"min_new_tokens": 5, "max_new_tokens": 6},
    {"tokenizer_encode_kwargs": {"max_length": 3, "truncation": True}}, {"truncation": True}], ids=str)
def test_generation(both, how):
    if "max_length" not in how:
        how = {"max_new_tokens": 9, **how}
    one = both("text-generation", "writer", PROMPTS[0], **how)
    assert isinstance(one, list) and len(one) == how.get("num_return_sequences", 1)
    assert len(both("text-generation", "writer", PROMPTS, **how)) == 3


def test_generation_defaults(both, world):
    found = both("text-generation", "writer", "the", make={"max_new_tokens": 40, "return_full_text": False}, seed=3)
    assert found[0]["generated_text"]
    pipe = pipeline("text-generation", model=world["writer"])
    settings = P.writing_settings(pipe.model, {})
    assert settings == {"max_new_tokens": 256, "do_sample": True, "temperature": 0.7}
    assert P.writing_settings(pipe.model, {"max_length": 9, "do_sample": False}) == {"max_length": 9, "do_sample": False}


@pytest.mark.parametrize("n", [None, 2, 3])
def test_generation_in_batches(world, n):
    "Left padding, in the order given: the same numbers are drawn"
    answers = []
    for lib, kind in ((pipeline, AutoTokenizer), (transformers.pipeline, transformers.AutoTokenizer)):
        tokenizer = kind.from_pretrained(world["writer"])
        tokenizer.pad_token = tokenizer.eos_token
        pipe = lib("text-generation", model=world["writer"], tokenizer=tokenizer, device="cpu", max_new_tokens=8)
        torch.manual_seed(0)
        answers.append(pipe([*PROMPTS, "a dog"], batch_size=n))
        answers[-1] += list(pipe((t for t in PROMPTS), batch_size=n, do_sample=True))
    same(*answers)


def test_generation_config_and_empty_prompt(both, world):
    both("text-generation", "writer", "", max_new_tokens=6, do_sample=False)
    answers = []
    for lib, kind in ((pipeline, minihf.GenerationConfig), (transformers.pipeline, transformers.GenerationConfig)):
        pipe = lib("text-generation", model=world["writer"], device="cpu", max_new_tokens=5)
        config = kind(max_new_tokens=8, do_sample=False)
        answers.append(pipe("the cat", generation_config=config, return_tensors=True))
        answers[-1].append(config.max_new_tokens)
    same(*answers)
    assert len(answers[0][0]["generated_token_ids"]) > 5


def test_generation_streams(world, capsys):
    from minihf import TextIteratorStreamer, TextStreamer

    pipe = pipeline("text-generation", model=world["writer"], do_sample=False, max_new_tokens=8)
    text = pipe("the cat", streamer=TextStreamer(pipe.tokenizer))[0]["generated_text"]
    assert capsys.readouterr().out.strip() == text.strip()
    streamer = TextIteratorStreamer(pipe.tokenizer, skip_prompt=True)
    new = pipe("the cat", streamer=streamer, return_full_text=False)[0]["generated_text"]
    assert "".join(streamer) == new


def test_generation_refuses(world):
    pipe = pipeline("text-generation", model=world["writer"])
    for inputs, match in [([{"role": "user", "content": "hi"}], "is a chat"), ([[{"role": "user", "content": "hi"}]], "is a chat"),
                          ([5], "input 0 must be a string, not int: 5")]:
        with pytest.raises((ValueError, TypeError), match=match):
            pipe(inputs)
    with pytest.raises(ValueError, match="exclude each other"):
        pipe("so", return_full_text=True, return_tensors=True)
    with pytest.raises(ValueError, match="'hold' is unknown"):
        pipe("so", handle_long_generation="hold")
    with pytest.raises(ValueError, match="no padding token"):
        pipe(["so", "the cat sat on"], batch_size=2)
    with pytest.raises(ValueError, match="max_new_token"):
        pipe("so", max_new_token=3)


# ---- similarity ----


def test_similarity(world):
    pipe, ref = pipeline("sentence-similarity", model=world["base"]), transformers.AutoModel.from_pretrained(world["base"])
    tok = transformers.AutoTokenizer.from_pretrained(world["base"])
    for pooling in ("mean", "cls", "max"):
        vectors = []
        for t in TEXTS:
            x = ref(**tok(t, return_tensors="pt")).last_hidden_state[0]
            vectors.append({"mean": x.mean(0), "cls": x[0], "max": x.amax(0)}[pooling])
        expected = [torch.cosine_similarity(vectors[0], v, dim=0).item() for v in vectors[1:]]
        same(pipe(TEXTS[0], TEXTS[1:], pooling=pooling), expected)
        same(pipe({"source_sentence": TEXTS[0], "sentences": TEXTS[1:]}, pooling=pooling, batch_size=3), expected)
        same(pipe(TEXTS[0], TEXTS[1], pooling=pooling), expected[0])
    two = [{"source_sentence": "so", "sentences": ["the cat"]}, {"source_sentence": "the cat", "sentences": ["so", "so"]}]
    first, second = pipe(two)
    same([first[0]] * 2, second)
    with pytest.raises(ValueError, match="source_sentence"):
        pipe("so")
    with pytest.raises(ValueError, match="pooling='sum'"):
        pipe("so", ["so"], pooling="sum")


# ---- question answering: answers of 4.57, written down by tests/fixtures/question_answering.py ----

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture(scope="module")
def questions():
    import importlib.util

    spec = importlib.util.spec_from_file_location("question_answering", FIXTURES / "question_answering.py")
    spec.loader.exec_module(made := importlib.util.module_from_spec(spec))
    return made


@pytest.fixture(scope="module")
def qa(questions, tmp_path_factory):
    import minihf

    class Lib:
        BertForQuestionAnswering, BertConfig, BertTokenizerFast = minihf.BertForQuestionAnswering, BertConfig, BertTokenizer

    return pipeline("question-answering", *questions.build(Lib, tmp_path_factory.mktemp("qa"))[:1],
                    tokenizer=BertTokenizer({w: i for i, w in enumerate(questions.VOCAB)}, model_max_length=64), device="cpu")


@pytest.mark.parametrize("n", range(30))
def test_question_answering(qa, questions, n):
    expected = json.loads((FIXTURES / "question_answering.json").read_text(encoding="utf-8"))
    assert len(expected) == len(questions.CALLS) == 30
    args, kwargs = questions.CALLS[n]
    same(qa(*args, **kwargs), expected[n])
    same(qa(*args, **kwargs, batch_size=4), expected[n])


def test_question_answering_streams_and_offsets(qa, questions):
    found = list(qa({"question": "Who?", "context": c} for c in (questions.SHORT, questions.LONG)))
    for answer, context in zip(found, (questions.SHORT, questions.LONG)):
        assert context[answer["start"] : answer["end"]] == answer["answer"]


@pytest.mark.parametrize("args, kwargs, match", [
    ([{"question": "so"}], {}, "with context not empty"), ([], dict(question="so", context=""), "context not empty"),
    ([], dict(question="so"), "give question=… and context"), ([], dict(question=["so"], context=["a", "b"]), "1 questions, but 2 contexts"),
    ([], dict(question="so", context="a", top_k=0), "`top_k` must be an integer of at least 1, but is 0"),
    ([], dict(question="so", context="a", max_answer_len=0), "max_answer_len"),
    ([], dict(question="so", context="a", doc_stride=50, max_seq_len=40), "doc_stride=50 is larger than max_seq_len=40")])
def test_question_answering_refuses(qa, args, kwargs, match):
    with pytest.raises(ValueError, match=match):
        qa(*args, **kwargs)


# ---- the engine ----


def test_batches_have_all_rows_once_and_little_padding(rng):
    lengths = [rng.randint(0, 60) for _ in range(333)]
    for n in (None, 1, 7, 32, 1000):
        groups = P.batches(lengths, n)
        assert sorted(i for g in groups for i in g) == list(range(333))
        assert all(len(g) <= (n or P.TOGETHER) for g in groups)
        assert [lengths[g[0]] for g in groups] == sorted((lengths[g[0]] for g in groups), reverse=True)
        if n is None:
            assert all(len({lengths[i] for i in g}) == 1 for g in groups)


@pytest.mark.parametrize("n", [None, 1, 5, 600])
def test_order_is_kept_over_many_windows(world, monkeypatch, n, rng):
    monkeypatch.setattr(base, "WINDOW", 16)
    texts = [" ".join(rng.choices(WORDS[5:40], k=rng.randint(1, 20))) for _ in range(70)]
    pipe = pipeline("text-classification", model=world["classes"])
    alone = [pipe(t, top_k=None) for t in texts]
    same(pipe(texts, top_k=None, batch_size=n), alone)
    same(list(pipe((t for t in texts), top_k=None, batch_size=n)), alone)
    same(pipe(tuple(texts), top_k=None, batch_size=n), alone)


def test_generators_are_read_as_needed(world, monkeypatch):
    monkeypatch.setattr(base, "WINDOW", 8)
    pipe = pipeline("text-classification", model=world["classes"])
    for n, ahead in ((None, 1), (4, 8), (9, 9)):
        read = []
        endless = (read.append(i) or "so" for i in itertools.count())
        answers = pipe(endless, batch_size=n)
        assert not read
        assert next(answers)["label"] and len(read) == ahead


def test_data_sets(world):
    class Rows(torch.utils.data.Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, i):  # never an IndexError
            return {"text": TEXTS[i % 4], "other": "so"}

    pipe = pipeline("text-classification", model=world["classes"])
    same(list(pipe(P.KeyDataset(Rows(), "text"))), pipe(TEXTS[:4]))
    same(list(pipe(P.KeyPairDataset(Rows(), "text", "other"))), pipe([{"text": t, "text_pair": "so"} for t in TEXTS[:4]]))
    datasets = pytest.importorskip("datasets")
    table = datasets.Dataset.from_dict({"text": TEXTS})
    same(list(pipe(P.KeyDataset(table, "text"))), pipe(TEXTS))
    same(list(pipe(table["text"])), pipe(TEXTS))


@pytest.mark.parametrize("task, name, kwargs", [
    ("text-classification", "classes", {}), ("ner", "names", {}), ("fill-mask", "masked", {}), ("feature-extraction", "base", {}),
    ("zero-shot-classification", "nli", {"candidate_labels": ["a"]}), ("text-generation", "writer", {}), ("sentence-similarity", "base", {})])
def test_empty_lists_and_wrong_inputs(world, task, name, kwargs):
    pipe = pipeline(task, model=world[name])
    assert pipe([], **kwargs) == [] and list(pipe(iter([]), **kwargs)) == []
    for wrong in (5, None, b"so", ["so [MASK]", 5]):
        with pytest.raises((TypeError, ValueError), match="input [01] (must be|is)"):
            pipe(wrong, **kwargs)


def test_batches_of_gpt2_without_a_padding_token(both, world):
    texts = ["the cat sat", "so", "the big dog ran", "so"]
    both("text-classification", "gpt_classes", texts)  # without a batch_size there is nothing to pad
    both("text-classification", "gpt_padded", texts, batch_size=3)
    pipe = pipeline("text-classification", model=world["gpt_classes"])
    with pytest.raises(ValueError, match="pad_token = pipe.tokenizer.eos_token"):
        pipe(texts, batch_size=4)


def test_stack_and_unbatch():
    a, b = torch.ones(1, 3, 2), torch.ones(1, 1, 2)
    assert P.stack([a, b], 7)[1].tolist() == [[1, 1], [7, 7], [7, 7]]
    assert P.stack([a, b], 7, "left")[1].tolist() == [[7, 7], [7, 7], [1, 1]]
    out = {"x": torch.arange(4).view(2, 2), "t": (torch.ones(2, 1),), "l": ["p", "q"], "loss": torch.tensor(1.0), "cache": object()}
    one, two = P.unbatch(out, 2)
    assert two["x"].tolist() == [[2, 3]] and two["t"][0].shape == (1, 1) and two["l"] == "q" and "loss" not in two


def test_training_mode_is_left(world):
    model = auto.AutoModelForSequenceClassification.from_pretrained(world["classes"]).train()
    pipe = pipeline("text-classification", model=model, tokenizer=world["classes"])
    assert pipe("so") == pipe("so") and not model.training


def test_progress_bar_shows_only_on_long_work(world, capsys):
    pipe = pipeline("text-classification", model=world["classes"])
    pipe(TEXTS)
    assert "inputs" not in capsys.readouterr().err


# ---- pipeline(): finding task, model, tokenizer ----


@pytest.mark.parametrize("name, task", [
    ("classes", "text-classification"), ("names", "token-classification"), ("masked", "fill-mask"), ("base", "feature-extraction"),
    ("writer", "text-generation"), ("distil", "text-classification")])
def test_task_follows_from_the_model(world, name, task):
    pipe = pipeline(model=world[name])
    assert pipe.task == task and type(pipe).__name__ == P.TASKS[task][0]
    assert pipeline(model=Path(world[name])).task == task
    assert pipeline(model=pipe.model).task == task  # which knows where it came from, hence its tokenizer
    assert task in repr(pipe) and pipe.dtype == torch.float32


def test_parts_in_all_forms(world):
    folder = world["classes"]
    expected = pipeline("sentiment-analysis", model=folder)(TEXTS)
    model = auto.AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for kwargs in [dict(model=model, tokenizer=tokenizer), dict(model=model, tokenizer=folder), dict(model=folder, tokenizer=tokenizer),
                   dict(model=folder, config=folder), dict(model=folder, config=model.config), dict(model=folder, framework="pt"),
                   dict(model=folder, device=-1), dict(model=folder, device=torch.device("cpu")), dict(model=folder, num_workers=2),
                   dict(model=folder, use_fast=False), dict(model=folder, torch_dtype=torch.float32), dict(model=folder, dtype="float32"),
                   dict(model=folder, trust_remote_code=True), dict(model=folder, model_kwargs={"attn_implementation": "eager"}),
                   dict(model=folder, batch_size=3), dict(model=folder, device_map="cpu"), dict(model=folder, local_files_only=True)]:
        same(pipeline("sentiment-analysis", **kwargs)(TEXTS), expected)
    half = pipeline("text-classification", folder, dtype=torch.bfloat16)
    assert half.dtype == torch.bfloat16 and isinstance(half("so")[0]["score"], float)
    assert pipeline("text-classification", folder, torch_dtype="bfloat16").dtype == torch.bfloat16


def test_save_and_load(world, tmp_path):
    pipe = pipeline("text-classification", model=world["classes"])
    pipe.save_pretrained(tmp_path / "p")
    same(pipeline(model=tmp_path / "p")(TEXTS), pipe(TEXTS))
    same(pipe.predict(TEXTS), transformers.pipeline("text-classification", model=str(tmp_path / "p"), device="cpu")(TEXTS))


@pytest.mark.parametrize("kwargs, error, match", [
    (dict(task="sentimental-analysis"), KeyError, "Did you mean 'sentiment-analysis'.*Known: feature-extraction, fill-mask, ner"),
    (dict(task="summarization"), KeyError, "an encoder and a decoder.*not here yet.*Here are: feature-extraction"),
    (dict(task="translation_en_to_fr"), KeyError, "T5"), (dict(task="image-classification"), KeyError, "pictures"),
    (dict(task="vqa"), KeyError, "text and pictures"), (dict(task="automatic-speech-recognition"), KeyError, "sound"),
    (dict(), ValueError, "give a task"), (dict(task="ner", tokenizer="x"), ValueError, "give model="),
    (dict(task="fill-mask", model=lambda w: w["writer"]), ValueError, "AutoModelForMaskedLM has no class for GPT2Config"),
    (dict(task="ner", model=lambda w: AutoModel.from_pretrained(w["base"])), ValueError,
     r"BertModel has no head for token-classification: load it with AutoModelForTokenClassification.from_pretrained"),
    (dict(model=lambda w: BertModel(BertConfig(**{**SIZES, "vocab_size": 9}))), ValueError, "does not say where it is from.*tokenizer="),
    (dict(task="ner", model=lambda w: w["names"], device="cuda:0"), ValueError, "no GPU here"),
    (dict(task="ner", model=lambda w: w["names"], aggregation_strategy="mean"), ValueError, "'mean' is unknown.*'average'"),
    (dict(task="ner", model=lambda w: w["names"], stride=64), ValueError, "stride=64 must be less than the 64"),
    (dict(task="ner", model=lambda w: w["names"], stride=4, aggregation_strategy="none"), ValueError, "simple"),
    (dict(task="text-classification", model=lambda w: w["classes"], function_to_apply="relu"), ValueError, "'relu' is unknown.*sigmoid"),
    (dict(task="fill-mask", model=lambda w: w["masked"], tokenizer=lambda w: AutoTokenizer.from_pretrained(w["writer"])),
     P.PipelineException, "no mask token"),
])
def test_errors_say_what_to_do(world, kwargs, error, match):
    if "cuda" in str(kwargs.get("device")) and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    kwargs = {k: v(world) if callable(v) and not isinstance(v, torch.nn.Module) else v for k, v in kwargs.items()}
    with pytest.raises(error, match=match):
        pipeline(**kwargs)


def test_unknown_arguments_are_named(world):
    with pytest.raises(TypeError, match="max_len"):
        pipeline("text-classification", model=world["classes"])("so", max_len=3)
    with pytest.raises(TypeError, match="topk"):
        pipeline("fill-mask", model=world["masked"])("[MASK]", topk=3)
    with pytest.raises(ValueError, match="a pair of texts is given as"):
        pipeline("text-classification", model=world["classes"])([["a", "b"]])
    with pytest.raises(ValueError, match="must be a list of words"):
        pipeline("ner", model=world["names"])([["so"], "so"], is_split_into_words=True)
    with pytest.raises(ValueError, match="must be a string"):
        pipeline("ner", model=world["names"])([["so"], "so"])


@pytest.mark.parametrize("task", P.TASKS)
def test_every_default_says_what_to_pass_when_it_is_out_of_reach(task, monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(OSError, match=rf"no model was given for {task}, and the default, '{P.TASKS[task][2]}'[\s\S]*model=…"):
        pipeline(task)
    assert P.TASKS[task][2] in caplog.text


def test_the_tables_agree_with_the_reference():
    "Names, aliases and pinned defaults are the reference's, but for families that are not here"
    supported = transformers.pipelines.SUPPORTED_TASKS
    other = {"question-answering", "sentence-similarity", "fill-mask", "text-generation", "zero-shot-classification"}
    for task, (name, _, model, revision, _) in P.TASKS.items():
        assert issubclass(getattr(P, name), P.Pipeline)
        if task not in other:
            assert supported[task]["default"]["model"] == (model, revision)
    for alias, task in P.ALIASES.items():
        assert transformers.pipelines.TASK_ALIASES[alias] == task
    for task in {*supported, *transformers.pipelines.REMOVED_TASKS} - {*P.TASKS, "decision"}:
        with pytest.raises(P.UnknownTask, match="not here yet"):
            P.find_task(task)


# ---- one's own ----


class Pairs(P.Pipeline):
    "As the reference's guide has it"

    def _sanitize_parameters(self, **kwargs):
        preprocess_kwargs = {}
        if "second_text" in kwargs:
            preprocess_kwargs["second_text"] = kwargs["second_text"]
        return preprocess_kwargs, {}, {}

    def preprocess(self, text, second_text=None):
        return self.tokenizer(text, text_pair=second_text, return_tensors="pt")

    def _forward(self, model_inputs):
        return self.model(**model_inputs)

    def postprocess(self, model_outputs):
        probabilities = model_outputs.logits[0].softmax(-1)
        best = int(probabilities.argmax())
        return {"label": self.model.config.id2label[best], "score": probabilities[best].item(), "logits": model_outputs[0][0].tolist()}


class Sentences(P.ChunkPipeline):
    "One row per sentence; what is no tensor is in the batch as a list"

    def _sanitize_parameters(self, **kwargs):
        return {}, {}, {}

    def preprocess(self, text):
        parts = text.split(". ")
        for i, part in enumerate(parts):
            yield {**self.tokenizer(part, return_tensors="pt"), "part": part, "is_last": i == len(parts) - 1}

    def _forward(self, inputs):
        part = inputs.pop("part")
        last = inputs.pop("is_last")
        return {"logits": self.model(**inputs).logits, "part": part, "is_last": last}

    def postprocess(self, outputs):
        assert [o["is_last"] for o in outputs] == [False] * (len(outputs) - 1) + [True]
        return [(o["part"], int(o["logits"].argmax())) for o in outputs]


@pytest.fixture
def own_tasks(monkeypatch):
    monkeypatch.setattr(tasks, "REGISTERED", {})


def test_register(world, own_tasks):
    P.PIPELINE_REGISTRY.register_pipeline("pair-classification", pipeline_class=Pairs, pt_model=auto.AutoModelForSequenceClassification,
                                          default={"pt": (world["classes"], "main")}, type="text")
    assert "pair-classification" in P.PIPELINE_REGISTRY.get_supported_tasks()
    pipe = pipeline("pair-classification")
    expected = pipeline("text-classification", model=world["classes"])([{"text": t, "text_pair": "so"} for t in TEXTS])
    for n in (None, 1, 4):
        found = pipe(TEXTS, second_text="so", batch_size=n)
        same([{k: o[k] for k in ("label", "score")} for o in found], expected)
        assert len(found[0]["logits"]) == 3
    same(pipeline("pair-classification", model=world["classes"], second_text="so")("I love Paris!"),
         pipe("I love Paris!", second_text="so"))


def test_register_chunks(world, own_tasks):
    P.register_pipeline("sentences", Sentences, auto.AutoModelForSequenceClassification)
    pipe = pipeline("sentences", model=world["classes"])
    texts = ["The cat sat. I love the very big city. so", "so"]
    one = pipeline("text-classification", model=world["classes"])
    ids = pipe.model.config.label2id
    expected = [[(p, ids[one(p)[0]["label"]]) for p in t.split(". ")] for t in texts]
    for n in (None, 1, 3):
        assert pipe(texts, batch_size=n) == expected and pipe(texts[0], batch_size=n) == expected[0]
    with pytest.raises(ValueError, match="has no model of its own"):
        pipeline("sentences")


def test_pipeline_class_and_overridden_steps(world):
    class Loud(P.TextClassificationPipeline):
        def preprocess(self, inputs, **kwargs):
            return super().preprocess(inputs + "!", **kwargs)

        def postprocess(self, outputs, **kwargs):
            return super().postprocess(outputs, **kwargs)["label"].upper()

    pipe = pipeline("text-classification", model=world["classes"], pipeline_class=Loud)
    plain = pipeline("text-classification", model=world["classes"])
    assert pipe(TEXTS) == [o["label"].upper() for o in plain([t + "!" for t in TEXTS])]


def test_steps_that_are_not_written_are_named(world):
    class Empty(P.Pipeline):
        pass

    with pytest.raises(NotImplementedError, match="Empty has no preprocess"):
        pipeline("text-classification", model=world["classes"], pipeline_class=Empty)("so")


# ---- other readers than tokenizers ----


class Pixels:
    "Stands where a tokenizer stands"

    def __call__(self, picture):
        return {"pixel_values": torch.tensor(picture, dtype=torch.float)[None]}  # (1, h, w)

    def save_pretrained(self, folder):
        (Path(folder) / "preprocessor_config.json").write_text("{}")


class Brightness(P.Pipeline):
    _load_tokenizer, _load_image_processor = False, True

    def preprocess(self, picture):
        return self.image_processor(picture)

    def _forward(self, batch):
        assert batch["pixel_values"].dim() == 3
        return {"mean": batch["pixel_values"].mean((1, 2))}

    def postprocess(self, outputs):
        return float(outputs["mean"])


def test_a_processor_may_stand_where_a_tokenizer_stands(world, own_tasks, tmp_path):
    P.register_pipeline("brightness", Brightness, auto.AutoModel)
    pipe = pipeline("brightness", model=world["base"], image_processor=Pixels())
    assert pipe.tokenizer is None and pipe.processor is None
    pictures = [[[float(i), 0.0], [0.0, 0.0]] for i in range(7)]
    for n in (None, 1, 3):
        assert pipe(pictures, batch_size=n) == [i / 4 for i in range(7)]
    pipe.save_pretrained(tmp_path)
    assert (tmp_path / "preprocessor_config.json").exists() and (tmp_path / "config.json").exists()
    with pytest.raises(ValueError, match="`feature_extractor` must be left out: brightness"):
        pipeline("brightness", model=world["base"], image_processor=Pixels(), feature_extractor=Pixels())


def test_a_processor_brings_its_tokenizer(world):
    class Processor:
        tokenizer = AutoTokenizer.from_pretrained(world["classes"])
        image_processor = Pixels()

    pipe = pipeline("text-classification", model=world["classes"], processor=Processor())
    assert pipe.tokenizer is Processor.tokenizer and pipe.image_processor is Processor.image_processor
    same(pipe(TEXTS), pipeline("text-classification", model=world["classes"])(TEXTS))
    with pytest.raises(ValueError, match="`processor` must be left out"):
        pipeline("text-classification", model=world["classes"], processor=object())


def test_rows_of_sound_are_filled_up_as_their_reader_says(world):
    class Waves(P.Pipeline):
        _load_tokenizer, _load_feature_extractor = False, True

        def preprocess(self, wave):
            return {"input_values": torch.tensor([wave])}

        def _forward(self, batch):
            return {"sum": batch["input_values"].sum(-1)}

        def postprocess(self, outputs):
            return float(outputs["sum"])

    class Reader:
        padding_value = 100.0

    pipe = Waves(AutoModel.from_pretrained(world["base"]), feature_extractor=Reader(), device="cpu")
    assert pipe([[1.0, 2.0, 3.0], [1.0]]) == [6.0, 1.0]
    assert pipe([[1.0, 2.0, 3.0], [1.0]], batch_size=2) == [6.0, 201.0]


def test_arguments_stand_in_the_order_of_the_reference(world):
    import inspect

    order = lambda f: [p.name for p in inspect.signature(f).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    theirs, ours = order(transformers.pipeline), order(pipeline)
    assert ours[: len(theirs)] == theirs
    theirs, ours = order(transformers.Pipeline.__init__), order(P.Pipeline.__init__)
    n = theirs.index("device") + 1
    assert ours[:n] == theirs[:n]
    model, tokenizer = (k.from_pretrained(world["classes"]) for k in (auto.AutoModelForSequenceClassification, AutoTokenizer))
    same(pipeline("text-classification", model, None, tokenizer)(TEXTS), pipeline("text-classification", world["classes"])(TEXTS))


def test_files_of_tasks_are_loaded_when_they_are_needed():
    import subprocess
    import sys

    code = """
import sys
from minihf.pipelines import pipeline
loaded = lambda: [n for n in sys.modules if n.startswith("minihf.pipelines.")]
assert set(loaded()) == {"minihf.pipelines.base", "minihf.pipelines.tasks"}, loaded()
pipeline("fill-mask", "minihf/tiny-bert")
assert "minihf.pipelines.text" in loaded() and "minihf.pipelines.tokens" not in loaded(), loaded()
from minihf.pipelines.text_classification import TextClassificationPipeline
from minihf.pipelines.token_classification import TokenClassificationPipeline
from minihf.pipelines.question_answering import QuestionAnsweringPipeline
from minihf.pipelines.pt_utils import KeyDataset
from minihf.pipelines.base import Pipeline
assert issubclass(TokenClassificationPipeline, Pipeline)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="minihf.pipelines.* has no attribute 'Nothing'"):
        P.Nothing
    assert {"pipeline", "Pipeline", "STRATEGIES"} <= set(dir(P))
