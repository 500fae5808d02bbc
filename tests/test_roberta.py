"RoBERTa's own: positions, caches, generation, old files, errors, and its tokenizer; the rest is in `test_families.py`"
import json
from pathlib import Path

import pytest
import torch
import transformers as T
from minihf.config import BertConfig, RobertaConfig
from minihf.models import roberta as R
from minihf.models.bert import BertModel
from minihf.tokenizers.base import AddedToken, GPT2Tokenizer, RobertaTokenizer, RobertaTokenizerFast

from conftest import make_texts
from families import TOL, clean, close, inputs, pair, sizes


def asked(x, pad):
    "Labels of a causal model: nothing is asked of padding, nor of the first token behind it, which padding predicts"
    real = (x != pad).long()
    return x.masked_fill((real == 0) | (real.diff(dim=1, prepend=real[:, :1]) > 0), -100)


# --- the configuration ---------------------------------------------------------------------------
def test_config_is_the_references(tmp_path):
    ours, ref = RobertaConfig(), T.RobertaConfig()
    for k, v in ref.to_dict().items():
        if k != "transformers_version":
            assert getattr(ours, k) == v, k
    RobertaConfig(num_labels=3, max_position_embeddings=514).save_pretrained(tmp_path)
    back = T.RobertaConfig.from_pretrained(tmp_path)
    assert back.model_type == "roberta" and back.num_labels == 3 and back.max_position_embeddings == 514
    back.save_pretrained(tmp_path / "theirs")
    assert RobertaConfig.from_pretrained(tmp_path / "theirs").max_position_embeddings == 514


# --- positions -----------------------------------------------------------------------------------


def test_positions():
    emb = R.RobertaEmbeddings(RobertaConfig(**sizes("Roberta", 0, pad_token_id=1)))
    ids = torch.tensor([[0, 8, 9, 2, 1, 1], [1, 1, 0, 8, 1, 2]])
    assert emb.positions(ids, None, 0).tolist() == [[2, 3, 4, 5, 1, 1], [1, 1, 2, 3, 1, 4]]
    assert emb.positions(ids, None, 3).tolist() == [[5, 6, 7, 8, 1, 1], [1, 1, 5, 6, 1, 7]]
    assert emb.positions(None, torch.zeros(2, 3, 4), 0).tolist() == [2, 3, 4]
    assert not emb.position_embeddings.weight[1].any() or emb.position_embeddings.padding_idx == 1


def test_padding_moves_nothing_and_a_bert_computes_the_same():
    ours, _ = pair("Roberta", seed=1, pad_token_id=1, max_position_embeddings=20)
    text = torch.tensor([[0, 8, 9, 17, 2]])
    alone = ours(text).last_hidden_state
    for left in range(4):
        ids = torch.nn.functional.pad(text, (left, 3 - left), value=1)
        x = ours(ids, attention_mask=(ids != 1).long()).last_hidden_state
        torch.testing.assert_close(x[:, left : left + 5], alone, **TOL)
    state, name = ours.state_dict(), "embeddings.position_embeddings.weight"
    state[name] = state[name][2:]
    bert = BertModel(BertConfig(**{**ours.config.to_dict(), "model_type": "bert", "max_position_embeddings": 18}))
    bert.load_state_dict(state)
    torch.testing.assert_close(bert.eval()(text).last_hidden_state, alone, **TOL)
    ours.skip_padding = True
    with torch.no_grad():
        x = ours(ids, attention_mask=(ids != 1).long()).last_hidden_state
    torch.testing.assert_close(x[:, 3:], alone, **TOL)


# --- a decoder -----------------------------------------------------------------------------------
@pytest.mark.parametrize("attn", ["sdpa", "eager"])
def test_a_cache_gives_what_one_call_gives(attn):
    ours, ref = pair("Roberta", "ForCausalLM", 3, attn, is_decoder=True)
    x = inputs("Roberta", "ForMaskedLM", ours.config)["input_ids"]
    mask = (x != ours.config.pad_token_id).long()
    whole = ours(x, attention_mask=mask).logits
    parts = []
    for m in (ours, ref):
        first = m(x[:, :5], attention_mask=mask[:, :5], use_cache=True)
        rest = m(x[:, 5:], attention_mask=mask, past_key_values=first.past_key_values, use_cache=True)
        assert rest.past_key_values.get_seq_length() == 9
        parts.append(torch.cat([first.logits, rest.logits], 1))
    torch.testing.assert_close(*parts, **TOL)
    torch.testing.assert_close(parts[0][2, 1:5], whole[2, 1:5], **TOL)  # a text that ends before the cut counts on after it
    keep = [m(x, attention_mask=mask, logits_to_keep=2).logits for m in (ours, ref)]
    torch.testing.assert_close(*keep, **TOL)


