"""Threads: how many, and how long they look for work."""

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from llamabox.gguf import GGMLType
from llamabox.kernels import Threads, Weight, open_backend
from llamabox.kernels.cpu import threads as helpers


def test_a_number_below_one_is_refused():
    for count in (0, -1):
        with pytest.raises(ValueError, match=f"threads: found {count}, expected 1 or more"):
            Threads(count)


def test_steps_of_several_rows_have_their_own_threads():
    ops = open_backend("cpu", 1, 3)
    assert (ops.begin(1).number, ops._runner._active.kind.number) == (1, 1)
    assert (ops.begin(2).number, ops._runner._active.kind.number) == (3, 3)
    assert ops.threads == 3
    weight = Weight("w", GGMLType.F32, (512, 256), np.random.default_rng(1).normal(size=(512, 256)).astype(np.float32))
    x = np.random.default_rng(2).normal(size=(4, 256)).astype(np.float32)
    alone = [(ops.begin(rows), ops.linear(x, weight))[1] for rows in (1, 4)]
    assert np.array_equal(*alone), "the number of threads changes no bit"


def test_the_level_of_polling_is_how_often_a_thread_looks(monkeypatch):
    asked = []
    look = SimpleNamespace(callable=lambda nogil: lambda state, thread, spins, naps: asked.append(spins))
    monkeypatch.setattr(helpers, "HELP", look)
    for poll in (0, 50, 100):
        kept = helpers.Helpers(Threads(2, poll=poll))
        while len(asked) < 1:
            time.sleep(0.001)
        assert set(asked) == {600 * poll}
        del kept
        asked.clear()


def test_nobody_waits_for_the_threads_of_what_is_dropped(monkeypatch):
    """Python may find it unused where a lock is held that a thread takes as it ends, or in one of the threads."""
    leave = threading.Event()
    monkeypatch.setattr(helpers, "HELP", SimpleNamespace(callable=lambda nogil: lambda *args: leave.wait(20)))
    others = set(threading.enumerate())
    kept = helpers.Helpers(Threads(3))
    mine = set(threading.enumerate()) - others
    began = time.monotonic()
    del kept
    waited = time.monotonic() - began
    leave.set()
    _join(mine)
    assert len(mine) == 2 and waited < 15


def test_threads_that_sleep_end_too(monkeypatch):
    monkeypatch.setattr(helpers, "HELP", SimpleNamespace(callable=lambda nogil: lambda *args: None))
    others = set(threading.enumerate())
    kept = helpers.Helpers(Threads(4))
    mine = set(threading.enumerate()) - others
    while len(kept._asleep) < 3:
        time.sleep(0.001)
    del kept
    _join(mine)


def _join(threads):
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


def test_polling_costs_processor_time_that_no_polling_saves():
    weight = Weight("w", GGMLType.F32, (4096, 256), np.zeros((4096, 256), np.float32))
    x = np.zeros((1, 256), np.float32)

    def seconds(poll):
        ops = open_backend("cpu", Threads(2, poll=poll))
        ops.linear(x, weight)
        began = time.process_time()
        for _ in range(60):
            ops.linear(x, weight)
            time.sleep(0.003)
        return time.process_time() - began

    assert min(seconds(0) for _ in range(3)) * 1.5 < max(seconds(100) for _ in range(3))
