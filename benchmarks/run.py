"""minihf and transformers side by side: python benchmarks/run.py [names] [--rounds N] [--threads 1] [--device cuda] [--save]

The two libraries run in processes of their own and take turns, so that whatever else the machine does meets both. A ratio is
the median over the rounds of (transformers' time / minihf's time): above 1, minihf is faster. Results are compared as well.
With --save the rows go into results.json, which the chapter on speed draws.
"""
import argparse
import hashlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
LIBS = ("minihf", "transformers")


# --- the worker: one library, one case -------------------------------------------------------
def digest(x):
    "Something small that is equal when results are: exact for ids and text, a sample of values for floats"
    if hasattr(x, "is_floating_point"):
        if x.is_floating_point():
            flat = x.detach().float().flatten()
            return ["float", list(x.shape), flat[:: max(1, len(flat) // 200)].tolist()]
        x = x.tolist()
    return ["exact", hashlib.sha256(repr(x).encode()).hexdigest()]


def worker(lib, name, threads):
    import importlib

    from cases import CASES, DEVICE

    import torch

    torch.set_num_threads(threads)
    case, hf = CASES[name], importlib.import_module(lib)
    finish = torch.cuda.synchronize if DEVICE != "cpu" else lambda: None  # a GPU works behind the program's back
    out, sys.stdout = sys.stdout, sys.stderr
    work = case(hf)
    for line in sys.stdin:
        i = int(line)
        if case.fresh:
            work = case(hf)
        start = time.perf_counter()
        for _ in range(case.repeat):
            result = work(i)
        finish()
        seconds = (time.perf_counter() - start) / case.repeat
        print(json.dumps([seconds, digest(result)]), file=out, flush=True)


# --- the driver ------------------------------------------------------------------------------
def environment(threads):
    one = {k: str(threads) for k in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")}
    quiet = dict(TRANSFORMERS_VERBOSITY="error", HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    same = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}  # both start from compiled modules
    return {**same, **one, **quiet}


def agree(a, b, atol=1e-4):
    if a[0] == b[0] == "float":
        return a[1] == b[1] and all(abs(x - y) <= atol for x, y in zip(a[2], b[2]))
    return a == b


def start(lib, name, threads, under=()):
    "A worker for one library and case, `under` a command that watches it"
    from cases import CASES

    threads = CASES[name].threads or threads
    cmd = [*under, sys.executable, __file__, "--worker", lib, name, str(threads)]
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE if under else None)
    return subprocess.Popen(cmd, **pipes, text=True, env=environment(threads))


def ask(worker, i):
    "[seconds, digest] of a worker's round `i`"
    worker.stdin.write(f"{i}\n")
    worker.stdin.flush()
    line = worker.stdout.readline()
    if not line:
        raise SystemExit(f"failed: {' '.join(worker.args)}")
    return json.loads(line)


def run_case(name, rounds, threads):
    "[(seconds of minihf, seconds of transformers)], and whether all results agreed"
    from cases import CASES

    procs = {lib: start(lib, name, threads) for lib in LIBS}
    pairs, equal = [], True
    for i in range((rounds or CASES[name].rounds) + 1):
        order = LIBS if i % 2 else LIBS[::-1]
        got = {lib: ask(procs[lib], i) for lib in order}
        equal &= agree(got["minihf"][1], got["transformers"][1])
        if i:  # the first round warms up
            pairs.append(tuple(got[lib][0] for lib in LIBS))
    for p in procs.values():
        p.stdin.close()
        p.wait()
    return pairs, equal


def instructions(lib, name, threads, rounds=3):
    "Millions of processor instructions of a round, counted by valgrind: the same on a busy machine"
    valgrind = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--callgrind-out-file=/dev/null"]
    p = start(lib, name, threads, under=valgrind)
    count = lambda on: subprocess.run(["callgrind_control", f"--instr={on}", str(p.pid)], check=True, capture_output=True)
    ask(p, 0)
    count("on")
    for i in range(1, rounds + 1):
        ask(p, i)
    count("off")
    _, report = p.communicate()
    collected = next(o.split(":")[1] for o in report.splitlines() if "Collected" in o)
    return int(collected) / rounds / 1e6


def run_process(code, peak, threads):
    "Seconds that the script measured or took, or its peak memory in bytes"
    if peak:
        code += "\nimport resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)"
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(threads))
    seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{done.stderr}\nfailed:\n{code}")
    lines = done.stdout.split()
    return float(lines[-1]) if lines else seconds


def run_script(name, rounds, threads, folders):
    from scripts import SCRIPTS

    s = SCRIPTS[name]
    sides = s["against"] or LIBS
    pairs = []
    for i in range((rounds or 7) + 1):
        codes = [s["code"].replace("LIB", o).replace("LINE", o) for o in sides]
        for key, folder in folders.items():
            codes = [c.replace(key, repr(folder)) for c in codes]
        times = {}
        for k in (0, 1) if i % 2 else (1, 0):
            times[k] = run_process(codes[k], s["peak"], threads)
        if i:
            pairs.append((times[0], times[1]))
    return pairs, None


def show(x, peak):
    return f"{x / 2**20:.0f} MB" if peak else f"{x:.2f} s" if x >= 1 else f"{x * 1e3:.2f} ms"


def row(title, pairs, equal, peak=False):
    ratios = sorted(b / a for a, b in pairs)
    ours, theirs = (statistics.median(p[k] for p in pairs) for k in (0, 1))
    low, high = ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]
    mark = {True: "equal", False: "DIFFERENT", None: ""}[equal]
    ratio = statistics.median(ratios)
    print(f"| {title} | {show(ours, peak)} | {show(theirs, peak)} | **{ratio:.2f}** | {low:.2f}–{high:.2f} | {mark} |", flush=True)
    return dict(title=title, minihf=ours, transformers=theirs, ratio=ratio, low=low, high=high, equal=equal)


def machine(threads, device):
    from importlib.metadata import version

    if device != "cpu":
        import torch

        device = torch.cuda.get_device_name(device)
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        cpu = next((o.split(":")[1].strip() for o in info.read_text().splitlines() if "model name" in o), cpu)
    gpu = "" if device == "cpu" else f"{device}; "
    return (
        f"{gpu}{cpu}, {os.cpu_count()} cores, {threads} thread(s) a side; Python {platform.python_version()}, "
        f"torch {version('torch')}, transformers {version('transformers')}"
    )


def save(rows, here, order):
    "Put rows into results.json, beside older ones of the same machine"
    path = HERE / "results.json"
    old = json.loads(path.read_text()) if path.exists() else {}
    rows = {**(old["rows"] if old.get("machine") == here else {}), **rows}
    kept = {n: rows[n] for n in order if n in rows}
    text = json.dumps(dict(machine=here, rows=kept), indent=1) + "\n"
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").replace(path)


def main():
    if sys.argv[1:2] == ["--worker"]:
        return worker(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    from cases import CASES, TINY, minilm
    from prepare import prepare
    from scripts import SCRIPTS

    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("names", nargs="*", help=f"beginnings of: {', '.join([*SCRIPTS, *CASES])}")
    p.add_argument("--rounds", type=int)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--device", default="cpu", help="where models run: cpu (default) or cuda")
    p.add_argument("--save", action="store_true", help="put the rows into results.json")
    p.add_argument("--instructions", action="store_true", help="count instructions with valgrind (minutes a case) instead of time")
    a = p.parse_args()
    here = machine(a.threads, a.device)
    os.environ["BENCH_DEVICE"] = a.device
    print(here, end="\n\n")
    columns = ["ratio"] if a.instructions else ["ratio", "middle half", "results"]
    print(f"| {'million instructions' if a.instructions else ''} | minihf | transformers | {' | '.join(columns)} |\n{'|---' * (3 + len(columns))}|")
    rows = {}
    names = [n for n in [*SCRIPTS, *CASES] if not a.names or any(n.startswith(o) for o in a.names)]
    with tempfile.TemporaryDirectory() as tmp:
        os.environ["BENCH_FOLDER"] = tmp
        with ProcessPoolExecutor(1) as other:  # a process's peak memory counts for those that it starts
            other.submit(prepare, tmp, names).result()
        folders = dict(PATH=minilm(), BASE=os.path.join(tmp, "base"), WRITER=os.path.join(tmp, "gpt2"), TINY=TINY)
        for n in names:
            if a.instructions:
                if n in CASES:
                    ours, theirs = (instructions(lib, n, a.threads) for lib in LIBS)
                    print(f"| {CASES[n].title} | {ours:,.0f} | {theirs:,.0f} | **{theirs / ours:.2f}** |", flush=True)
            elif n in SCRIPTS:
                s = SCRIPTS[n]
                rows[n] = row(s["title"], *run_script(n, a.rounds, a.threads, folders), s["peak"])
            else:
                rows[n] = row(CASES[n].title, *run_case(n, a.rounds, a.threads))
            if a.save and not a.instructions:
                save(rows, here, [*SCRIPTS, *CASES])
    return any(r["equal"] is False for r in rows.values())


if __name__ == "__main__":
    sys.exit(main())
