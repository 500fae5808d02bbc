"Weight rules: renamed, turned, fused and tied tensors, to a file and back; six stops and their errors; what every model can be asked."
import logging

import pytest
import torch
import transformers
from torch import nn

import minihf
from minihf.config import BertConfig
from minihf.hub import read_tensors, save_tensors
from minihf.loading import Rule, by_rules, rules_of, swap, undo
from minihf.modeling import MISSING, PreTrainedModel
from minihf.models.bert import BertForMaskedLM, BertModel
from minihf.models.gpt2 import GPT2LMHeadModel

TINY = dict(vocab_size=31, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, max_position_embeddings=20)
TINY_GPT2 = dict(vocab_size=31, n_embd=16, n_layer=2, n_head=2, n_positions=20)


def same(a, b):
    a, b = (x.state_dict() if isinstance(x, nn.Module) else x for x in (a, b))
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def turn(tensor, config):
    return tensor.T.contiguous()


def mix_heads(tensor, config):
    "Rows of each head: halves become pairs, as other formats have them"
    return tensor.unflatten(0, (config.num_attention_heads, 2, -1)).transpose(1, 2).flatten(0, 2)


def unmix_heads(tensor, config):
    return tensor.unflatten(0, (config.num_attention_heads, -1, 2)).transpose(1, 2).flatten(0, 2)


class Fused(PreTrainedModel):
    "Grouped heads: queries of 8, keys and values of 4; the file has all in one, another matrix on its side, and rows in another order"
    config_class, base_model_prefix = BertConfig, "body"
    weight_rules = (
        Rule("blk.*.wide", "layers.*.up", load=turn, save=turn),
        Rule("blk.*.order", "layers.*.order", load=unmix_heads, save=mix_heads),
        Rule("blk.*.qkv", ("layers.*.q", "layers.*.k", "layers.*.v")),
        Rule("blk.*.mask", None),
        Rule("head.weight", "words.weight", tied=True),
    )

    def __init__(self, config):
        super().__init__(config)
        self.words = nn.Embedding(9, 8)
        self.layers = nn.ModuleList(nn.ModuleDict(dict(
            v=nn.Linear(8, 4), q=nn.Linear(8, 8), k=nn.Linear(8, 4), order=nn.Linear(8, 8, bias=False),
            up=nn.Linear(8, 12, bias=False))) for _ in range(2))
        self.head = nn.Linear(8, 9, bias=False)
        self.post_init()


@pytest.fixture
def fused():
    torch.manual_seed(0)
    model = Fused(BertConfig(hidden_size=8, num_attention_heads=2)).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.normal_()
    return model


def test_the_file_has_the_files_form(tmp_path, fused):
    fused.save_pretrained(tmp_path)
    file, own = read_tensors(tmp_path / "model.safetensors"), fused.state_dict()
    assert set(file) == {"words.weight"} | {f"blk.{i}.{n}" for i in (0, 1) for n in ("wide.weight", "order.weight", "qkv.weight", "qkv.bias")}
    for i in (0, 1):
        q, k, v = (own[f"layers.{i}.{n}.weight"] for n in "qkv")
        assert torch.equal(file[f"blk.{i}.qkv.weight"], torch.cat([q, k, v]))
        assert torch.equal(file[f"blk.{i}.qkv.bias"], torch.cat([own[f"layers.{i}.{n}.bias"] for n in "qkv"]))
        assert torch.equal(file[f"blk.{i}.wide.weight"], own[f"layers.{i}.up.weight"].T)
        rows = own[f"layers.{i}.order.weight"]
        assert torch.equal(file[f"blk.{i}.order.weight"], rows[[0, 2, 1, 3, 4, 6, 5, 7]])


def test_there_and_back(tmp_path, fused):
    for how in (dict(), dict(save_original_format=False), dict(max_shard_size="300B")):
        fused.save_pretrained(tmp_path, **how)
        back, info = Fused.from_pretrained(tmp_path, output_loading_info=True)
        assert same(back, fused) and not any(info.values()), info
        assert back.head.weight is back.words.weight
        assert all(p.is_contiguous() and p.requires_grad for p in back.parameters())
    half = Fused.from_pretrained(tmp_path, dtype="bfloat16")
    assert {p.dtype for p in half.parameters()} == {torch.bfloat16}