@pytest.mark.parametrize("how", [{}, dict(num_beams=3), dict(use_cache=False)])
def test_greedy_and_beams(how):
    "Positions are given: without them `generate` of the reference counts from 0, whatever the model does"
    for seed in range(3):
        ours, ref = pair("Roberta", "ForCausalLM", seed, is_decoder=True, pad_token_id=1, max_position_embeddings=40)
        x = torch.randint(5, ours.config.vocab_size, (2, 6), generator=torch.Generator().manual_seed(seed))
        padded = x.clone()
        padded[1, :3] = 1
        for ids in (x, padded):
            places = ours.roberta.embeddings.positions(ids, None, 0)
            kw = dict(attention_mask=(ids != 1).long(), position_ids=places, max_new_tokens=12, do_sample=False,
                      pad_token_id=1, **how)
            assert ours.generate(ids, **kw).tolist() == ref.generate(ids, **kw).tolist()


def test_generate_is_the_models_own_next_token():
    ours, ref = pair("Roberta", "ForCausalLM", 1, is_decoder=True, pad_token_id=1, max_position_embeddings=40)
    ids = x = torch.tensor([[5, 6, 7, 8], [9, 9, 6, 5]])
    for _ in range(8):
        ids = torch.cat([ids, ref(ids).logits[:, -1:].argmax(-1)], 1)
    assert ours.generate(x, max_new_tokens=8, do_sample=False, eos_token_id=None).tolist() == ids.tolist()


@pytest.mark.parametrize("attn", ["sdpa", "eager"])
def test_cross_attention(attn):
    kw = dict(is_decoder=True, add_cross_attention=True)
    ours, ref = pair("Roberta", "ForCausalLM", 4, attn, **kw)
    x = inputs("Roberta", "ForMaskedLM", ours.config)
    heard = torch.randn(3, 4, ours.config.hidden_size)
    seen = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [0, 1, 1, 1]])
    labels = asked(x["input_ids"], ours.config.pad_token_id)
    want = dict(encoder_hidden_states=heard, encoder_attention_mask=seen, labels=labels,
                output_attentions=attn == "eager", output_hidden_states=True)
    outs = [m(**x, **want) for m in (ours, ref)]
    close(*outs)
    for o in outs:
        o.loss.backward()
    theirs = dict(ref.named_parameters())
    for k, p in ours.named_parameters():
        torch.testing.assert_close(p.grad, theirs[k].grad, atol=1e-5, rtol=1e-3, msg=lambda m: f"{k}: {m}")


# --- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", ["lm_head.bias", "lm_head.decoder.bias"])
def test_old_files(bias, tmp_path):
    "Names of files until version 4: one of the two biases, no second table, buffers"
    from safetensors.torch import save_file

    ours, ref = pair("Roberta", "ForMaskedLM", 4)
    with torch.no_grad():
        ref.lm_head.bias.normal_()
    old = {k: v.clone() for k, v in ref.state_dict().items() if not k.startswith("lm_head.decoder") and k != "lm_head.bias"}
    old |= {bias: ref.lm_head.bias.detach().clone(), "roberta.embeddings.position_ids": torch.arange(20)[None],
            "roberta.embeddings.token_type_ids": torch.zeros(1, 20, dtype=torch.long)}
    save_file(old, tmp_path / "model.safetensors", metadata={"format": "pt"})
    ref.config.save_pretrained(tmp_path)
    mine, info = R.RobertaForMaskedLM.from_pretrained(tmp_path, output_loading_info=True)
    assert clean(info), info
    ids = inputs("Roberta", "ForMaskedLM", ours.config)["input_ids"]
    torch.testing.assert_close(mine(ids).logits, ref(ids).logits, **TOL)
    body, info = R.RobertaModel.from_pretrained(tmp_path, add_pooling_layer=False, output_loading_info=True)
    assert not info["missing_keys"], info
    torch.testing.assert_close(body(ids)[0], ref.roberta(ids)[0], **TOL)


