"""Slots that are saved, restored and erased, and the file that keeps one."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

import llamabox
from llamabox.engine import (
    Engine,
    EngineBusyError,
    EngineOptions,
    FinishEvent,
    GenerationRequest,
    RequestError,
    SamplingParams,
    SlotFileError,
    read_state,
    write_state,
)
from llamabox.engine.slot_state import MAGIC

sys.path.append(str(Path(__file__).resolve().parents[2] / "conformance"))
import logits  # noqa: E402

PROMPT = tuple((7 * i + 3) % 128 for i in range(70))


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return logits.open_case("llama", tmp_path_factory.mktemp("models")).path


def make(path, type_k="f16", type_v="f16", n_ctx=512, n_parallel=2, backend="numpy", **load):
    model = llamabox.load(path, backend=backend, threads=1, cache_type_k=type_k, cache_type_v=type_v, n_ctx=256, **load)
    options = EngineOptions(n_ctx, n_parallel, cache_type_k=type_k, cache_type_v=type_v)
    return Engine(model.model, None, options)


def run(engine, prompt=PROMPT, **fields):
    fields = {"sampling": SamplingParams(temperature=0), "n_predict": 6, **fields}
    generation = engine.submit(GenerationRequest(prompt, **fields))
    tokens = []
    while not isinstance(event := generation.next_event(0), FinishEvent):
        if event is None:
            engine.step()
        else:
            tokens += event.tokens
    return tokens, event


def result(engine, future):
    engine.step()
    return future.result(0)


def saved(engine, id=0):
    return result(engine, engine.save_slot(id))


@pytest.mark.parametrize("types", [("f16", "f16"), ("q8_0", "q4_0"), ("f32", "bf16")])
@pytest.mark.parametrize("backends", [("numpy", "numpy"), ("torch", "torch"), ("torch", "numpy")])
def test_a_restored_slot_saves_the_prefill_and_gives_the_same_text(path, tmp_path, types, backends):
    first, second = ({"backend": backend} for backend in backends)
    engine = make(path, *types, **first)
    expected, _ = run(engine)
    state = saved(engine)
    assert state.tokens == [*PROMPT, *expected[:-1]]
    size = write_state(tmp_path / "a", state, engine.slot_layout)
    assert size == (tmp_path / "a").stat().st_size

    other = make(path, *types, **second)
    state, n_read = read_state(tmp_path / "a", other.slot_layout)
    assert n_read == size
    result(other, other.restore_slot(1, state))
    tokens, end = run(other)
    assert (tokens, end.timings.n_cached, end.id_slot) == (expected, 69, 1)
    longer = (*PROMPT, *expected[:3], 5)
    fresh = run(make(path, *types, **second), longer)[0]
    assert run(other, longer)[0] == fresh
    assert run(make(path, *types))[1].timings.n_cached == 0


def test_restored_cells_are_read_and_not_only_counted(path):
    engine = make(path)
    expected, _ = run(engine)
    state = saved(engine)
    state.arrays[0][:] = 0
    other = make(path)
    result(other, other.restore_slot(0, state))
    assert run(other)[0] != expected


def test_an_erased_slot_leaves_no_cache_but_what_others_need(path):
    engine = make(path)
    first, _ = run(engine, id_slot=0)
    run(engine, (*PROMPT[:40], 1, 2, 3), id_slot=1)
    assert result(engine, engine.erase_slot(0)) == 75
    assert engine.slots()[0].n_computed == 0
    assert run(engine, id_slot=0)[1].timings.n_cached == 40, "what slot 1 has in common"
    for id in (0, 1):
        result(engine, engine.erase_slot(id))
    assert engine.status().kv_cached == 0
    assert result(engine, engine.erase_slot(0)) == 0


def test_a_busy_slot_is_waited_for_and_other_slots_are_not(path):
    engine = make(path)
    generation = engine.submit(GenerationRequest(PROMPT, n_predict=5, id_slot=0))
    engine.step()
    waits, idle = engine.save_slot(0), engine.save_slot(1)
    engine.step()
    assert idle.result(0).tokens == [] and not waits.done()
    generation.cancel()
    engine.step()
    engine.step()
    assert len(waits.result(0).tokens) >= 70


def test_closing_ends_the_wait(path):
    engine = make(path)
    engine.start()
    engine.submit(GenerationRequest(PROMPT, n_predict=100, tokens_per_second=1, id_slot=0))
    while engine.status().running == 0:
        pass
    future = engine.save_slot(0)
    engine.close()
    assert future.exception(1) is None or isinstance(future.exception(), EngineBusyError)
    with pytest.raises(EngineBusyError):
        engine.save_slot(0)


@pytest.mark.parametrize("id", [-1, 2, 10**9])
def test_slots_that_are_not_there(path, id):
    engine = make(path)
    for action in (engine.save_slot, engine.erase_slot):
        with pytest.raises(RequestError, match="id_slot: found"):
            action(id)


def test_a_slot_with_adapters_is_not_saved(path):
    engine = make(path)
    run(engine)
    engine._stepper.scheduler.slots[0].adapters = ((0, 1.0),)
    with pytest.raises(RequestError, match="LoRA"):
        saved(engine)


def test_memory_that_has_no_room_says_so(path):
    engine = make(path)
    run(engine)
    state = saved(engine)
    small = make(path, n_ctx=96, n_parallel=1)
    generation = small.submit(GenerationRequest(PROMPT, n_predict=20, tokens_per_second=1e-3))
    small.step()
    scheduler = small._stepper.scheduler
    scheduler.slots[0].sequence = None  # as if another slot held the memory
    with pytest.raises(RequestError, match="no room for 75 tokens"):
        result(small, small.restore_slot(0, state.__class__([1, *state.tokens[1:]], state.arrays)))
    scheduler.slots[0].sequence = scheduler.running[0]
    generation.cancel()
    small.step()
    assert small.status().kv_used == 0


# ---- the file -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kept(path, tmp_path_factory):
    """(bytes of a good file, the layout it agrees with)"""
    engine = make(path)
    run(engine)
    file = tmp_path_factory.mktemp("slots") / "good"
    write_state(file, saved(engine), engine.slot_layout)
    return file.read_bytes(), engine.slot_layout


def changed_header(data, **values):
    n = int.from_bytes(data[16:20], "little")
    header = json.dumps({**json.loads(data[20 : 20 + n]), **values}).encode()
    return MAGIC + len(header).to_bytes(4, "little") + header + data[20 + n :]


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


DAMAGED = [
    (lambda d: b"", "no file of a slot"),
    (lambda d: d[:10], "no file of a slot"),
    (lambda d: b"GGUF" + d[4:], "no file of a slot"),
    (lambda d: d[:16] + b"\xff\xff\xff\xff" + d[20:], "its header should have 4294967295 bytes"),
    (lambda d: d[:16] + b"\x02\x00\x00\x00[]", "its header is damaged"),
    (lambda d: d[:16] + b"\x03\x00\x00\x00{x}", "its header is damaged"),
    (lambda d: d[:-1], "bytes after its header, expected"),
    (lambda d: d + b"x", "bytes after its header, expected"),
    (lambda d: changed_header(d, n_tokens=10**15), "n_tokens: found 1000000000000000, expected 0 to 256"),
    (lambda d: changed_header(d, n_tokens=-1), "n_tokens: found -1"),
    (lambda d: changed_header(d, n_tokens=True), "n_tokens: found True"),
    (lambda d: changed_header(d, n_tokens=74), "bytes after its header, expected"),
    (lambda d: changed_header(d, fingerprint="0" * 64), "it belongs to another model"),
    (lambda d: changed_header(d, type_k="q8_0"), "type_k: found 'q8_0', expected 'f16'"),
    (lambda d: changed_header(d, rows=[[1, 1]]), "rows: found"),
    (lambda d: flipped(d, len(d) - 5), "CRC-32"),
    (lambda d: changed_header(d, crc32=None), "CRC-32"),
]


@pytest.mark.parametrize("damage, message", DAMAGED, ids=[message[:30] for _, message in DAMAGED])
def test_damaged_files_are_refused(kept, tmp_path, damage, message):
    data, layout = kept
    (tmp_path / "a").write_bytes(damage(data))
    with pytest.raises(SlotFileError, match=message):
        read_state(tmp_path / "a", layout)


def test_no_cut_or_flip_gets_through(kept, tmp_path):
    data, layout = kept
    rng = np.random.default_rng(0)
    begin = 20 + int.from_bytes(data[16:20], "little")
    for at in [*range(0, begin, 9), *rng.integers(begin, len(data), 20).tolist()]:
        for bad in (data[:at], flipped(data, at)):
            (tmp_path / "a").write_bytes(bad)
            try:
                read_state(tmp_path / "a", layout)
            except SlotFileError:
                continue
            assert json.loads(data[20:begin]).keys() != json.loads(bad[20:begin]).keys(), at  # a key nobody asks for


def test_token_ids_are_checked(path, tmp_path):
    engine = make(path)
    run(engine)
    state = saved(engine)
    state.tokens[3] = 128
    write_state(tmp_path / "a", state, engine.slot_layout)
    with pytest.raises(SlotFileError, match="found token 128, expected 0 to 127"):
        read_state(tmp_path / "a", engine.slot_layout)


def test_rope_options_and_weights_change_the_fingerprint(path):
    layouts = {make(path, **load).slot_layout.fingerprint for load in ({}, {"rope_freq_base": 900.0})}
    assert len(layouts) == 2 and make(path).slot_layout == make(path).slot_layout


def test_links_and_pipes_are_not_read(kept, tmp_path):
    data, layout = kept
    (tmp_path / "good").write_bytes(data)
    (tmp_path / "link").symlink_to(tmp_path / "good")
    with pytest.raises(OSError):
        read_state(tmp_path / "link", layout)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SlotFileError, match="no regular file"):
        read_state(tmp_path / "pipe", layout)


def test_a_write_that_fails_leaves_the_old_file_and_no_other(kept, path, tmp_path, monkeypatch):
    engine = make(path)
    run(engine)
    state = saved(engine)
    write_state(tmp_path / "a", state, engine.slot_layout)
    before = (tmp_path / "a").read_bytes()
    monkeypatch.setattr(os, "fsync", lambda file: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_state(tmp_path / "a", state, engine.slot_layout)
    assert [p.name for p in tmp_path.iterdir()] == ["a"] and (tmp_path / "a").read_bytes() == before
