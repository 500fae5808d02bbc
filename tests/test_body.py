"What all bodies share, on a toy: options, places, long texts, padding left out, the cache's shapes."
import pytest
import torch
from minihf.body import Along, Body, self_attention
from minihf.cache import DynamicCache
from minihf.config import BertConfig
from minihf.modeling import PreTrainedModel
from minihf.modeling_outputs import BaseModelOutputWithPast
from torch import nn


class Layer(nn.Module):
    def __init__(self, d, h):
        super().__init__()
        self.qkv, self.h = nn.Linear(d, 3 * d), h

    def forward(self, x, along, cache=None):
        mix, weights = self_attention(*self.qkv(x).chunk(3, -1), self.h, along, cache)
        if along.rotary is not None:
            mix = mix * along.rotary[0]
        return x + mix, weights


class Toy(Body, PreTrainedModel):
    config_class, output = BertConfig, BaseModelOutputWithPast

    def __init__(self, config):
        super().__init__(config)
        self.table = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config.hidden_size, config.num_attention_heads) for _ in range(2))
        self.post_init()

    def get_layers(self):
        return self.layers

    def get_input_embeddings(self):
        return self.table

    def embed(self, input_ids, token_type_ids, position_ids, inputs_embeds, past):
        return self.table(input_ids) if inputs_embeds is None else inputs_embeds

    def forward(self, input_ids=None, attention_mask=None, position_ids=None, inputs_embeds=None, past_key_values=None,
                output_attentions=None, output_hidden_states=None, return_dict=None):
        return self.run(output_attentions, output_hidden_states, return_dict, input_ids=input_ids, attention_mask=attention_mask,
                        position_ids=position_ids, inputs_embeds=inputs_embeds, past_key_values=past_key_values)


def toy(kind=Toy, **more):
    torch.manual_seed(0)
    return kind(BertConfig(**dict(vocab_size=20, hidden_size=8, num_attention_heads=2, max_position_embeddings=6) | more)).eval()


IDS = torch.arange(10).view(2, 5)


def test_options_are_the_calls_or_the_configs():
    model = toy()
    out = model(IDS)
    assert list(out) == ["last_hidden_state"] and isinstance(model(IDS, return_dict=False), tuple)
    out = model(IDS, output_attentions=True, output_hidden_states=True)
    assert len(out.hidden_states) == 3 and out.attentions[0].shape == (2, 2, 5, 5)
    model.config.output_hidden_states, model.config.return_dict = True, False
    assert len(model(IDS)) == 2 and len(model(IDS, output_hidden_states=False)) == 1


def test_layers_may_be_told_of_places():
    class Told(Toy):
        def place(self, along: Along, x, position_ids, past):
            assert x.shape == (2, 5, 8) and past == 0
            along.rotary = ((torch.arange(5.0) if position_ids is None else position_ids)[..., None],)

    model, plain = toy(Told), toy()
    assert not torch.equal(model(IDS)[0], plain(IDS)[0])
    ones = torch.ones(2, 5, dtype=torch.long)
    assert torch.equal(model(IDS, position_ids=ones)[0], plain(IDS)[0])


def test_a_text_ends_with_the_table_of_positions_or_never():
    class Endless(Toy):
        longest = None

    long = torch.ones(1, 9, dtype=torch.long)
    with pytest.raises(ValueError, match="9 tokens.*6 positions"):
        toy()(long)
    assert toy(Endless)(long)[0].shape == (1, 9, 8)


def test_who_is_a_decoder_hides_what_comes_later():
    class Writer(Toy):
        is_decoder = True

    changed = IDS.clone()
    changed[:, 3] = 19
    for kind, more, hidden in ((Toy, {}, False), (Toy, dict(is_decoder=True), True), (Writer, {}, True)):
        model = toy(kind, **more)
        assert model.is_decoder == hidden
        assert torch.equal(model(IDS)[0][:, :3], model(changed)[0][:, :3]) == hidden
        assert ("past_key_values" in model(IDS)) == hidden


def test_padding_is_left_out_only_where_nobody_looks():
    model, mask = toy(), torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    want = model(IDS, mask)[0].detach()
    model.skip_padding = True
    with torch.no_grad():
        got = model(IDS, mask)[0]
        torch.testing.assert_close(got[mask == 1], want[mask == 1])
        assert not got[mask == 0].any()
        for looks in (dict(output_attentions=True), dict(output_hidden_states=True)):
            torch.testing.assert_close(model(IDS, mask, **looks)[0], want)
        torch.testing.assert_close(model(IDS, mask[:, None].expand(2, 5, 5))[0], want)
    torch.testing.assert_close(model(IDS, mask)[0], want)  # gradients are wanted
    assert not model.train().skip_padding


@pytest.mark.parametrize("more, heads", [({}, 2), (dict(num_key_value_heads=1), 1)])
def test_a_cache_of_another_model_is_told_by_its_shapes(more, heads):
    class Writer(Toy):
        is_decoder = True

    model = toy(Writer, **more)
    wrong = DynamicCache([(torch.zeros(2, 3, 1, 4), torch.zeros(2, 3, 1, 4))] * 2)
    with pytest.raises(ValueError, match=rf"keys of shape \(2, 3, 1, 4\).*\(2, {heads}, 1, 4\)"):
        model(IDS, past_key_values=wrong)


def test_an_encoder_is_heard_only_with_cross_attention():
    model = toy()
    with pytest.raises(ValueError, match="no cross-attention"):
        model.run(None, None, None, input_ids=IDS, encoder_hidden_states=torch.zeros(2, 3, 8))
