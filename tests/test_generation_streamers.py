"Streamers: the reference's pieces, in time that grows with the text only; and nobody is left waiting."
import queue
import random
import threading
from pathlib import Path

import pytest
import torch

transformers = pytest.importorskip("transformers")
import minihf  # noqa: E402
from minihf import AutoModelForCausalLM, AutoTokenizer  # noqa: E402
from minihf.generation.generate import generate  # noqa: E402
from minihf.generation.streamers import BaseStreamer, TextIteratorStreamer, TextStreamer  # noqa: E402

ASSETS = Path(minihf.__file__).parent / "assets"
IDS = torch.tensor([[33, 447, 289]])


class Bytes:
    def __len__(self):
        return 256

    def decode(self, ids, **kwargs):
        return bytes(ids).decode("utf-8", "replace")


def sentencepiece():
    "A tokenizer with the word mark, byte tokens and a decoder that strips the first space"
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    pieces = [("<unk>", 0.0), ("▁", -2.0), ("a", -2.0), ("▁the", -3.0), ("b", -3.0), ("ab", -4.0), ("▁ab", -4.0), ("你", -5.0)]
    t = Tokenizer(models.Unigram(pieces + [(f"<0x{i:02X}>", -9.0) for i in range(256)], unk_id=0, byte_fallback=True))
    t.pre_tokenizer = pre_tokenizers.Metaspace()
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    return transformers.PreTrainedTokenizerFast(tokenizer_object=t)


TOKENIZERS = {
    "bytes": Bytes, "sentencepiece": sentencepiece, "gpt2": lambda: AutoTokenizer.from_pretrained("minihf/tiny-gpt2"),
    "bert": lambda: AutoTokenizer.from_pretrained("minihf/tiny-bert"),
    "their bert": lambda: transformers.AutoTokenizer.from_pretrained(str(ASSETS / "tiny-bert"))}


@pytest.mark.parametrize("clean", [False, True])
@pytest.mark.parametrize("name", TOKENIZERS)
def test_long_texts_come_in_the_references_pieces(name, clean):
    tokenizer = TOKENIZERS[name]()
    size = len(tokenizer)
    whole = [i for i in range(size) if not set(tokenizer.decode([i])) & set(" \n")]  # lines without a space
    for seed in range(6):
        r = random.Random(seed)
        ids = [r.choice(whole) if seed % 3 else r.randrange(size) for _ in range(300)]
        if seed % 3 == 2:  # and now and then one
            ids = [r.randrange(size) if r.random() < 0.01 else i for i in ids]
        pieces = []
        for kind in (transformers.TextIteratorStreamer, TextIteratorStreamer):
            streamer = kind(tokenizer, skip_prompt=seed > 3, clean_up_tokenization_spaces=clean, skip_special_tokens=clean)
            streamer.put(torch.tensor([ids[: 20 * seed + 1]]))
            for i in ids[20 * seed + 1 :]:
                streamer.put(torch.tensor([i]))
            streamer.end()
            pieces.append(list(streamer))
        assert pieces[0] == pieces[1], seed


@pytest.mark.parametrize("n", [500, 4000])
def test_the_work_grows_with_the_text(n):
    class Counts(Bytes):
        ids = 0

        def decode(self, ids):
            self.ids += len(ids)
            return super().decode(ids)

    tokenizer = Counts()
    streamer = TextIteratorStreamer(tokenizer)
    streamer.put(torch.zeros(1, 1, dtype=torch.long) + 97)
    for i in range(n):
        streamer.put(torch.tensor([97 + i % 26]))
    streamer.end()
    assert len("".join(streamer)) == n + 1 and tokenizer.ids < 80 * n  # a plain loop decodes n * n / 2


def test_a_tokenizer_that_looks_far_back_is_decoded_whole():
    class Upside:  # what is first depends on what is last: no part reads alone as in the whole
        def decode(self, ids):
            return "".join(chr(97 + (i + len(ids)) % 26) for i in ids)

    pieces = []
    for kind in (transformers.TextIteratorStreamer, TextIteratorStreamer):
        streamer = kind(Upside())
        for i in range(200):
            streamer.put(torch.tensor([i]))
        streamer.end()
        pieces.append(list(streamer))
    assert pieces[0] == pieces[1]


# ------------------------------------------------------------------ who waits hears of errors

class Fails:
    def __init__(self, after):
        self.after = after

    def __call__(self, input_ids):
        if input_ids.shape[1] >= self.after:
            raise OSError("the disk is gone")

        class Out:
            logits = torch.nn.functional.one_hot(input_ids % 7 + 97, 128).float()
        return Out


