"""Logits of tiny models in llama.cpp with every type of KV cache, stored; and ggml's rounding of cache rows.

    LLAMA_CPP_LIB_PATH=<folder of libllama.so and libggml-base.so> python conformance/cache_types.py

Writes conformance/results/cache_types.npz:
    provenance, settings
    rows, and a type's name -> the blocks that ggml's quantize_row_*_ref makes of them
    MODEL/tokens; MODEL/TYPE -> llama.cpp's logits of the tokens, given half in one batch and half one by one
    MODEL/TYPE/noise -> NMSE of our own logits with queries rounded to 8 bits, as ggml does where K is quantised, or to
        f16, where it is f16; and of sums of f16 values rounded to f16: how far from ours llama.cpp's may be
    MODEL/floor -> NMSE of our logits with an f32 cache against llama.cpp's
tests/models/test_cache_types.py and tests/kernels/test_kv.py read it.
"""

import ctypes
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from logits import nmse, open_case

import llamabox
from llamabox.gguf import GGMLType, dequantize, quantize
from llamabox.kernels import CACHE_TYPES, Rows, make_step
from llamabox.kernels.ops import Ops

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "cache_types.npz"
MODELS = ("llama", "granite")  # heads of 32, the second with softmax scale of its own
SETTINGS = "CPU, 1 thread, flash attention on (a quantised V needs it), n_ctx = n_batch = n_ubatch = 256"
QUANTISED = [name for name in CACHE_TYPES if name not in ("f32", "f16", "bf16")]


def rows() -> np.ndarray:
    """Bell curves, outliers, a ramp, a constant, zeros and a tiny block: f32 (N, 32)."""
    r = np.random.default_rng(7)
    parts = [r.standard_normal((300, 32)), r.standard_t(2, (200, 32)), np.linspace(-1, 1, 32)[None]]
    return np.concatenate([*parts, np.full((1, 32), 0.7), np.zeros((1, 32)), np.full((1, 32), 1e-20)]).astype("f4")


def ggml_blocks(values: np.ndarray, name: str) -> np.ndarray:
    """What ggml stores in a cache of this type."""
    library = ctypes.CDLL(str(Path(os.environ["LLAMA_CPP_LIB_PATH"]) / "libggml-base.so"))
    pack = getattr(library, f"quantize_row_{name}_ref")
    pack.argtypes, pack.restype = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64], None
    out = np.empty((len(values), CACHE_TYPES[name].type_size), np.uint8)
    pack(values.ctypes.data, out.ctypes.data, values.size)
    return out


def peer_logits(path: Path, tokens: np.ndarray, name: str) -> np.ndarray:
    """llama.cpp's logits of every token: half of them in one batch, then one by one."""
    import llama_cpp

    params = llama_cpp.llama_context_default_params()
    params.n_ctx = params.n_batch = params.n_ubatch = 256
    params.n_threads = params.n_threads_batch = 1
    params.type_k = params.type_v = int(CACHE_TYPES[name])
    params.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
    context = llama_cpp.llama_init_from_model(model, params)
    width = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
    batch = llama_cpp.llama_batch_init(len(tokens), 0, 1)
    found, start = [], 0
    for count in chunks(len(tokens)):
        batch.n_tokens = count
        for i in range(count):
            batch.token[i], batch.pos[i], batch.n_seq_id[i] = int(tokens[start + i]), start + i, 1
            batch.seq_id[i][0], batch.logits[i] = 0, True
        if llama_cpp.llama_decode(context, batch) != 0:
            raise RuntimeError(f"{path.stem} {name}: llama_decode failed")
        get = llama_cpp.llama_get_logits_ith
        found += [np.ctypeslib.as_array(get(context, i), (width,)).copy() for i in range(count)]
        start += count
    llama_cpp.llama_free(context)
    llama_cpp.llama_model_free(model)
    return np.stack(found)


def chunks(n: int) -> list[int]:
    return [n // 2] + [1] * (n - n // 2)


def our_logits(loaded, tokens: np.ndarray, name: str) -> np.ndarray:
    """The same in llamabox."""
    cache = loaded.ops.kv_cache(loaded.config.kv_shapes(), -(-len(tokens) // 32), name, name)
    table, found, start = np.arange(cache.n_blocks), [], 0
    for count in chunks(len(tokens)):
        step = make_step([Rows(start, count, table, "all")], cache)
        found.append(loaded.ops.to_numpy(loaded.forward(tokens[start : start + count], step)))
        start += count
    return np.concatenate(found)


class Rounded(Ops):
    """The reference backend with queries and sums rounded as ggml's flash attention on the CPU rounds them."""

    def attend(self, q, k, v, step, layer, **how):
        name = step.kv.type_k
        if name in QUANTISED:
            q = dequantize(quantize(q, GGMLType.Q8_0), GGMLType.Q8_0)
        elif name == "f16":
            q = q.astype(np.float16).astype(np.float32)
        elif name == "bf16":
            q = dequantize(quantize(q, GGMLType.BF16), GGMLType.BF16)
        y = super().attend(q, k, v, step, layer, **how)
        return y.astype(np.float16).astype(np.float32) if step.kv.type_v == "f16" else y


def main() -> None:
    from llama_cpp_models import VERSION

    stored = {"provenance": np.array(VERSION), "settings": np.array(SETTINGS), "rows": rows()}
    for name in QUANTISED:
        stored[name] = ggml_blocks(stored["rows"], name)
    with tempfile.TemporaryDirectory() as folder:
        for model in MODELS:
            case = open_case(model, Path(folder))
            stored[f"{model}/tokens"] = case.tokens
            loaded = llamabox.load(case.path, backend="numpy").model
            for name in CACHE_TYPES:
                theirs = stored[f"{model}/{name}"] = peer_logits(case.path, case.tokens, name)
                ours = our_logits(loaded, case.tokens, name)
                rounded = our_logits(replace(loaded, ops=Rounded()), case.tokens, name)
                noise = stored[f"{model}/{name}/noise"] = np.array(nmse(ours, rounded))
                if name == "f32":
                    stored[f"{model}/floor"] = np.array(nmse(theirs, ours))
                print(
                    f"{model} {name:6} {nmse(theirs, ours):.1e}; rounded alike {nmse(theirs, rounded):.1e}; {noise:.1e}"
                )
    np.savez_compressed(RESULTS, **stored)


if __name__ == "__main__":
    main()
