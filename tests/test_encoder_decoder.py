"EncoderDecoderModel against the reference: config, first weights, numbers, gradients, caches, files, halves of other families."
import copy
from pathlib import Path

import pytest
import torch
import transformers as T

import minihf
from minihf import AutoConfig, AutoModelForSeq2SeqLM, EncoderDecoderConfig, EncoderDecoderModel
from minihf.models.encoder_decoder import shift_tokens_right

T.logging.set_verbosity_error()
TOL = dict(atol=1e-5, rtol=1e-4)
SMALL = dict(vocab_size=31, hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=20,
             max_position_embeddings=24, initializer_range=0.3)
HALVES = {
    "bert": ("bert", SMALL),
    "wide": ("bert", SMALL | dict(hidden_size=15)),
    "roberta": ("roberta", SMALL | dict(pad_token_id=0, layer_norm_eps=1e-5)),
    "electra": ("electra", SMALL | dict(embedding_size=7)),
    "albert": ("albert", SMALL | dict(embedding_size=5)),
    "distilbert": ("distilbert", dict(vocab_size=31, dim=12, n_layers=2, n_heads=3, hidden_dim=20,
                                      max_position_embeddings=24, initializer_range=0.3)),
    "gpt2": ("gpt2", dict(vocab_size=31, n_embd=12, n_layer=2, n_head=3, n_positions=24, initializer_range=0.3)),
}
PAIRS = [("bert", "bert"), ("bert", "gpt2"), ("gpt2", "bert"), ("gpt2", "gpt2"), ("distilbert", "roberta"),
         ("roberta", "electra"), ("electra", "bert"), ("albert", "gpt2"), ("bert", "wide"), ("wide", "gpt2")]
by_pair = pytest.mark.parametrize("reads, writes", PAIRS)


def configs(lib, reads, writes, **more):
    make = lambda half: lib.AutoConfig.for_model(HALVES[half][0], **HALVES[half][1])
    config = lib.EncoderDecoderConfig.from_encoder_decoder_configs(
        make(reads), make(writes), pad_token_id=0, decoder_start_token_id=1, **more)
    return config


def pair(reads="bert", writes="bert", seed=0, **more):
    "Our model and the reference's with the same weights"
    torch.manual_seed(seed)
    ref = T.EncoderDecoderModel(configs(T, reads, writes, **more)).eval()
    ours = EncoderDecoderModel(configs(minihf, reads, writes, **more)).eval()
    ours.load_state_dict(ref.state_dict())
    return ours, ref


def inputs(seed=0):
    g = torch.Generator().manual_seed(seed)
    ids = torch.randint(2, 31, (3, 8), generator=g)
    mask = torch.ones_like(ids)
    mask[0, 5:] = 0
    labels = torch.randint(2, 31, (3, 6), generator=g)
    labels[1, 4:] = -100
    return dict(input_ids=ids, attention_mask=mask, labels=labels)


def close(a, b):
    wanted = [k for k in b if not (isinstance(b[k], tuple) and len(b[k]) == 0)]
    assert list(a) == wanted
    for k in wanted:
        if k == "past_key_values":  # objects of two libraries
            continue
        for x, y in zip(a[k], b[k], strict=True) if isinstance(b[k], tuple) else [(a[k], b[k])]:
            torch.testing.assert_close(x, y, **TOL, msg=lambda m: f"{k}: {m}")


@by_pair
def test_keys_shapes_and_first_weights(reads, writes):
    states = []
    for lib in (minihf, T):
        torch.manual_seed(3)
        states.append(lib.EncoderDecoderModel(configs(lib, reads, writes)).state_dict())
    ours, theirs = states
    assert list(ours) == list(theirs)
    for k in theirs:
        assert ours[k].shape == theirs[k].shape and torch.equal(ours[k], theirs[k]), k


