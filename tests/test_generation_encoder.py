"A model of two halves under `generate`: the encoder runs once, and ids, scores and outputs are the reference's."
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

transformers = pytest.importorskip("transformers")
import minihf  # noqa: E402
from minihf.generation.generate import generate  # noqa: E402

IDS = torch.tensor([[7, 8, 9, 10], [11, 12, 13, 0]])
MASK = (IDS != 0).long()
SIZES = dict(vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, max_position_embeddings=40)
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    torch.manual_seed(0)
    halves = transformers.BertConfig(**SIZES), transformers.BertConfig(**SIZES, is_decoder=True, add_cross_attention=True)
    config = transformers.EncoderDecoderConfig.from_encoder_decoder_configs(*halves)
    theirs = transformers.EncoderDecoderModel(config).eval()
    with torch.no_grad():
        for p in theirs.parameters():
            p.mul_(8 if p.ndim > 1 else 1)
    theirs.set_attn_implementation("eager")
    for c in (theirs.config, theirs.generation_config):
        c.decoder_start_token_id, c.pad_token_id, c.eos_token_id = 2, 0, 5
    folder = tmp_path_factory.mktemp("pair")
    theirs.save_pretrained(folder)
    return theirs, minihf.EncoderDecoderModel.from_pretrained(folder)


def both(pair, **kwargs):
    found = []
    for model in pair:
        torch.manual_seed(3)
        found.append(model.generate(**kwargs))
    return found


def same(a, b, where):
    assert (a is None) == (b is None), where
    if torch.is_tensor(a):
        assert a.shape == b.shape and torch.allclose(a.float(), b.float(), atol=1e-4), where
    elif a is not None:
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b)):
            same(x, y, f"{where}.{i}")


WAYS = [
    {}, dict(do_sample=True), dict(num_beams=3), dict(num_beams=4, num_return_sequences=3), dict(do_sample=True, num_return_sequences=2, top_p=0.8),
    dict(num_beams=3, do_sample=True), dict(use_cache=False), dict(num_beams=2, use_cache=False), dict(decoder_input_ids=torch.tensor([[2, 6], [2, 7]])),
    dict(decoder_input_ids=torch.tensor([[6, 6], [8, 7]])), dict(min_new_tokens=6, no_repeat_ngram_size=2), dict(decoder_start_token_id=[2, 3]),
    dict(forced_bos_token_id=9)]


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("way", WAYS, ids=str)
def test_ids_are_the_references(pair, way, masked):
    given = dict(input_ids=IDS, attention_mask=MASK) if masked else dict(input_ids=IDS)
    theirs, ours = both(pair, **given, max_new_tokens=9, **way)
    assert theirs.tolist() == ours.tolist()


@pytest.mark.parametrize("way", [{}, dict(num_beams=2, num_return_sequences=2)], ids=str)
def test_outputs_are_the_references(pair, way):
    flags = dict.fromkeys(("output_scores", "output_logits", "output_attentions", "output_hidden_states", "return_dict_in_generate"), True)
    theirs, ours = both(pair, input_ids=IDS, attention_mask=MASK, max_new_tokens=5, **flags, **way)
    assert type(theirs).__name__ == type(ours).__name__
    for name in ("sequences scores logits sequences_scores beam_indices encoder_attentions encoder_hidden_states decoder_attentions "
                 "cross_attentions decoder_hidden_states").split():
        same(getattr(theirs, name, None), getattr(ours, name, None), name)


@pytest.mark.parametrize("way", [{}, dict(num_beams=3)], ids=str)
def test_other_inputs(pair, way):
    theirs, ours = pair
    rest = dict(attention_mask=MASK, max_new_tokens=6, **way)
    want = ours.generate(IDS, **rest).tolist()
    with torch.no_grad():
        read, x = ours.get_encoder()(IDS, attention_mask=MASK), ours.get_encoder().get_input_embeddings()(IDS)
    for given in (dict(encoder_outputs=read), dict(encoder_outputs=(read[0],)), dict(inputs_embeds=x), dict(inputs=IDS)):
        assert ours.generate(**given, **rest).tolist() == want
    assert theirs.generate(inputs_embeds=x, **rest).tolist() == want


