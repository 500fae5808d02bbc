"Pictures: what is drawn is what was given, for every kind of input; what does not fit is refused with a remedy."
import re
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

from minihf import viz  # noqa: E402
from minihf.auto import AutoModel, AutoModelForCausalLM, AutoTokenizer  # noqa: E402


@pytest.fixture(autouse=True)
def quiet():
    "No warning of matplotlib goes unseen; no figure stays open."
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    plt.close("all")


@pytest.fixture(scope="module")
def read():
    "A sentence, its tokens, and what tiny-bert returns for it"
    tokenizer = AutoTokenizer.from_pretrained("minihf/tiny-bert")
    model = AutoModel.from_pretrained("minihf/tiny-bert", add_pooling_layer=False).eval()
    enc = tokenizer("If the file is closed, the socket is closed as well.", return_tensors="pt")
    with torch.no_grad():
        return enc, model(**enc, output_attentions=True), model(**enc)


def weights(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).softmax(-1)


def picture(ax):
    "The numbers behind an image"
    return np.asarray(ax.images[0].get_array())


def labels(axis):
    return [t.get_text() for t in axis.get_ticklabels()]


# -- tokens -------------------------------------------------------------------------------------------------------------


TEXTS = ["naïve cafés", "今天 天气", "plain", "a\tb\n\nc", "€ 5 $", "😀 ok", " lead", "Ĝis la revido"]


@pytest.mark.parametrize("text", TEXTS)
def test_byte_tokens_join_to_the_text(text):
    tokens = AutoTokenizer.from_pretrained("minihf/tiny-gpt2").tokenize(text)
    part = re.compile(rb"\\x(..)")  # a byte that is no letter by itself
    shown = [part.sub(lambda m: bytes.fromhex(m[1].decode()), t.encode()) for t in viz.readable(tokens)]
    back = b"".join(shown).decode()
    assert back.translate(str.maketrans({"·": " ", "¶": "\n", "→": "\t"})) == text


def test_wordpiece_tokens_stay_as_they_are():
    for tokens in (["naïve"], ["ł", "##ą"], ["é"], ["今", "天"], ["[CLS]", "the", "##s"], ["ÿ"]):
        assert viz.readable(tokens) == tokens
    assert viz.readable([]) == []


def test_one_string_is_not_tokens():
    with pytest.raises(ValueError, match="tokenizer.tokenize"):
        viz.readable("hello")


def test_drawable_knows_the_fonts():
    assert viz.drawable("plain é ·") == "plain é ·"
    assert viz.drawable("$x$") == r"\$x\$"
    assert viz.drawable("\U000e0041") == "□"


def test_dollars_are_no_formula():
    ax = viz.token_strip(["$\\bad{$", "$"])
    ax.figure.canvas.draw()  # a formula would fail here
    assert [t.get_text() for t in ax.texts if t.get_text()] == [r"\$\bad{\$", r"\$"]


def test_any_script_is_drawn_without_a_warning():
    tokens = ["今天", "ไทย", "नमस्ते", "😀", "\x00", "\u200b", "שלום", "\U0002a6df", ""]
    ax = viz.token_strip(tokens, range(9))
    ax.figure.canvas.draw()
    viz.attention_map(weights(9, 9), tokens).figure.canvas.draw()
    viz.head_view(weights(9, 9), tokens).figure.canvas.draw()
    viz.bars(tokens, np.arange(9)).figure.canvas.draw()


def test_words_are_read_off_the_marks():
    assert viz.word_numbers(["un", "##happi", "##ness", "is"]) == [0, 0, 0, 1]
    assert viz.word_numbers(["Hel", "lo", "Ġworld", "s", "Ċ"]) == [0, 0, 1, 1, 2]
    assert viz.word_numbers(["##a", "##b"]) == [0, 0]
    assert viz.word_numbers(["one"]) == [0]


