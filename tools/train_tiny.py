"""Train the models that are bundled with minihf: python tools/train_tiny.py bert|gpt2 [--steps N] [--out FOLDER]

Both are trained from nothing on the text of `corpus.py`, on a CPU, in minutes: the vocabulary first, then the weights.
The same Python, torch and seed give the same model. The result replaces `minihf/assets/tiny-bert` or `tiny-gpt2`.
"""
import argparse
import math
import random
import time
from pathlib import Path

import torch
from corpus import docstrings, documentation
from torch.nn.functional import cross_entropy

from minihf import BertConfig, BertForMaskedLM, BertTokenizer, GPT2Config, GPT2LMHeadModel, GPT2Tokenizer

ASSETS = Path(__file__).resolve().parents[1] / "minihf/assets"
VOCAB = 4096
STEPS = dict(bert=3500, gpt2=1500)


def chunks(rows, size):
    "Cut the rows of token ids into pieces of at most `size`, as equal as can be"
    for row in rows:
        n = max(1, math.ceil(len(row) / size))
        step = math.ceil(len(row) / n)
        yield from (row[i : i + step] for i in range(0, len(row), step))


def batches(rows, tokens, rng):
    "Endless batches of about `tokens` ids each, of rows of like length, in random order"
    while True:
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]) + rng.random() * 4)
        groups, group = [], []
        for i in order:
            if group and (len(group) + 1) * len(rows[i]) > tokens:
                groups.append(group)
                group = []
            group.append(rows[i])
        groups.append(group)
        rng.shuffle(groups)
        yield from groups


def shorten(row, rng):
    "Three rows in ten end early, so that the model also knows short texts without a full stop"
    return row if rng.random() < 0.7 or len(row) < 9 else row[: rng.randint(7, len(row) - 1)] + row[-1:]


def pad(rows, value):
    "Rows of ids as one tensor (b, s), padded on the right"
    s = max(map(len, rows))
    return torch.tensor([r + [value] * (s - len(r)) for r in rows])


def corrupt(ids, special, mask_id, rng):
    "BERT's task: 15 % of the tokens become labels; of these 80 % are masked, 10 % random, 10 % kept. Returns both (b, s)"
    draw = torch.rand(ids.shape, generator=rng)
    chosen = (draw < 0.15) & ~torch.isin(ids, special)
    labels = ids.masked_fill(~chosen, -100)
    draw = torch.rand(ids.shape, generator=rng)
    noise = torch.randint(5, VOCAB, ids.shape, generator=rng)
    ids = torch.where(chosen & (draw < 0.8), mask_id, ids)
    return torch.where(chosen & (draw > 0.9), noise, ids), labels


def fit(model, step_loss, data, steps, lr):
    "Adam with warm-up and a cosine: one line a hundred steps"
    matrices = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() < 2]
    groups = [dict(params=matrices, weight_decay=0.05), dict(params=others, weight_decay=0.0)]
    optim = torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.98), eps=1e-6)
    rate = lambda i: min(1, (i + 1) / (0.05 * steps)) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * i / steps)))
    sched = torch.optim.lr_scheduler.LambdaLR(optim, rate)
    model.train()
    start, total = time.time(), 0.0
    for i, rows in zip(range(steps), data):
        loss = step_loss(rows)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optim.step(), sched.step(), optim.zero_grad()
        total += loss.item()
        if (i + 1) % 100 == 0:
            print(f"step {i + 1:5d}  loss {total / 100:.3f}  {time.time() - start:5.0f} s", flush=True)
            total = 0.0
    model.eval()