@by_pair
@pytest.mark.parametrize("attn", ["sdpa", "eager"])
def test_outputs_losses_gradients(reads, writes, attn):
    for seed in (0, 1):
        ours, ref = pair(reads, writes, seed)
        ours.set_attn_implementation(attn)
        ref.set_attn_implementation(attn)
        given = inputs(seed)
        want = dict(output_hidden_states=True, output_attentions=attn == "eager")
        outs = [m(**given, **want) for m in (ours, ref)]
        close(*outs)
        plain = [m(**given, return_dict=False) for m in (ours, ref)]
        assert isinstance(plain[0], tuple) and len(plain[0]) == len(plain[1])
        for o in outs:
            o.loss.backward()
        theirs = dict(ref.named_parameters())
        for k, p in ours.named_parameters():
            if theirs[k].grad is None:
                assert p.grad is None, k
            else:
                torch.testing.assert_close(p.grad, theirs[k].grad, atol=1e-5, rtol=1e-3, msg=lambda m: f"{k}: {m}")


def test_other_ways_to_give_the_texts():
    ours, ref = pair("bert", "gpt2")
    given = inputs()
    ids, mask, labels = given["input_ids"], given["attention_mask"], given["labels"]
    embeds = ref.get_input_embeddings()(ids)
    written = shift_tokens_right(labels, 0, 1)
    spoken = ref.decoder.get_input_embeddings()(written)
    for kw in (dict(inputs_embeds=embeds, attention_mask=mask, labels=labels),
               dict(input_ids=ids, decoder_input_ids=written),
               dict(input_ids=ids, decoder_input_ids=written, labels=written),
               dict(input_ids=ids, decoder_inputs_embeds=spoken, labels=labels),
               dict(input_ids=ids, decoder_input_ids=written, decoder_attention_mask=(written != 0).long()),
               dict(input_ids=ids, token_type_ids=ids % 2, labels=labels),
               dict(input_ids=ids, decoder_input_ids=written, decoder_position_ids=torch.arange(6).flip(0)[None])):
        close(ours(**kw), ref(**kw))
    once = [m.get_encoder()(ids, attention_mask=mask) for m in (ours, ref)]
    whole = ours(**given).logits
    for states in (once[0], tuple(once[0].values())[:1]):
        torch.testing.assert_close(ours(encoder_outputs=states, attention_mask=mask, labels=labels).logits, whole)
    close(ours(ids, mask, written), ref(ids, mask, written))  # by place


def test_labels_move_by_one():
    from transformers.models.encoder_decoder.modeling_encoder_decoder import shift_tokens_right as theirs

    labels = inputs()["labels"]
    assert torch.equal(shift_tokens_right(labels, 0, 1), theirs(labels, 0, 1))
    ours, ref = pair()
    a, b = (m.prepare_decoder_input_ids_from_labels(labels) for m in (ours, ref))
    assert torch.equal(a, b) and labels.min() == -100
    for name in ("pad_token_id", "decoder_start_token_id"):
        broken = copy.deepcopy(ours)
        setattr(broken.config, name, None)
        with pytest.raises(ValueError, match=name):
            broken(**inputs())


@by_pair
def test_the_cache_has_two_halves(reads, writes):
    ours, _ = pair(reads, writes, 1)
    given = inputs(1)
    mask, written = given["attention_mask"], shift_tokens_right(given["labels"], 0, 1)
    with torch.no_grad():
        want = ours(given["input_ids"], mask, written, use_cache=False).logits
        once, cache, got = ours.encoder(given["input_ids"], attention_mask=mask), None, []
        for i in range(6):
            out = ours(encoder_outputs=once, attention_mask=mask, decoder_input_ids=written[:, i:i + 1],
                       past_key_values=cache, use_cache=True)
            cache = out.past_key_values
            first = cache.layers[0].cross[0] if i == 0 else first
            assert cache.get_seq_length() == i + 1 and cache.layers[0].cross[0] is first
            assert first.shape[2] == 8
            got.append(out.logits)
    torch.testing.assert_close(torch.cat(got, 1), want, **TOL)
    rows = torch.tensor([2, 2, 0])
    cache.reorder_cache(rows)
    assert torch.equal(cache.layers[0].cross[0], first[rows])


