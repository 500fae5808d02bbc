# throwaway, overwritten by the chapter's export
import json, os, contextlib
HUB_ARGS = ("cache_dir","force_download","revision","token","local_files_only","subfolder","proxies")
def split_hub_args(kw):
    return {k: v for k, v in kw.items() if k in HUB_ARGS}, {k: v for k, v in kw.items() if k not in HUB_ARGS}
def cached_file(n, f, *, required=True, **hub):
    if os.path.isfile(n): return str(n)
    p = os.path.join(n, f)
    if os.path.exists(p): return p
    if required: raise FileNotFoundError(p)
def read_json(p): return json.load(open(p))
@contextlib.contextmanager
def replacing(p):
    t = str(p) + ".tmp"
    yield t
    os.replace(t, p)
def write_json(o, p):
    with replacing(p) as t: open(t, "w").write(json.dumps(o, indent=2, sort_keys=True) + "\n")
def weight_files(n, **hub):
    p = cached_file(n, "model.safetensors"); return [p]
def read_tensors(p):
    from safetensors.torch import load_file
    return load_file(p)
def save_tensors(t, folder, max_shard_size="50GB", metadata={"format": "pt"}):
    from safetensors.torch import save_file
    os.makedirs(folder, exist_ok=True)
    with replacing(os.path.join(folder, "model.safetensors")) as p: save_file({k: v.contiguous() for k, v in t.items()}, p, metadata=dict(metadata))
    return ["model.safetensors"]
