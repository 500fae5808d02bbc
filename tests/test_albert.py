"ALBERT's own: groups of layers that are used again and again, and the second question; the rest is in `test_families.py`"
import pytest
import torch
import transformers as T
from minihf.config import AlbertConfig
from minihf.models import albert as M

from families import close, inputs, pair


def test_config_has_the_reference_s_fields():
    ours, ref = AlbertConfig(), T.AlbertConfig()
    a, b = ours.to_dict(), ref.to_dict()
    for k in T.AlbertConfig.__annotations__:
        assert a[k] == b[k], k
    own = {k for k in AlbertConfig.__annotations__}
    assert own == {k for k in T.AlbertConfig.__annotations__ if k != "model_type"}


def test_groups_serve_stretches_of_the_steps():
    for n in range(1, 40):
        for groups in range(1, n + 1):
            assert M.group_numbers(n, groups) == [int(i / (n / groups)) for i in range(n)]
    ours, ref = pair("Albert", seed=0, num_hidden_layers=4, num_hidden_groups=2, inner_group_num=2)
    order = ours.encoder.in_order(4)
    groups = ours.encoder.albert_layer_groups
    first, second = (list(group["albert_layers"]) for group in groups)
    assert order == first * 2 + second * 2
    kw = inputs("Albert", "Model", ours.config)
    outs = [m(**kw, output_hidden_states=True) for m in (ours, ref)]
    close(*outs)
    assert len(outs[0].hidden_states) == 1 + 4 * 2


def test_more_steps_need_no_more_weights():
    ours, ref = pair("Albert", seed=1, num_hidden_groups=1)
    kw = inputs("Albert", "Model", ours.config)
    for n in (1, 3, 9):
        ours.config.num_hidden_layers = ref.config.num_hidden_layers = n
        close(ours(**kw), ref(**kw))


def test_is_decoder_means_nothing_here():
    ours, ref = pair("Albert", seed=2, is_decoder=True)
    kw = inputs("Albert", "Model", ours.config)
    close(ours(**kw), ref(**kw))


def test_both_labels_or_no_loss():
    ours, ref = pair("Albert", "ForPreTraining", 3)
    kw = inputs("Albert", "ForPreTraining", ours.config)
    for labels in (dict(labels=kw["input_ids"]), dict(sentence_order_label=torch.tensor([0, 1, 0]))):
        close(ours(**kw, **labels), ref(**kw, **labels))
        assert ours(**kw, **labels).loss is None
    with pytest.raises(IndexError, match="sentence_order_label"):
        ours(**kw, labels=kw["input_ids"], sentence_order_label=torch.tensor([0, 1, 2]))