@by_pair
def test_files_go_both_ways(reads, writes, tmp_path):
    ours, ref = pair(reads, writes, 2)
    given = inputs(2)
    want = ref(**given)
    ours.save_pretrained(tmp_path / "ours")
    ref.save_pretrained(tmp_path / "ref")
    back, info = T.EncoderDecoderModel.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(info[k] for k in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    close(back.eval()(**given), want)
    for source in ("ref", "ours"):
        mine, info = EncoderDecoderModel.from_pretrained(tmp_path / source, output_loading_info=True)
        assert not any(info[k] for k in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
        close(mine(**given), want)
        assert isinstance(AutoModelForSeq2SeqLM.from_pretrained(tmp_path / source), EncoderDecoderModel)
    config = AutoConfig.from_pretrained(tmp_path / "ref")
    assert isinstance(config, EncoderDecoderConfig) and config == EncoderDecoderConfig.from_pretrained(tmp_path / "ref")
    assert type(config.encoder).__name__ == type(ours.config.encoder).__name__


def test_a_folder_that_version_4_wrote():
    """`fixtures/encoder-decoder-4.57.6`: a BERT that reads, a narrower GPT-2 that writes; the numbers are that version's"""
    folder = Path(__file__).parent / "fixtures/encoder-decoder-4.57.6"
    model, info = AutoModelForSeq2SeqLM.from_pretrained(folder, output_loading_info=True)
    assert not any(info[k] for k in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    ids = torch.arange(2, 14).view(2, 6)
    mask = torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]])
    out = model(ids, mask, labels=torch.arange(5, 13).view(2, 4))
    assert abs(out.loss.item() - 4.102970600128174) < 1e-5
    want = torch.tensor([[0.36024144, 0.83794963, 0.51686454], [0.55427271, -0.03428735, 0.44048896]])
    torch.testing.assert_close(out.logits[:, -1, :3], want, **TOL)


def test_config_without_halves_is_two_berts():
    ours, ref = EncoderDecoderConfig(), T.EncoderDecoderConfig()
    for half in ("encoder", "decoder"):
        a, b = getattr(ours, half), getattr(ref, half)
        assert type(a).__name__ == type(b).__name__
        for key in ("is_decoder", "add_cross_attention", "hidden_size", "vocab_size"):
            assert getattr(a, key) == getattr(b, key), (half, key)
    assert ours.is_encoder_decoder and ours.model_type == ref.model_type


def test_config_halves_may_be_dicts_or_configs():
    a = configs(minihf, "bert", "gpt2")
    b = EncoderDecoderConfig(encoder=a.encoder, decoder=a.decoder, pad_token_id=0, decoder_start_token_id=1)
    assert a == b and b.encoder is a.encoder
    assert a != configs(minihf, "bert", "bert")
    assert EncoderDecoderConfig.from_dict(a.to_dict()) == a