def test_strip_shows_tokens_and_ids_in_order():
    ax = viz.token_strip(["un", "##fair", "is", "it"], torch.tensor([7, 8, 9, 10]))
    texts = [t.get_text() for t in ax.texts]
    assert texts[::2] == ["un", "##fair", "is", "it"] and texts[1::2] == ["7", "8", "9", "10"]
    filled = [p.get_facecolor()[3] > 0 for p in ax.patches]
    assert filled == [True, False, True, True]
    edges = [p.get_edgecolor() for p in ax.patches]
    assert edges[0] == edges[1] != edges[2] != edges[3]


def test_strip_takes_words_from_the_encoding():
    enc = AutoTokenizer.from_pretrained("minihf/tiny-gpt2")("unfamiliar, isn't it")
    ax = viz.token_strip(enc.tokens(), enc["input_ids"], words=enc.word_ids())
    begins = [i == 0 or w != enc.word_ids()[i - 1] for i, w in enumerate(enc.word_ids())]
    assert [p.get_facecolor()[3] > 0 for p in ax.patches] == begins


def test_strip_breaks_lines_within_its_width():
    ax = viz.token_strip(["word"] * 60, width=5)
    corners = [p.get_xy() for p in ax.patches]
    assert len({y for _, y in corners}) > 3
    assert all(p.get_x() + p.get_width() <= 5 for p in ax.patches)
    assert ax.figure.get_size_inches()[0] <= 7.5


def test_strip_refuses_other_lengths():
    with pytest.raises(ValueError, match="2 tokens, but 3 ids"):
        viz.token_strip(["a", "b"], [1, 2, 3])
    with pytest.raises(ValueError, match="2 tokens, but 1 words"):
        viz.token_html(["a", "b"], words=[0])
    viz.token_strip([]), viz.token_html([])


def test_html_escapes_and_keeps_the_ids():
    page = viz.token_html(["<b>", "##&", "今"], [1, 2, 3])
    assert "&lt;b&gt;" in page and "##&amp;" in page and "今" in page and "<b>" not in page
    assert 'title="2"' in page and page._repr_html_() == page
    assert page.count("background") == 2  # two words


# -- attention ------------------------------------------------------------------------------------------------------------


def test_every_form_of_weights_is_the_same_stack(read):
    _, out, _ = read
    want = torch.stack(out.attentions)[:, 0].numpy()  # (l, h, s, s)
    numpy = [a.numpy() for a in out.attentions]
    for given in (out, out.attentions, list(out.attentions), [a[0] for a in out.attentions], numpy):
        np.testing.assert_allclose(viz.stack_attentions(given), want, atol=1e-7)
    np.testing.assert_allclose(viz.stack_attentions(out.attentions[1])[0], want[1], atol=1e-7)
    np.testing.assert_allclose(viz.stack_attentions(want[2, 3])[0, 0], want[2, 3], atol=1e-7)


def test_half_precision_and_gradients_are_fine():
    a = weights(1, 2, 3, 3).requires_grad_()
    np.testing.assert_allclose(viz.stack_attentions([a])[0], a[0].detach().numpy(), atol=1e-7)
    half = viz.stack_attentions([a.detach().bfloat16()])
    np.testing.assert_allclose(half[0], a[0].detach().numpy(), atol=5e-3)


def test_missing_weights_say_what_to_pass(read):
    _, _, without = read
    for given in (without, None, (), (None, None), {"logits": 1}):
        with pytest.raises(ValueError, match="output_attentions=True"):
            viz.attention_map(given)


def test_a_batch_wants_to_know_which_text():
    batch = (weights(3, 2, 4, 4), weights(3, 2, 4, 4, seed=1))
    with pytest.raises(ValueError, match="3 texts: say which one"):
        viz.attention_map(batch)
    with pytest.raises(IndexError, match="item=3"):
        viz.attention_map(batch, item=3)
    ax = viz.attention_map(batch, layer=0, head=1, item=2)
    np.testing.assert_allclose(picture(ax), batch[0][2, 1], atol=1e-7)


