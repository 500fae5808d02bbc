"""What torch.compile costs and brings: python benchmarks/compiled.py writes compiled.json, which the chapter on speed draws.

It needs a C++ compiler and some minutes. One thread; the median of many calls; the first calls, in which torch compiles, are added up.
"""
import json
import os
import statistics
import time
from pathlib import Path

os.environ["TORCHINDUCTOR_FORCE_DISABLE_CACHES"] = "1"  # as on a machine that has never compiled this
import torch

from minihf import AutoModel, AutoModelForCausalLM
from run import machine

HERE = Path(__file__).resolve().parent


def forward(model):
    "A function that reads 16 tokens 60 times and returns the seconds of each call"
    ids = torch.arange(5, 21)[None]

    def work():
        return [clock(lambda: model(ids))[0] for _ in range(60)]

    return work


def decoding(model):
    "A function that writes 60 tokens and returns the seconds of each step"

    def work():
        ids, cache, times = torch.tensor([[5, 6, 7, 8]]), None, []
        for _ in range(60):
            seconds, out = clock(lambda: model(ids, past_key_values=cache))
            ids, cache = out.logits[:, -1:].argmax(-1), out.past_key_values
            times.append(seconds)
        return times[1:]  # the prompt is no step

    return work


def clock(f):
    start = time.perf_counter()
    out = f()
    return time.perf_counter() - start, out


def measure(model, work):
    "Milliseconds of a call before and after compiling, and the seconds that compiling took"
    eager = work(model)
    compiled = work(torch.compile(model, fullgraph=True, dynamic=True))
    with torch.inference_mode():
        eager()
        first, _ = clock(compiled)
        rounds = [(statistics.median(eager()), statistics.median(compiled())) for _ in range(15)]
    before, after = (statistics.median(r[k] for r in rounds) for k in (0, 1))
    return dict(eager_ms=before * 1e3, compiled_ms=after * 1e3, first_s=first)


def main():
    torch.set_num_threads(1)
    found = {
        "tiny BERT reads 16 tokens": measure(AutoModel.from_pretrained("minihf/tiny-bert"), forward),
        "tiny GPT-2 writes a token": measure(AutoModelForCausalLM.from_pretrained("minihf/tiny-gpt2"), decoding),
    }
    for name, row in found.items():
        print(f"{name}: {row['eager_ms']:.2f} ms, compiled {row['compiled_ms']:.2f} ms, after {row['first_s']:.0f} s")
    (HERE / "compiled.json").write_text(json.dumps(dict(machine=machine(1, "cpu"), rows=found), indent=1) + "\n")


if __name__ == "__main__":
    main()