def fit_masks(model, tok, texts, steps, lr, seed):
    "Train a masked language model on texts"
    cls, sep = [tok.cls_token_id], [tok.sep_token_id]
    ids = tok(texts, add_special_tokens=False, verbose=False)["input_ids"]
    rows = [cls + r + sep for r in chunks([r for r in ids if len(r) > 4], 62)]
    rng, cut = torch.Generator().manual_seed(seed), random.Random(seed + 1)
    special = torch.tensor(tok.all_special_ids)

    def step_loss(rows):
        ids = pad([shorten(r, cut) for r in rows], tok.pad_token_id)
        mask = (ids != tok.pad_token_id).long()
        ids, labels = corrupt(ids, special, tok.mask_token_id, rng)
        hidden = model.bert(ids, attention_mask=mask).last_hidden_state  # (b, s, d)
        asked = labels != -100  # logits only where there is a label: a sixth of the work
        return cross_entropy(model.cls["predictions"](hidden[asked]), labels[asked])

    fit(model, step_loss, batches(rows, 4096, random.Random(seed)), steps, lr)


def train_bert(steps, out):
    "A WordPiece vocabulary of 4,096 and a BERT of 4 layers, hidden size 96, trained to fill masks"
    docs, strings = documentation(), docstrings()
    blank = BertTokenizer(vocab={t: i for i, t in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])})
    tok = blank.train_new_from_iterator(docs + strings, vocab_size=VOCAB)
    tok.model_max_length = 128
    config = BertConfig(
        vocab_size=VOCAB, hidden_size=96, num_hidden_layers=4, num_attention_heads=6, intermediate_size=384,
        max_position_embeddings=128, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )
    model = BertForMaskedLM(config)
    fit_masks(model, tok, docs * 6 + strings, steps, lr=4e-3, seed=0)
    before = [p.detach().clone() for p in model.parameters()]
    fit_masks(model, tok, docs, steps // 3, lr=2e-3, seed=1)  # then only the language reference
    with torch.no_grad():  # the mean of both knows the reference and has not forgotten the docstrings
        for new, old in zip(model.parameters(), before):
            new.lerp_(old, 0.3)
    save(model, tok, out)


def train_gpt2(steps, out):
    "A byte-level BPE vocabulary of 4,096 and a GPT-2 of 4 layers, hidden size 128, trained to continue text"
    docs, strings = documentation(), docstrings()
    blank = GPT2Tokenizer(vocab={"<|endoftext|>": 0}, merges=[])
    tok = blank.train_new_from_iterator(docs + strings, vocab_size=VOCAB)
    tok.model_max_length = 256
    end = [tok.eos_token_id]
    ids = tok(docs * 3 + strings, verbose=False)["input_ids"]
    rows = list(chunks([end + r + end for r in ids if len(r) > 4], 128))
    config = GPT2Config(
        vocab_size=VOCAB, n_embd=128, n_layer=4, n_head=4, n_positions=256, resid_pdrop=0.0, embd_pdrop=0.0,
        attn_pdrop=0.0, bos_token_id=end[0], eos_token_id=end[0],
    )
    model = GPT2LMHeadModel(config)

    def step_loss(rows):
        ids = pad(rows, end[0])
        lengths = torch.tensor([len(r) for r in rows])
        labels = ids.masked_fill(torch.arange(ids.shape[1]) >= lengths[:, None], -100)
        return model(ids, labels=labels).loss

    fit(model, step_loss, batches(rows, 4096, random.Random(0)), steps, lr=3e-3)
    save(model, tok, out)


def save(model, tok, out):
    model.save_pretrained(out)
    tok.save_pretrained(out)
    size = sum(f.stat().st_size for f in Path(out).iterdir())
    print(f"{model.num_parameters():,} parameters, {size / 1e6:.2f} MB in {out}")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model", choices=["bert", "gpt2"])
    p.add_argument("--steps", type=int, help="3500 for bert (and a third more on the reference), 1500 for gpt2")
    p.add_argument("--out")
    a = p.parse_args()
    torch.manual_seed(0)
    train = dict(bert=train_bert, gpt2=train_gpt2)[a.model]
    train(a.steps or STEPS[a.model], a.out or ASSETS / f"tiny-{a.model}")


if __name__ == "__main__":
    main()