def test_weights_of_generate_are_refused():
    model = AutoModelForCausalLM.from_pretrained("minihf/tiny-gpt2").eval()
    out = model.generate(torch.tensor([[5, 6]]), max_new_tokens=2, do_sample=False, pad_token_id=0,
                         output_attentions=True, return_dict_in_generate=True)
    with pytest.raises(ValueError, match="steps of generate"):
        viz.attention_map(out.attentions)
    ax = viz.attention_map(out.attentions[1], ["a", "b", "c"], 0, 0)  # one query, three keys
    assert picture(ax).shape == (1, 3) and labels(ax.yaxis) == ["c"]


@pytest.mark.parametrize("shape", [(3,), (1, 1, 1, 3, 3), ()])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="shape"):
        viz.attention_map(np.ones(shape))


def test_map_draws_the_head_that_was_asked_for(read):
    enc, out, _ = read
    ax = viz.attention_map(out, enc.tokens(), 2, 4)
    np.testing.assert_allclose(picture(ax), out.attentions[2][0, 4], atol=1e-7)
    assert labels(ax.xaxis) == labels(ax.yaxis) == enc.tokens()
    assert ax.get_title() == "layer 2, head 4"
    ax = viz.attention_map(out, enc.tokens())
    np.testing.assert_allclose(picture(ax), out.attentions[-1][0].mean(0), atol=1e-6)
    assert ax.get_title() == "layer 3, mean of 6 heads"
    assert viz.attention_map(out, layer=-1, head=-1).get_title() == "layer 3, head 5"


def test_map_refuses_what_does_not_fit(read):
    enc, out, _ = read
    with pytest.raises(ValueError, match=r"13 tokens, but the weights are of 15.*encoding.tokens"):
        viz.attention_map(out, enc.tokens()[1:-1])
    with pytest.raises(IndexError, match="layer=4, but there are 4 layers: 0 to 3"):
        viz.attention_map(out, layer=4)
    with pytest.raises(IndexError, match="head=6"):
        viz.attention_map(out, head=6)
    with pytest.raises(ValueError, match="2 queries, but the weights have 15 rows"):
        viz.attention_map(out, enc.tokens(), queries=["a", "b"])


def test_cross_attention_has_its_own_rows():
    ax = viz.attention_map(weights(2, 3), ["x", "y", "z"], queries=["a", "b"])
    assert labels(ax.yaxis) == ["a", "b"] and labels(ax.xaxis) == ["x", "y", "z"]


def test_map_draws_into_given_axes(read):
    _, ax = plt.subplots()
    assert viz.attention_map(read[1], ax=ax) is ax and viz.heatmap([[1]], ax=ax) is ax


