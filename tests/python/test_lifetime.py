"""Closing and forgetting in any order, threads, the GIL, Ctrl-C: nothing that is in use may be freed. Sensible under ASan, too."""
import gc
import itertools
import os
import signal
import sys
import threading
import time

import numpy as np
import pytest

import libtare
from conftest import FABLE

UP = "model.layers.0.mlp.up_proj.weight"


class Things:
    """One of each object that holds something of C, and a use of each."""
    names = ("model", "tensor", "session", "fork", "generation", "tokenizer")

    def __init__(self):
        self.model = libtare.open(FABLE)
        self.tensor, self.tokenizer = self.model[UP], self.model.tokenizer
        self.session = self.model.session(context=64, threads=1)
        self.session.feed(self.tokenizer.encode("Once"))
        self.fork = self.session.fork()
        self.generation = self.model.generate(" upon", max_tokens=4, session=self.model.session(context=64, threads=1),
                                              schema={"type": "boolean"})

    def use(self, name):
        thing = getattr(self, name)
        if name == "model":
            assert thing[UP].shape == (512, 192)
        elif name == "tensor":
            assert np.isfinite(thing.numpy()).all()
        elif name in ("session", "fork"):
            assert thing.feed([5]).shape == (thing.vocabulary,)
        elif name == "generation":
            next(thing, None)
        else:
            assert thing.decode(thing.encode("a b")) .endswith("a b")

    def end(self, name, by):
        thing = getattr(self, name)
        if by == "close" and hasattr(thing, "close"):
            thing.close()
        else:
            delattr(self, name)
            del thing
            gc.collect()


@pytest.mark.parametrize("by", ("close", "forget"))
def test_any_order(by):
    orders = list(itertools.permutations(Things.names))[::48]
    for order in orders:
        things = Things()
        for k, name in enumerate(order):
            things.end(name, by)
            for other in order[k + 1:]:
                things.use(other)


def test_closed_things_say_so(fable):
    model, session = libtare.open(FABLE), fable.session(context=16)
    with model:
        assert model.loads
    for what in (lambda: model[UP], lambda: model.report, lambda: model.convert("nowhere"), lambda: model.diff(fable), model.session,
                 lambda: fable.diff(model)):
        with pytest.raises(ValueError, match="closed"):
            what()
    assert "closed" in repr(model)
    session.close()
    with pytest.raises(ValueError, match="closed"):
        session.feed([1])


def test_close_while_another_thread_works(tmp_path):
    for k in range(6):
        model, failed, started = libtare.open(FABLE), [], threading.Event()

        def work():
            try:
                model.convert(tmp_path / str(k), progress=lambda *_: started.set())
                model.verify()
            except ValueError as e:
                assert "closed" in str(e)
            except BaseException as e:
                failed.append(e)
        thread = threading.Thread(target=work)
        thread.start()
        started.wait(20)
        model.close()
        gc.collect()
        thread.join()
        assert not failed and (tmp_path / str(k) / "model.safetensors").exists()


def test_a_memory_checkpoint_outlives_its_bytes():
    files = {name: open(os.path.join(FABLE, name), "rb").read() for name in os.listdir(FABLE)}
    tensor = libtare.open("memory", files=files)[UP]
    tokenizer = libtare.open("memory", files=files).tokenizer
    del files
    gc.collect()
    assert (tensor.numpy() == libtare.open(FABLE)[UP].numpy()).all()
    assert tokenizer.encode("Once") == libtare.open(FABLE).tokenizer.encode("Once")