def test_errors():
    ours, _ = pair("Roberta", pad_token_id=1, max_position_embeddings=20)
    assert ours(torch.full((1, 18), 7))[0].shape[1] == 18
    with pytest.raises((ValueError, IndexError), match="position"):
        ours(torch.full((1, 19), 7))
    with pytest.raises(ValueError, match="input_ids or inputs_embeds"):
        ours()
    for pad in (None, 19, 20, -1):
        with pytest.raises(ValueError, match="pad_token_id"):
            R.RobertaModel(RobertaConfig(**sizes("Roberta", 0, max_position_embeddings=20, vocab_size=50) | dict(pad_token_id=pad)))
    with pytest.raises(ValueError, match="num_labels=3"):
        R.RobertaForQuestionAnswering(RobertaConfig(**sizes("Roberta", 0), num_labels=3))


# --- the tokenizer -------------------------------------------------------------------------------
MASKS = ["a <mask> b", "<mask>", "x<mask>y", "a  <mask>  <mask> ", "<s> a </s>", "<pad><unk>", "a</s></s>b", " <MASK>", "tab\t<mask>\n"]


@pytest.fixture(scope="module")
def words():
    "The vocabulary of the small GPT-2 between RoBERTa's five tokens; and its merges"
    gpt2 = GPT2Tokenizer.from_pretrained("minihf/tiny-gpt2")
    plain = [t for t in gpt2.backend.vocab if t != gpt2.eos_token]
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *plain, "<mask>"]
    return {t: i for i, t in enumerate(tokens)}, [" ".join(o) if isinstance(o, tuple) else o for o in gpt2.backend.merges]


@pytest.fixture(scope="module")
def folders(words, tmp_path_factory):
    "The tokenizer as a folder that we saved, that 5.23 saved, and as vocab.json with merges.txt alone"
    out = {name: tmp_path_factory.mktemp(name) for name in ("ours", "theirs", "files")}
    ours = RobertaTokenizer(*words, model_max_length=512)
    ours.save_pretrained(out["ours"])
    T.RobertaTokenizer.from_pretrained(out["ours"]).save_pretrained(out["theirs"])
    for name in ("vocab.json", "merges.txt"):
        (out["files"] / name).write_bytes((out["ours"] / name).read_bytes())
    return out


def plain(x):
    "Ids and masks as lists, offsets as lists of tuples"
    return {k: [tuple(o) if isinstance(o, (list, tuple)) else o for o in v] if k == "offset_mapping" and v and isinstance(v[0], tuple)
            else [[tuple(o) if isinstance(o, (list, tuple)) else o for o in row] if isinstance(row, (list, tuple)) else row for row in v]
            for k, v in x.items()}


ASK = dict(return_offsets_mapping=True, return_token_type_ids=True, return_special_tokens_mask=True, verbose=False)


@pytest.mark.parametrize("settings", [{}, dict(add_prefix_space=True), dict(trim_offsets=False), dict(padding_side="left")])
@pytest.mark.parametrize("folder", ["ours", "theirs"])
def test_texts_and_pairs(folders, folder, settings):
    a = RobertaTokenizer.from_pretrained(folders[folder], **settings)
    b = T.RobertaTokenizer.from_pretrained(folders[folder], **settings)
    texts = MASKS + [t for t in make_texts(310, seed=4) if len(t) < 1000]
    assert plain(a(texts, **ASK)) == plain(b(texts, **ASK))
    pairs = texts[::-1]
    x, y = (t(texts, pairs, **ASK) for t in (a, b))
    assert plain(x) == plain(y)
    for i in range(len(texts)):
        assert x.tokens(i) == y.tokens(i) and x.word_ids(i) == y.word_ids(i) and x.sequence_ids(i) == y.sequence_ids(i)
    for skip in (False, True):
        assert a.batch_decode(x["input_ids"], skip_special_tokens=skip) == b.batch_decode(y["input_ids"], skip_special_tokens=skip)
    short = [t for t in texts if len(t) < 80]
    for how in (dict(padding=True, truncation=True, max_length=12), dict(padding="max_length", max_length=20, truncation="only_first"),
                dict(truncation=True, max_length=9, stride=2, return_overflowing_tokens=True), dict(add_special_tokens=False)):
        assert plain(a(short, **ASK, **how)) == plain(b(short, **ASK, **how)), how
    assert plain(a(short, short[::-1], **ASK, truncation=True, max_length=12)) == plain(
        b(short, short[::-1], **ASK, truncation=True, max_length=12))


