"""Files that the benchmarks need and that are too large to keep: made once a run, in a temporary folder."""
import os
from pathlib import Path

from cases import code, minilm, multilingual, prose

import minihf


def base(folder):
    "A BERT of bert-base's size with random weights, and MiniLM's vocabulary"
    minihf.BertModel(minihf.BertConfig()).save_pretrained(folder)
    minihf.BertTokenizer.from_pretrained(minilm()).save_pretrained(folder)


def bpe(folder):
    "A byte-level BPE of GPT-2's size, trained on the texts of the benchmarks by the reference (which is quick at it)"
    from tokenizers import ByteLevelBPETokenizer

    tokenizer = ByteLevelBPETokenizer()
    texts = prose() + code() + multilingual()
    tokenizer.train_from_iterator(texts, vocab_size=50257, min_frequency=1, special_tokens=["<|endoftext|>"])
    os.makedirs(folder, exist_ok=True)
    tokenizer.save_model(str(folder))


def gpt2(folder):
    "A GPT-2 of 124M random weights with the vocabulary of `bpe`"
    size = len(minihf.GPT2Tokenizer.from_pretrained(Path(folder).parent / "bpe"))
    eos = dict(bos_token_id=0, eos_token_id=0)
    minihf.GPT2LMHeadModel(minihf.GPT2Config(vocab_size=max(size, 50257), **eos)).save_pretrained(folder)
    minihf.GPT2Tokenizer.from_pretrained(Path(folder).parent / "bpe").save_pretrained(folder)


def prepare(folder, names):
    "Make what the measures called `names` need"
    needs = {"base": "load_base cold_base quick_base", "bpe": "bpe_ _124m", "gpt2": "_124m"}
    for make in (base, bpe, gpt2):
        if any(part in name for part in needs[make.__name__].split() for name in names):
            make(Path(folder) / make.__name__)