def test_a_host_reads(tmp_path):
    """Bytes from an archive: the plan reads a part of them, and the numbers, the conversion and the text are those of the folder."""
    import zipfile
    with zipfile.ZipFile(tmp_path / "fable.zip", "w") as archive:
        for name in os.listdir(FABLE):
            archive.write(os.path.join(FABLE, name), name)
    archive, seen = zipfile.ZipFile(tmp_path / "fable.zip"), []

    def read(name, offset, length):
        seen.append(length)
        with archive.open(name) as f:
            f.seek(offset)
            return f.read(length)
    sizes = {row.filename: row.file_size for row in archive.infolist()}
    planned = libtare.open("fable.zip", host=libtare.Host(sizes, read), no_data=True)
    assert planned.loads and 0 < sum(seen) < 600_000
    model = libtare.open("fable.zip", host=libtare.Host(sizes, read))
    gc.collect()
    tensor = model[UP]
    assert (tensor.numpy() == libtare.open(FABLE)[UP].numpy()).all()
    assert model.generate("Once", max_tokens=4).text() == libtare.open(FABLE).generate("Once", max_tokens=4).text()
    del model, planned
    gc.collect()
    assert (tensor.numpy() == libtare.open(FABLE)[UP].numpy()).all()
    with pytest.raises(libtare.Error) as caught:
        libtare.open("fable.zip", host=libtare.Host(sizes, lambda *_: b""))
    assert caught.value.code == libtare.Code.IO and "0 bytes" in caught.value.text


def test_shared_threads(fable, tmp_path):
    threads = libtare.Threads(2)
    assert len(threads) == 2
    session, model = fable.session(threads=threads), libtare.open(FABLE, threads=threads)
    model.convert(tmp_path / "out", threads=threads)
    assert model.diff(libtare.open(tmp_path / "out"), threads=threads) and model.verify(threads=threads)
    del threads
    gc.collect()
    assert np.array_equal(session.feed([5]), fable.session(threads=1).feed([5]))


def test_threads_share_a_model(fable):
    want, failed = fable[UP].numpy(), []

    def read():
        for _ in range(5):
            if not (fable[UP].numpy() == want).all():
                failed.append(1)
    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


def test_threads_share_a_session(fable):
    """Calls wait for one another: as many ids as were fed are there, and a generation's text is what it is alone."""
    session = fable.session(context=256)
    threads = [threading.Thread(target=lambda: [session.feed([5]) for _ in range(8)]) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(session) == 48 and session.ids == [5] * 48


LONG = {
    "open": lambda m, t: libtare.open(FABLE),
    "numpy": lambda m, t: m["model.embed_tokens.weight"].numpy(),
    "codes": lambda m, t: m[UP].codes(),
    "mlx": lambda m, t: m[UP].mlx(),
    "convert": lambda m, t: m.convert(t),
    "diff": lambda m, t: m.diff(m),
    "verify": lambda m, t: m.verify(),
    "session": lambda m, t: libtare.open(FABLE).session(),
    "feed": lambda m, t: m.session(exact=True).feed([5] * 250),
    "generate": lambda m, t: m.generate("Once upon a time", max_tokens=4).text(),
    "encode": lambda m, t: m.tokenizer.encode("Once upon a time " * 500),
}


@pytest.mark.parametrize("name", LONG)
def test_the_gil_is_released(fable, tmp_path, name):
    """With a switch interval of 100 s another thread runs only when this one lets go of the interpreter by itself."""
    ticks, stop = [0], threading.Event()

    def tick():
        while not stop.is_set():
            ticks[0] += 1
            time.sleep(0)
    interval = sys.getswitchinterval()
    thread = threading.Thread(target=tick)
    thread.start()
    try:
        sys.setswitchinterval(100)
        before = ticks[0]
        for k in range(300):  # a short call may be over before the other thread has woken
            LONG[name](fable, tmp_path / str(k))
            if ticks[0] > before:
                break
        assert ticks[0] > before
    finally:
        sys.setswitchinterval(interval)
        stop.set()
        thread.join()


def test_control_c_cancels(fable, tmp_path):
    sent = []

    def interrupt(stage, done, total):
        if not sent:
            sent.append(os.kill(os.getpid(), signal.SIGINT))
            time.sleep(1)  # in which the main thread sees it
    # A shell starts what runs in its background with SIGINT ignored, and Python leaves that as it is.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            fable.convert(tmp_path / "out", progress=interrupt)
    finally:
        signal.signal(signal.SIGINT, before)
    assert not (tmp_path / "out").exists()


def test_cancel_from_a_thread(fable):
    session = fable.session()
    session.cancel()
    generation = fable.generate("Once", session=session)
    assert generation.text() == "" and generation.finish == "cancelled"
    with pytest.raises(libtare.Error) as caught:
        session.feed([1])
    assert caught.value.code == libtare.Code.CANCELLED
    session.cancel(False)
    assert session.feed([1]).size