def test_from_two_checkpoints(tmp_path):
    torch.manual_seed(0)
    reads = T.BertForMaskedLM(T.BertConfig(**SMALL)).eval()
    writes = T.GPT2LMHeadModel(T.GPT2Config(**HALVES["gpt2"][1])).eval()
    reads.save_pretrained(tmp_path / "reads")
    writes.save_pretrained(tmp_path / "writes")
    sources = (tmp_path / "reads", tmp_path / "writes")
    ours = EncoderDecoderModel.from_encoder_decoder_pretrained(
        *sources, pad_token_id=0, decoder_start_token_id=1, encoder_hidden_dropout_prob=0.3, decoder_resid_pdrop=0.2)
    assert ours.config.encoder.hidden_dropout_prob == 0.3 and ours.config.decoder.resid_pdrop == 0.2
    ref = T.EncoderDecoderModel.from_encoder_decoder_pretrained(*sources, pad_token_id=0)
    ref.config.decoder_start_token_id = 1
    a, b = ours.state_dict(), ref.state_dict()
    assert list(a) == list(b)
    fresh = [k for k in a if "cross" in k or "pooler" in k or "q_attn" in k]
    for k in a:
        assert torch.equal(a[k], b[k]) or k in fresh, k
    ours.load_state_dict(b)
    close(ours.eval()(**inputs()), ref.eval()(**inputs()))
    decoder = minihf.GPT2LMHeadModel.from_pretrained(sources[1], add_cross_attention=True)
    mixed = EncoderDecoderModel.from_encoder_decoder_pretrained(sources[0], decoder_model=decoder)
    assert mixed.decoder is decoder and mixed.encoder.config is mixed.config.encoder
    with pytest.raises(ValueError, match="decoder_pretrained_model_name_or_path"):
        EncoderDecoderModel.from_encoder_decoder_pretrained(sources[0])
    with pytest.raises(ValueError, match="encoder_pretrained_model_name_or_path"):
        EncoderDecoderModel.from_encoder_decoder_pretrained(None, sources[1])


def test_weights_that_were_loaded_stay_in_a_model_around_them(tmp_path):
    "`post_init` of the outer model starts only what has no weights yet"
    body = minihf.BertModel(minihf.BertConfig(**SMALL))
    body.save_pretrained(tmp_path)

    class Around(minihf.PreTrainedModel):
        config_class = minihf.BertConfig

        def __init__(self, config):
            super().__init__(config)
            self.bert = minihf.BertModel.from_pretrained(tmp_path)
            self.score = torch.nn.Linear(config.hidden_size, 3000)
            self.post_init()

    model = Around(minihf.BertConfig(**SMALL))
    for k, v in body.state_dict().items():
        assert torch.equal(model.bert.state_dict()[k], v), k
    assert abs(model.score.weight.std().item() / 0.3 - 1) < 0.05 and not model.score.bias.any()


def test_an_encoder_that_was_a_decoder_reads_both_ways(tmp_path):
    config = minihf.BertConfig(**SMALL, is_decoder=True, add_cross_attention=True)
    minihf.BertLMHeadModel(config).save_pretrained(tmp_path)
    model = EncoderDecoderModel.from_encoder_decoder_pretrained(tmp_path, tmp_path)
    assert not model.encoder.config.is_decoder and not model.encoder.config.add_cross_attention
    assert model.decoder.config.is_decoder and model.decoder.config.add_cross_attention


def test_from_two_models():
    reads = minihf.BertModel(minihf.BertConfig(**SMALL))
    writes = minihf.BertLMHeadModel(minihf.BertConfig(**SMALL, is_decoder=True, add_cross_attention=True))
    model = EncoderDecoderModel(encoder=reads, decoder=writes)
    assert model.encoder is reads and model.decoder is writes
    assert model.encoder.config is model.config.encoder
    assert model.get_output_embeddings() is writes.get_output_embeddings()
    assert writes.cls.predictions.decoder.weight is writes.bert.embeddings.word_embeddings.weight
    assert model.get_input_embeddings() is reads.get_input_embeddings()


def test_what_can_not_be_put_together_is_refused():
    bert = minihf.BertConfig(**SMALL)
    reads = minihf.BertModel(bert)
    writes = minihf.BertLMHeadModel(minihf.BertConfig(**SMALL, is_decoder=True, add_cross_attention=True))
    with pytest.raises(ValueError, match="encoder= and decoder="):
        EncoderDecoderModel(encoder=reads)
    with pytest.raises(ValueError, match="BertForMaskedLM, has a head for words"):
        EncoderDecoderModel(encoder=minihf.BertForMaskedLM(bert), decoder=writes)
    deaf = minihf.DistilBertForMaskedLM(minihf.DistilBertConfig(**HALVES["distilbert"][1]))
    with pytest.raises(ValueError, match="DistilBertForMaskedLM, has no cross-attention"):
        EncoderDecoderModel(encoder=reads, decoder=deaf)
    model = EncoderDecoderModel(encoder=reads, decoder=writes)
    with pytest.raises(NotImplementedError, match="two vocabularies"):
        model.resize_token_embeddings(50)
    with pytest.raises(TypeError, match="input_idz"):
        model(input_idz=torch.tensor([[1]]), labels=torch.tensor([[1]]))