def test_pieces_can_be_trained_and_saved_apart(tmp_path, fused):
    fused.save_pretrained(tmp_path)
    back = Fused.from_pretrained(tmp_path)
    before = back.layers[0].k.weight.detach().clone()
    with torch.no_grad():
        back.layers[0]["q"].weight.add_(1)
    assert torch.equal(back.layers[0].k.weight, before)
    back.save_pretrained(tmp_path)
    assert same(Fused.from_pretrained(tmp_path), back)


def test_with_and_without_the_prefix(tmp_path, fused):
    fused.save_pretrained(tmp_path)
    file = read_tensors(tmp_path / "model.safetensors")
    save_tensors({f"body.{k}": t.clone() for k, t in file.items()} | {"body.blk.1.mask": torch.ones(3)}, tmp_path)
    back, info = Fused.from_pretrained(tmp_path, output_loading_info=True)
    assert same(back, fused) and not any(info.values()), info


def test_a_fused_tensor_of_another_size_is_a_mismatch(tmp_path, fused):
    fused.save_pretrained(tmp_path)
    file = {k: t.clone() for k, t in read_tensors(tmp_path / "model.safetensors").items()}
    save_tensors(file | {"blk.0.qkv.weight": torch.zeros(17, 8)}, tmp_path)
    with pytest.raises(RuntimeError, match=r"layers.0.q.weight is \[17, 8\] in the file, \[8, 8\] in the model"):
        Fused.from_pretrained(tmp_path)
    back, info = Fused.from_pretrained(tmp_path, ignore_mismatched_sizes=True, output_loading_info=True)
    assert {m[0] for m in info["mismatched_keys"]} == {f"layers.0.{n}.weight" for n in "qkv"}
    assert torch.equal(back.layers[0].q.bias, fused.layers[0].q.bias) and not back.layers[0].q.weight.isnan().any()


def test_a_part_of_the_pieces_stays_as_it_is(tmp_path, fused):
    some = {k: t for k, t in fused.state_dict().items() if ".v." not in k}
    fused.save_pretrained(tmp_path, state_dict=some)
    assert "layers.0.q.weight" in read_tensors(tmp_path / "model.safetensors")
    back, info = Fused.from_pretrained(tmp_path, output_loading_info=True)
    assert info["missing_keys"] == {f"layers.{i}.v.{n}" for i in (0, 1) for n in ("weight", "bias")}
    assert torch.equal(back.layers[0].q.weight, fused.layers[0].q.weight)


def test_untied_by_the_config(tmp_path, fused):
    model = Fused(BertConfig(hidden_size=8, num_attention_heads=2, tie_word_embeddings=False))
    assert model.head.weight is not model.words.weight
    model.save_pretrained(tmp_path)
    assert "head.weight" in read_tensors(tmp_path / "model.safetensors") and same(Fused.from_pretrained(tmp_path), model)


def test_whole_parts_and_numbers():
    assert swap("a.b.c", "b", "x.y") == "a.x.y.c" and swap("a.bb.c", "b", "x") == "a.bb.c"
    assert swap("h.10.attn.3.w", "h.*.attn.*", "l.*.a.*") == "l.10.a.3.w" and swap("h.x.w", "h.*", "l.*") == "h.x.w"
    assert swap("a.b", "a.b", "c") == "c" and swap("a+b.c", "a+b", "d") == "d.c"
    names, t = by_rules([Rule("gamma", "weight", old=True)], "n.gamma", torch.ones(2), None)
    assert names == ["n.weight"] and undo(Rule("gamma", "weight", old=True), {"n.weight": t}, None).keys() == {"n.weight"}


def test_a_subclass_adds_to_the_rules():
    class More(Fused):
        weight_rules = (Rule("x", "y"),)

    assert rules_of(More)[:2] == list(PreTrainedModel.weight_rules) and rules_of(More)[-1] == Rule("x", "y")
    assert len(rules_of(More)) == len(rules_of(Fused)) + 1 and rules_of(nn.Linear) == []