def test_a_bare_vocabulary_swallows_the_space_before_a_mask(folders, words):
    "As version 4 and the published files do; version 5 wants to be told"
    mask = T.AddedToken("<mask>", lstrip=True, special=True)
    theirs = T.RobertaTokenizer.from_pretrained(folders["files"], mask_token=mask)
    built = T.RobertaTokenizer(*(words[0], [tuple(o.split()) for o in words[1]]), mask_token=mask)
    for ours in (RobertaTokenizer.from_pretrained(folders["files"]), RobertaTokenizer(*words)):
        for text in MASKS:
            assert plain(ours(text, **ASK)) == plain(theirs(text, **ASK)) == plain(built(text, **ASK)), text
    loose = RobertaTokenizer(*words, mask_token=AddedToken("<mask>", special=True))
    tight = T.RobertaTokenizer(words[0], [tuple(o.split()) for o in words[1]])
    assert loose("a <mask>")["input_ids"] == tight("a <mask>")["input_ids"]


def test_the_file_is_the_references(folders, tmp_path):
    read = lambda folder: json.loads((Path(folder) / "tokenizer.json").read_text())
    ours, theirs = read(folders["ours"]), read(folders["theirs"])
    assert ours["post_processor"] == theirs["post_processor"] == {
        "type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": True, "add_prefix_space": False}
    for key in ("added_tokens", "pre_tokenizer", "decoder", "normalizer"):
        assert ours[key] == theirs[key], key
    settings = json.loads((folders["ours"] / "tokenizer_config.json").read_text())
    assert settings["tokenizer_class"] == "RobertaTokenizer" and settings["trim_offsets"] is True
    again = RobertaTokenizer.from_pretrained(folders["theirs"], trim_offsets=False, add_prefix_space=True)
    again.save_pretrained(tmp_path)
    part = read(tmp_path)["post_processor"]
    assert part["trim_offsets"] is False and part["add_prefix_space"] is True
    assert plain(RobertaTokenizer.from_pretrained(tmp_path)("a  b", **ASK)) == plain(again("a  b", **ASK)) == plain(
        T.RobertaTokenizer.from_pretrained(tmp_path)("a  b", **ASK))


def test_special_tokens(words):
    t = RobertaTokenizer(*words)
    assert RobertaTokenizerFast is RobertaTokenizer
    ref = T.RobertaTokenizer(words[0], [tuple(o.split()) for o in words[1]])
    assert t.special_tokens_map == ref.special_tokens_map and set(t.all_special_ids) == set(ref.all_special_ids)
    for name in ("bos", "eos", "sep", "cls", "unk", "pad", "mask"):
        assert getattr(t, f"{name}_token_id") == getattr(ref, f"{name}_token_id")
    assert t.model_input_names == ref.model_input_names == ["input_ids", "attention_mask"]
    assert [t.num_special_tokens_to_add(p) for p in (False, True)] == [ref.num_special_tokens_to_add(p) for p in (False, True)]
    assert t.build_inputs_with_special_tokens([7, 8], [9]) == [0, 7, 8, 2, 2, 9, 2]
    assert t.create_token_type_ids_from_sequences([7, 8], [9]) == [0] * 7
    assert t.get_special_tokens_mask([7, 8], [9]) == [1, 0, 0, 1, 1, 0, 1]
    assert t.convert_tokens_to_ids("nowhere") == t.unk_token_id
    with pytest.raises(TypeError, match="trim_offsets"):
        RobertaTokenizer(*words, trim_offsets="no")


def test_added_tokens_and_a_new_vocabulary(folders):
    a, b = (c.from_pretrained(folders["theirs"]) for c in (RobertaTokenizer, T.RobertaTokenizer))
    for t in (a, b):
        t.add_tokens(["wort"])
        t.add_special_tokens({"additional_special_tokens": ["<x>"]})
    texts = ["wort <x> worte <mask>", "a <x>"]
    assert plain(a(texts, **ASK)) == plain(b(texts, **ASK))
    corpus = make_texts(200, seed=2)
    new = [t.train_new_from_iterator(corpus, 400) for t in (a, b)]
    assert [t.convert_tokens_to_ids("<mask>") for t in new][0] is not None
    x = [t("the quick <mask> fox", "jumps")["input_ids"] for t in new]
    assert new[0].convert_ids_to_tokens(x[0]) == new[1].convert_ids_to_tokens(x[1])