def in_thread(streamer, **kwargs):
    def work():
        try:
            generate(streamer=streamer, **kwargs)
        except BaseException as e:  # noqa: BLE001
            found.append(e)

    found = []
    thread = threading.Thread(target=work)
    thread.start()
    return thread, found


@pytest.mark.parametrize("kwargs,kind,message", [
    (dict(model=Fails(3)), OSError, "disk"), (dict(model=Fails(1)), OSError, "disk"),
    (dict(model=Fails(99), temprature=1), ValueError, "temperature"), (dict(model=Fails(99), num_beams=2), ValueError, "num_beams"),
    (dict(model=Fails(99), inputs=torch.ones(2, 1, dtype=torch.long)), ValueError, "one text"),
    (dict(model=Fails(99), logits_processor=lambda i, s: s / 0 * 0), ValueError, "NaN"),
    (dict(model=Fails(99), stopping_criteria=lambda i, s: 1 / 0), ZeroDivisionError, "zero")])
def test_the_reader_gets_the_error(kwargs, kind, message):
    streamer = TextIteratorStreamer(Bytes())  # without a timeout
    thread, found = in_thread(streamer, **dict(inputs=torch.ones(1, 1, dtype=torch.long), max_new_tokens=9) | kwargs)
    with pytest.raises(kind, match=message) as e:
        for _ in streamer:
            pass
    thread.join(10)
    assert not thread.is_alive() and found[0] is e.value
    assert list(streamer) == []  # over, and ready for another text
    thread, found = in_thread(streamer, model=Fails(99), inputs=torch.tensor([[97]]), max_new_tokens=3)
    assert len("".join(streamer)) == 4 and not found
    thread.join(10)


def test_an_interrupt_reaches_the_reader_too():
    def stop(ids, scores):
        raise KeyboardInterrupt

    streamer = TextIteratorStreamer(Bytes())
    in_thread(streamer, model=Fails(99), inputs=IDS % 9, max_new_tokens=9, logits_processor=stop)[0].join(10)
    with pytest.raises(KeyboardInterrupt):
        list(streamer)


@pytest.mark.parametrize("theirs", [False, True])
def test_a_streamer_that_knows_only_end_is_ended(theirs, capsys):
    class Own(BaseStreamer):
        ended = False

        def put(self, value):
            pass

        def end(self):
            self.ended = True

    streamer = transformers.TextIteratorStreamer(Bytes(), timeout=5) if theirs else Own()
    with pytest.raises(OSError, match="disk"):
        generate(Fails(3), IDS[:, :1] + 64, max_new_tokens=9, streamer=streamer)
    assert "".join(streamer).startswith("a") if theirs else streamer.ended
    with pytest.raises(OSError, match="disk"):
        generate(Fails(3), IDS[:, :1] + 64, max_new_tokens=9, streamer=TextStreamer(Bytes()))
    assert capsys.readouterr().out == "agf\n"  # what was there is shown


def test_an_error_of_the_streamer_is_the_one_that_counts():
    class Bad(BaseStreamer):
        def put(self, value):
            raise LookupError("put")

        def end(self):
            raise LookupError("end")

    with pytest.raises(LookupError, match="put"):
        generate(Fails(99), IDS, max_new_tokens=2, streamer=Bad())


def test_timeouts_and_wrong_arguments():
    with pytest.raises(queue.Empty, match="timeout=0.01"):
        next(TextIteratorStreamer(Bytes(), timeout=0.01))
    for wrong in ("x", -1, float("nan"), [1], True):
        with pytest.raises(ValueError, match="timeout"):
            TextIteratorStreamer(Bytes(), timeout=wrong)
    for wrong in (None, "x", 5):
        with pytest.raises(TypeError, match="tokenizer"):
            TextStreamer(wrong)
        with pytest.raises(TypeError, match="tensor"):
            TextStreamer(Bytes()).put(wrong)


def test_a_real_model_streams_what_it_writes():
    model, tokenizer = AutoModelForCausalLM.from_pretrained("minihf/tiny-gpt2"), AutoTokenizer.from_pretrained("minihf/tiny-gpt2")
    kwargs = dict(max_new_tokens=120, eos_token_id=None, do_sample=True, top_k=0)
    torch.manual_seed(0)
    want = tokenizer.decode(model.generate(IDS, **kwargs)[0])
    streamer = TextIteratorStreamer(tokenizer, timeout=30)
    torch.manual_seed(0)
    model.generate(IDS, streamer=streamer, **kwargs)
    assert "".join(streamer) == want