def test_it_says_what_its_labels_are():
    model, _ = pair()
    assert model.label_names == ("labels",) and not model.shifts_labels


def test_checkpointing_gives_the_same_gradients():
    config = configs(minihf, "bert", "gpt2").to_dict()
    for half in ("encoder", "decoder"):
        config[half] |= {k: 0.0 for k in config[half] if k.endswith(("dropout", "pdrop", "dropout_prob"))}
    ours = EncoderDecoderModel(EncoderDecoderConfig.from_dict(config))
    grads = []
    for on in (False, True):
        ours.zero_grad()
        ours.train()
        if on:
            ours.gradient_checkpointing_enable()
        ours(**inputs()).loss.backward()
        grads.append({k: p.grad for k, p in ours.named_parameters() if p.grad is not None})
    for k, g in grads[0].items():
        torch.testing.assert_close(g, grads[1][k], **TOL)


def test_dtype_and_kernel_reach_both_halves(tmp_path):
    ours, _ = pair("bert", "gpt2")
    ours.save_pretrained(tmp_path)
    half = EncoderDecoderModel.from_pretrained(tmp_path, dtype=torch.float16, attn_implementation="eager")
    assert {p.dtype for p in half.parameters()} == {torch.float16}
    assert half.encoder.config._attn_implementation == half.decoder.config._attn_implementation == "eager"


# writing

HOW = [dict(do_sample=False), dict(do_sample=False, use_cache=False), dict(do_sample=False, num_beams=3),
       dict(do_sample=False, num_beams=4, num_return_sequences=2, length_penalty=0.5),
       dict(do_sample=False, num_beams=2, use_cache=False), dict(do_sample=True, top_k=8),
       dict(do_sample=True, num_beams=2), dict(do_sample=True, num_return_sequences=3)]


@by_pair
def test_generate_writes_what_the_reference_writes(reads, writes):
    "Greedy, beams, seeded samples, with and without a cache, from padded texts"
    ours, ref = pair(reads, writes)
    given = {k: v for k, v in inputs().items() if k != "labels"}
    for m in (ours, ref):
        g = m.generation_config
        g.decoder_start_token_id, g.pad_token_id, g.eos_token_id, g.bos_token_id = 1, 0, 2, 1
    for how in HOW:
        written = []
        for m in (ours, ref):
            torch.manual_seed(0)
            written.append(m.generate(**given, max_new_tokens=8, **how))
        assert torch.equal(*written), how


def test_the_encoder_reads_once():
    ours, ref = pair("bert", "gpt2")
    given = {k: v for k, v in inputs().items() if k != "labels"}
    kw = dict(max_new_tokens=6, do_sample=False, num_beams=2, eos_token_id=None, pad_token_id=0)
    calls = []
    hook = ours.encoder.register_forward_hook(lambda *_: calls.append(1))
    written = ours.generate(**given, **kw)
    assert len(calls) == 1 and torch.equal(written, ref.generate(**given, **kw))
    hook.remove()
    once = ours.encoder(**given)
    assert torch.equal(ours.generate(encoder_outputs=once, attention_mask=given["attention_mask"], **kw), written)
    begun = dict(decoder_input_ids=torch.tensor([[1, 5], [1, 6], [1, 7]]))
    assert torch.equal(*[m.generate(**given, **begun, **kw) for m in (ours, ref)])