# ------------------------------------------------------------------ any two halves

class Reader:
    "Hands on what it has read; its input may have another name"
    calls = 0

    def __init__(self, name):
        self.main_input_name = name

    def forward(self, input_ids=None, pixel_values=None):
        self.calls += 1
        x = pixel_values if input_ids is None else F.one_hot(input_ids, 6).float()
        return (x,)  # (b, t, 6)

    __call__ = forward


class Copier:
    "Writes what its encoder has read"

    def __init__(self, name="input_ids"):
        self.reader = Reader(name)
        self.config = SimpleNamespace(is_encoder_decoder=True, vocab_size=6, to_dict=lambda: dict(decoder_start_token_id=0, eos_token_id=5))

    def get_encoder(self):
        return self.reader

    def __call__(self, decoder_input_ids, encoder_outputs, attention_mask=None):
        place = torch.arange(decoder_input_ids.shape[1]).clamp(max=encoder_outputs[0].shape[1] - 1)
        return SimpleNamespace(logits=9 * encoder_outputs[0][:, place])


TEXT = torch.tensor([[2, 4, 5], [1, 3, 5]])


@pytest.mark.parametrize("way", [{}, dict(num_beams=3), dict(num_beams=3, num_return_sequences=3), dict(do_sample=True, temperature=0.01, num_return_sequences=2)])
def test_the_encoder_runs_once(way):
    model, n = Copier(), way.get("num_return_sequences", 1)
    out = generate(model, TEXT, max_new_tokens=5, **way)
    assert out[::n, :4].tolist() == [[0, 2, 4, 5], [0, 1, 3, 5]] and model.reader.calls == 1


def test_pixels_are_an_input_too():
    x = F.one_hot(TEXT, 6).float()
    for given in (dict(pixel_values=x), dict(inputs=x)):
        model = Copier("pixel_values")
        assert generate(model, **given, max_new_tokens=5).tolist() == [[0, 2, 4, 5], [0, 1, 3, 5]] and model.reader.calls == 1
    begun = generate(Copier("pixel_values"), x, input_ids=torch.tensor([[0, 2], [0, 1]]), max_new_tokens=5)  # the decoder's, where the encoder has no ids
    assert begun.tolist() == [[0, 2, 4, 5], [0, 1, 3, 5]]


@pytest.mark.parametrize("kwargs,kind,message", [
    (dict(), ValueError, "nothing to read.*input_ids"), (dict(inputs=TEXT, input_ids=TEXT), ValueError, "two names"),
    (dict(inputs=TEXT, inputs_embeds=torch.zeros(2, 3, 6)), ValueError, "inputs_embeds"), (dict(inputs="x"), TypeError, "input_ids"),
    (dict(inputs=TEXT, decoder_input_ids=torch.tensor([[0]])), ValueError, "decoder_input_ids.*1 rows.*2"),
    (dict(inputs=TEXT, decoder_start_token_id=[0, 0, 0]), ValueError, "decoder_start_token_id"),
    (dict(inputs=TEXT, temprature=1), ValueError, "temperature"), (dict(inputs=TEXT, bad_words_ids=[[6]]), ValueError, "bad_words_ids"),
    (dict(inputs=TEXT[:1], assistant_model=Copier()), ValueError, "drafts"),
    (dict(inputs=TEXT, attention_mask=torch.ones(3, 3)), ValueError, "attention_mask")])
def test_what_cannot_work_is_named(kwargs, kind, message):
    with pytest.raises(kind, match=message):
        generate(Copier(), max_new_tokens=5, **kwargs)


def test_no_start_token():
    model = Copier()
    model.config.to_dict = dict
    with pytest.raises(ValueError, match="decoder_start_token_id"):
        generate(model, TEXT, max_new_tokens=5)