def test_grid_has_a_table_per_head(read):
    enc, out, _ = read
    fig = viz.attention_grid(out, enc.tokens())
    assert len(fig.axes) == 24 and not plt.get_fignums()
    for i, ax in enumerate(fig.axes):
        np.testing.assert_allclose(picture(ax), out.attentions[i // 6][0, i % 6], atol=1e-7)
        assert ax.images[0].get_clim() == (0, 1)
    fig = viz.attention_grid(out, enc.tokens(), layers=[1], heads=[5, 0])
    assert [ax.get_title() for ax in fig.axes] == ["layer 1, head 5", "layer 1, head 0"]
    assert labels(fig.axes[0].xaxis) == enc.tokens() and labels(fig.axes[1].yaxis) == []
    with pytest.raises(IndexError, match="layer=9"):
        viz.attention_grid(out, layers=[9])
    with pytest.raises(ValueError, match="tokens"):
        viz.attention_grid(out, ["a"])


def test_pages_are_at_most_seven_and_a_half_inches_wide(read):
    long = weights(1, 12, 200, 200)
    names = [f"token{i}" for i in range(200)]
    figures = [viz.attention_grid([long] * 12), viz.attention_map([long], names).figure,
               viz.attention_grid(read[1], read[0].tokens(), layers=[0]), viz.heatmap(np.ones((3, 90)), digits=2).figure,
               viz.token_strip(names).figure, viz.word_map(np.eye(4), list("abcd")).figure]
    assert all(f.get_size_inches()[0] <= 7.51 for f in figures)
    shown = [t for t in labels(figures[1].axes[0].xaxis) if t]
    assert 20 < len(shown) < 80 and shown[0] == "token0"


def test_lines_go_from_query_to_key():
    w = np.array([[0.9, 0.1, 0.0], [0.0, 0.3, 0.7], [0.02, 0.02, 0.96]])
    lines = lambda ax: [(int(a[1]), int(b[1])) for c in ax.collections for a, b in c.get_segments()]
    tokens = ["a", "b", "c"]
    assert lines(viz.head_view(w, tokens)) == [(0, 0), (0, 1), (1, 1), (1, 2), (2, 2)]
    assert lines(viz.head_view(w, tokens, query=1)) == lines(viz.head_view(w, tokens, query=-2)) == [(1, 1), (1, 2)]
    assert lines(viz.head_view(w, tokens, least=0.8)) == [(0, 0), (2, 2)]
    assert lines(viz.head_view(w, tokens, least=2.0)) == []
    ax = viz.head_view(weights(3, 4, 4), list("wxyz"), head=[0, 2])
    assert len(ax.collections) == 2 and ax.get_title() == "layer 0, heads 0, 2"
    colours = {tuple(c.get_colors()[0][:3]) for c in ax.collections}
    assert len(colours) == 2
    with pytest.raises(IndexError, match="query=4"):
        viz.head_view(weights(4, 4), list("wxyz"), query=4)


def test_entropy_and_masked_weights():
    n, w = 5, np.tril(np.ones((5, 5)))
    w /= w.sum(-1, keepdims=True)
    want = np.mean([np.log(i) for i in range(1, n + 1)])
    np.testing.assert_allclose(viz.attention_entropy(w), [[want]])
    a = weights(1, 2, 6, 6)
    want = torch.distributions.Categorical(probs=a[0]).entropy().mean(-1)
    np.testing.assert_allclose(viz.attention_entropy([a])[0], want, atol=1e-5)


# -- tables, neighbours, distributions -----------------------------------------------------------------------------------


def test_heatmap_scales_and_writes():
    ax = viz.heatmap([[0.0, 2.0]], digits=1)
    assert ax.images[0].get_clim() == (0, 2) and [t.get_text() for t in ax.texts] == ["0.0", "2.0"]
    assert viz.heatmap([[-1.0, 3.0]]).images[0].get_clim() == (-3, 3)
    assert viz.heatmap([[0.0, 0.2]], top=1).images[0].get_clim() == (0, 1)
    viz.heatmap(np.zeros((2, 2))).figure.canvas.draw()
    for bad in (np.ones(3), np.ones((0, 2)), 1.0):
        with pytest.raises(ValueError, match="shape"):
            viz.heatmap(bad)
    with pytest.raises(ValueError, match="1 labels for 2 rows"):
        viz.heatmap(np.ones((2, 2)), ["a"])


def test_zero_is_clear_on_every_page():
    up, both = viz.fade(viz.BLUE), viz.fade(viz.BLUE, viz.RED)
    assert up(0.0)[3] == 0 and up(1.0)[3] == 1
    assert both(0.5)[3] < 0.02 and both(0.0)[3] == both(1.0)[3] == 1 and both(0.0)[:3] != both(1.0)[:3]


def test_nearest_is_the_order_of_torch():
    v = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
    unit = torch.nn.functional.normalize(v, dim=-1)
    want = (unit @ unit[7]).topk(6)
    ids, cosines = viz.nearest(v, 7, 5)
    assert ids == want.indices[1:].tolist()
    np.testing.assert_allclose(cosines, want.values[1:], atol=1e-6)
    assert viz.nearest(v, v[7], 5)[0] == want.indices[:5].tolist()
    assert viz.nearest(v, -43, 5)[0] == ids
    assert len(viz.nearest(v, 0, 99)[0]) == 49 and len(viz.nearest(v, v[0], 99)[0]) == 50
    assert np.isfinite(viz.nearest(torch.zeros(3, 2), 0)[1]).all()


def test_nearest_refuses_misfits():
    with pytest.raises(IndexError, match="row 3, but there are 3"):
        viz.nearest(np.eye(3), 3)
    with pytest.raises(ValueError, match="2 numbers"):
        viz.nearest(np.eye(3), np.ones(2))
    with pytest.raises(ValueError, match=r"\(n, d\)"):
        viz.nearest(np.ones(3), 0)


def test_bars_show_names_and_numbers():
    ax = viz.bars(["a", "b"], torch.tensor([0.25, 0.75]), title="t")
    assert [p.get_width() for p in ax.patches] == [0.25, 0.75] and labels(ax.yaxis) == ["a", "b"]
    ax = viz.bars(["a", "b"], [[1, 2], [3, 4]], labels=["x", "y"])
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["x", "y"] and len(ax.patches) == 4
    with pytest.raises(ValueError, match="1 names"):
        viz.bars(["a"], [1, 2])


def test_distribution_is_softmax_and_the_rest():
    z = torch.randn(20, generator=torch.Generator().manual_seed(0))
    z[3] = -torch.inf
    names = [f"t{i}" for i in range(20)]
    ax = viz.distribution(z, names, 4, temperature=[0.5, 2])
    best = z.topk(4).indices
    assert labels(ax.yaxis) == [names[i] for i in best] + ["all others"]
    for row, t in enumerate((0.5, 2)):
        p = (z / t).softmax(-1)[best]
        got = [b.get_width() for b in ax.patches[row * 5 : row * 5 + 5]]
        np.testing.assert_allclose(got, [*p, 1 - p.sum()], atol=1e-6)
    tokenizer = AutoTokenizer.from_pretrained("minihf/tiny-gpt2")
    one = torch.zeros(len(tokenizer))
    one[tokenizer.convert_tokens_to_ids("Ġthe")] = 9
    assert labels(viz.distribution(one, tokenizer, 1).yaxis) == ["·the", "all others"]
    with pytest.raises(ValueError, match=r"logits\[0, -1\]"):
        viz.distribution(z[None], names)
    with pytest.raises(ValueError, match="temperature"):
        viz.distribution(z, names, temperature=0)


def test_similarity_is_the_cosine():
    v = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
    want = torch.nn.functional.cosine_similarity(v[:, None], v[None], dim=-1)
    ax = viz.similarity_map(v, ["a" * 80, "b", "c", "d"])
    np.testing.assert_allclose(picture(ax), want, atol=1e-6)
    assert labels(ax.yaxis)[0] == "a" * 40 + "…"
    with pytest.raises(ValueError, match="labels"):
        viz.similarity_map(v, ["a"])


def test_plane_keeps_distances_of_flat_data():
    flat = np.random.default_rng(0).normal(size=(12, 2))
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(5, 5)))[0][:2]
    spots, kept = viz.plane(flat @ turn)
    far = lambda x: np.linalg.norm(x[:, None] - x, axis=-1)
    np.testing.assert_allclose(far(spots), far(flat), atol=1e-9)
    assert kept == pytest.approx(1)
    with pytest.raises(ValueError, match="shape"):
        viz.plane(np.ones((1, 4)))


def test_map_of_words_keeps_labels_apart():
    spots = np.random.default_rng(0).uniform(size=(30, 2)) * [0.1, 1]
    at = spots[:, 1] + viz.lift(spots)
    assert np.diff(np.sort(at)).min() >= 0.05 - 1e-9 and (np.array(viz.lift(spots)) >= 0).all()
    ax = viz.word_map(np.eye(3), ["$a$", "今", "c"], [0, 1, 0])
    ax.figure.canvas.draw()
    with pytest.raises(ValueError, match="1 tokens|names|vectors"):
        viz.word_map(np.eye(3), ["a"])


# -- manners --------------------------------------------------------------------------------------------------------------


def test_settings_are_left_alone():
    matplotlib.rcParams["font.size"] = 13.5
    before = dict(matplotlib.rcParams)
    ax = viz.heatmap([[1.0]])
    assert ax.figure.get_facecolor()[3] == 0  # the page shows through
    with pytest.raises(ValueError):
        viz.heatmap([1.0])
    assert dict(matplotlib.rcParams) == before


def test_import_is_light():
    code = "import sys, minihf.viz; print([m for m in ('torch', 'matplotlib', 'transformers') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
