"""What is measured in a process of its own: imports, first loads, whole scripts. LIB is replaced by the library's name.

A script prints the measured seconds as its last line, or nothing: then the time of the whole process is what counts.
`peak` names a measure of memory instead of time.
"""
SCRIPTS = {}


def script(name, title, code, peak=False, against=None):
    SCRIPTS[name] = dict(title=title, code=code, peak=peak, against=against)


TIMED = "import time; start = time.perf_counter()\n"
DONE = "\nprint(time.perf_counter() - start)"
COLD = """
from LIB import AutoModel, AutoTokenizer
tokenizer, model = AutoTokenizer.from_pretrained(PATH), AutoModel.from_pretrained(PATH)
hidden = model(**tokenizer("a first sentence", return_tensors="pt")).last_hidden_state
"""
WRITE = """
from LIB import AutoModelForCausalLM, AutoTokenizer
tokenizer, model = AutoTokenizer.from_pretrained(WRITER), AutoModelForCausalLM.from_pretrained(WRITER)
model.generate(**tokenizer("a first text", return_tensors="pt"), max_new_tokens=1, do_sample=False, pad_token_id=0)
"""
LOAD = "import gc, torch\nfrom LIB import AutoModel\n"
TIDY = "gc.collect()\n"  # importing torch leaves a large collection due, which would meet one side by chance
ONCE = "AutoModel.from_pretrained(PATH)\n"

script("import_tokenizer", "from ... import AutoTokenizer", TIMED + "from LIB import AutoTokenizer" + DONE)
script("import_model", "from ... import AutoModel", TIMED + "from LIB import AutoModel" + DONE)
script(
    "import_torch", "from minihf import AutoModel, against import torch", TIMED + "LINE" + DONE,
    against=("from minihf import AutoModel", "import torch"),
)
script("load_first", "MiniLM, first from_pretrained in a process", LOAD + TIDY + TIMED + ONCE + DONE)
script("load_second", "MiniLM, second from_pretrained", LOAD + ONCE + TIDY + TIMED + ONCE + DONE)
script("load_base_first", "bert-base size, first from_pretrained", (LOAD + TIDY + TIMED + ONCE + DONE).replace("PATH", "BASE"))
script(
    "load_base_second", "bert-base size, second from_pretrained",
    (LOAD + ONCE + TIDY + TIMED + ONCE + DONE).replace("PATH", "BASE"),
)
script("cold_script", "process start to hidden states, MiniLM", COLD)
script("cold_peak", "the same, peak memory", COLD, peak=True)
script("cold_base_peak", "the same with bert-base size, peak memory", COLD.replace("PATH", "BASE"), peak=True)
script("first_token_tiny", "process start to the first token, tiny GPT-2", WRITE.replace("WRITER", "TINY"))
script("first_token_124m", "process start to the first token, GPT-2 124M", WRITE)