def test_a_loaded_config_is_read_once(tmp_path, monkeypatch):
    import minihf.config as config

    BertModel(BertConfig(**TINY)).save_pretrained(tmp_path)
    reads, read = [], config.read_json
    monkeypatch.setattr(config, "read_json", lambda path: (reads.append(str(path)), read(path))[1])
    for load in (BertModel.from_pretrained, minihf.AutoModel.from_pretrained):
        reads.clear()
        load(tmp_path)
        assert reads == [str(tmp_path / "config.json")]


def test_names_that_stand_for_no_folder(tmp_path):
    for wrong in ("no/such/folder", tmp_path / "nothing"):
        with pytest.raises(OSError, match="No folder"):
            BertModel.from_pretrained(wrong)


# what every model can be asked, as in the reference

PAIRS = [("Bert", "BertModel", TINY), ("Bert", "BertForMaskedLM", TINY), ("GPT2", "GPT2LMHeadModel", TINY_GPT2), ("GPT2", "GPT2Model", TINY_GPT2)]


def pair(family, name, sizes):
    made = []
    for lib in (minihf, transformers):
        torch.manual_seed(0)
        made.append(getattr(lib, name)(getattr(lib, f"{family}Config")(**sizes)))
    return made


def public(cls):
    return {n for n in dir(cls) if n[0] != "_"} - set(dir(nn.Module))


INSIDE = """barrier_after_gathered_checkpoint_save can_record_outputs dummy_inputs gather_sharded_state_dict_for_save generation_config_class
get_correct_attn_implementation get_correct_experts_implementation get_expanded_tied_weights_keys get_experts_implementation get_init_context
get_parameter_or_buffer init_parallel_plans initialize_weights input_modalities is_backend_compatible is_custom_code
is_distributed_loading_by_transformers is_remote_code mark_tied_weights_as_initialized model_tags named_non_persistent_buffers prepare_distribute_model
retrieve_modules_from_names should_save_on_this_rank supports_context_parallel supports_gradient_checkpointing supports_pp_plan supports_tp_plan use_kernels
warn_if_padding_and_no_attention_mask""".split()  # the reference's own machinery


def test_every_public_method_is_there_or_says_what_to_do():
    names = public(transformers.PreTrainedModel)
    assert len(names) > 80 and set(INSIDE) <= names
    unknown = {n for n in names if not hasattr(PreTrainedModel, n) and n not in MISSING} - set(INSIDE)
    assert not unknown, sorted(unknown)
    model = BertModel(BertConfig(**TINY))
    for name in MISSING:
        assert not hasattr(model, name)
        with pytest.raises(AttributeError, match=f"no attribute '{name}'; ....."):
            getattr(model, name)


@pytest.mark.parametrize("family, name, sizes", PAIRS)
def test_memory_footprint(family, name, sizes):
    ours, theirs = pair(family, name, sizes)
    for model in (ours, theirs):
        model.register_buffer("more", torch.zeros(7, dtype=torch.float16))
    buffers = sum(b.nbytes for n, b in theirs.named_buffers() if n != "more")  # rows of positions: ours are made when needed
    assert ours.get_memory_footprint() == theirs.get_memory_footprint() - buffers
    assert ours.get_memory_footprint(return_buffers=False) == theirs.get_memory_footprint(return_buffers=False) == ours.num_parameters() * 4
    assert ours.half().get_memory_footprint(False) == ours.num_parameters() * 2


@pytest.mark.parametrize("family, name, sizes", PAIRS)
def test_input_gradients(family, name, sizes):
    seen = []
    for model in pair(family, name, sizes):
        assert not model.requires_grad_(False)(torch.tensor([[1, 2]]))[0].requires_grad
        model.enable_input_require_grads()
        out = model(torch.tensor([[1, 2]]))[0].requires_grad
        model.disable_input_require_grads()
        seen.append((out, model(torch.tensor([[1, 2]]))[0].requires_grad))
        model.disable_input_require_grads()  # twice is no error
    assert seen == [(True, False)] * 2


def test_an_adapter_learns_behind_checkpointing():
    model = BertModel(BertConfig(**TINY)).train()
    model.requires_grad_(False)
    model.encoder["layer"][0].attention["self"].query.requires_grad_(True)
    model.gradient_checkpointing_enable()
    model.enable_input_require_grads()
    model(torch.tensor([[1, 2, 3]]))[0].sum().backward()
    assert model.encoder["layer"][0].attention["self"].query.weight.grad is not None


@pytest.mark.parametrize("family, name, sizes", PAIRS)
def test_attention_can_be_changed(family, name, sizes):
    ours, theirs = (m.eval() for m in pair(family, name, sizes))
    ours.load_state_dict(theirs.state_dict())
    ids = torch.tensor([[1, 2, 3]])
    for how in ("eager", "sdpa", "eager"):
        for model in (ours, theirs):
            model.set_attn_implementation(how)
        assert ours.config._attn_implementation == theirs.config._attn_implementation == how
        assert ours.base_model.config._attn_implementation == how
        torch.testing.assert_close(ours(ids)[0], theirs(ids)[0], atol=1e-5, rtol=1e-5)
    for wrong in ("flash", ""):
        with pytest.raises(ValueError, match="attn_implementation=.*There are: sdpa, eager"):
            ours.set_attn_implementation(wrong)
    with pytest.raises(TypeError, match="attn_implementation should be str"):
        ours.set_attn_implementation(5)


@pytest.mark.parametrize("family, name, sizes", PAIRS)
def test_is_gradient_checkpointing(family, name, sizes, recwarn):
    for model in pair(family, name, sizes):
        states = [model.is_gradient_checkpointing]
        model.gradient_checkpointing_enable()
        states += [model.is_gradient_checkpointing, model.base_model.is_gradient_checkpointing]
        model.gradient_checkpointing_disable()
        assert [*states, model.is_gradient_checkpointing] == [False, True, True, False]


def path_in(model, part):
    return next(path for path, m in model.named_modules() if m is part)


@pytest.mark.parametrize("family, name, sizes", PAIRS)
def test_encoder_and_decoder(family, name, sizes):
    ours, theirs = pair(family, name, sizes)
    for ask in ("get_encoder", "get_decoder"):
        assert path_in(ours, getattr(ours, ask)()) == path_in(theirs, getattr(theirs, ask)())


def test_init_weights_ties_and_leaves_what_is_there():
    model = BertForMaskedLM(BertConfig(**TINY))
    before = {k: t.clone() for k, t in model.state_dict().items()}
    model.set_input_embeddings(nn.Embedding(31, 16))
    model.init_weights()
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert all(torch.equal(t, before[k]) for k, t in model.state_dict().items() if "word" not in k and "decoder" not in k)


def test_a_model_on_meta_is_tied():
    with torch.device("meta"):
        model = BertForMaskedLM(BertConfig(**TINY))
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight and model.device.type == "meta"


@pytest.mark.parametrize("variant", ["fp16", "ema"])
def test_variants(tmp_path, variant):
    torch.manual_seed(0)
    model = GPT2LMHeadModel(minihf.GPT2Config(**TINY_GPT2))
    for how in (dict(), dict(max_shard_size="3KB")):
        model.save_pretrained(tmp_path, variant=variant, **how)
        assert same(GPT2LMHeadModel.from_pretrained(tmp_path, variant=variant), model)
        theirs = transformers.GPT2LMHeadModel.from_pretrained(tmp_path, variant=variant)
        assert all(torch.equal(t, model.state_dict()[k]) for k, t in theirs.state_dict().items())
    with pytest.raises(FileNotFoundError, match="model.safetensors"):
        GPT2LMHeadModel.from_pretrained(tmp_path)
    theirs.save_pretrained(tmp_path / "theirs", variant=variant)
    assert same(GPT2LMHeadModel.from_pretrained(tmp_path / "theirs", variant=variant), model)
