"""Store what llama.cpp names and computes inside its graphs, for the tiny models of conformance/archs.

    LLAMA_CPP_LIB_PATH=DIR python conformance/taps.py      # DIR holds libllama.so; default: llama-cpp-python's own

Needs llama-cpp-python, whose cb_eval callback sees every value of a graph as it is computed. Writes
conformance/results/taps.npz: "MODEL/TAG" -> f32, and "provenance". tests/models/test_taps.py compares ours with it.
"""

import ctypes
import json
import os
import re
import sys
import tempfile
from pathlib import Path

import llama_cpp
import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "archs"))
import materialize  # noqa: E402

MODELS = (  # one skeleton an architecture, or two where the second takes another path
    "bert command-r gemma2 gemma3 granite granite-moe llama llama-moe mistral3 phi3 qwen2 qwen3 qwen3moe"
).split()
TOKENS = [77, 5]
TAGS = (  # what is stored, of every layer
    "embd inp_embd inp_norm inp_scaled attn_norm Qcur_normed Kcur_normed Qcur Kcur Vcur Qcur_attn_temp_scaled kqv_out "
    "attn_out attn_post_norm sa_out ffn_inp ffn_norm ffn_moe_logits ffn_moe_probs ffn_moe_out ffn_shexp ffn_out "
    "ffn_post_norm l_out result_norm result_embd result_output"
).split()
NAME = re.compile(f"({'|'.join(TAGS)})(-[0-9]+)?")  # not "Vcur-0 (reshaped)"
NE_OFFSET, NE_COUNT = 16, 4  # struct ggml_tensor: type, buffer, then int64 ne[4]
F32 = 0


def ggml_functions() -> ctypes.CDLL:
    """The few functions of libggml-base that read a tensor."""
    folder = os.environ.get("LLAMA_CPP_LIB_PATH", str(Path(llama_cpp.__file__).parent / "lib"))
    lib = ctypes.CDLL(str(Path(folder) / "libggml-base.so"))
    for name, restype, argtypes in (
        ("ggml_get_name", ctypes.c_char_p, [ctypes.c_void_p]),
        ("ggml_nbytes", ctypes.c_size_t, [ctypes.c_void_p]),
        ("ggml_nelements", ctypes.c_int64, [ctypes.c_void_p]),
        ("ggml_is_contiguous", ctypes.c_bool, [ctypes.c_void_p]),
        (
            "ggml_backend_tensor_get",
            None,
            [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t],
        ),
    ):
        function = getattr(lib, name)
        function.restype, function.argtypes = restype, argtypes
    return lib


def read_tensor(lib: ctypes.CDLL, tensor: int) -> np.ndarray | None:
    """An f32 tensor in NumPy order without leading axes of length 1; None for other types and for views with gaps."""
    type_number = ctypes.c_int32.from_address(tensor).value
    if type_number != F32 or not lib.ggml_is_contiguous(tensor):
        return None
    ne = list((ctypes.c_int64 * NE_COUNT).from_address(tensor + NE_OFFSET))
    if int(np.prod(ne)) != lib.ggml_nelements(tensor):
        sys.exit(f"struct ggml_tensor is laid out otherwise: ne reads {ne}")
    values = np.empty(ne[::-1], np.float32)
    lib.ggml_backend_tensor_get(tensor, values.ctypes.data, 0, values.nbytes)
    while values.ndim > 2 and values.shape[0] == 1:
        values = values[0]
    return values


def capture(path: Path) -> dict[str, np.ndarray]:
    """Every named value of one pass over TOKENS; of values that share a name the last one."""
    lib, found = ggml_functions(), {}

    @llama_cpp.ggml_backend_sched_eval_callback
    def see(tensor, ask, _):
        if ask:
            return True  # compute this one by itself, then call again
        name = lib.ggml_get_name(tensor).decode()
        values = read_tensor(lib, tensor) if NAME.fullmatch(name) else None
        if values is not None:
            found[name] = values
        return True

    model = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
    params = llama_cpp.llama_context_default_params()
    params.n_ctx = params.n_batch = params.n_ubatch = 256
    params.n_threads = params.n_threads_batch = 1
    params.type_k = params.type_v = llama_cpp.GGML_TYPE_F32
    params.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
    params.embeddings = path.stem == "bert"
    params.attention_type = 1 if path.stem == "bert" else 0  # not causal, causal
    params.cb_eval = see
    context = llama_cpp.llama_init_from_model(model, params)
    batch = llama_cpp.llama_batch_init(len(TOKENS), 0, 1)
    batch.n_tokens = len(TOKENS)
    for i, token in enumerate(TOKENS):
        batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, i, 1, True
        batch.seq_id[i][0] = 0
    if llama_cpp.llama_decode(context, batch) != 0:
        sys.exit(f"{path.stem}: llama_decode failed")
    llama_cpp.llama_batch_free(batch)
    llama_cpp.llama_free(context)
    llama_cpp.llama_model_free(model)
    return found


def main() -> None:
    provenance = {
        "program": f"llama-cpp-python {llama_cpp.__version__} (llama.cpp 0c1e57098), cb_eval",
        "command": "python conformance/taps.py",
        "settings": "1 thread, KV cache f32, flash attention off, n_ctx 256",
        "tokens": TOKENS,
    }
    stored = {"provenance": np.array(json.dumps(provenance))}
    with tempfile.TemporaryDirectory() as folder:
        for name in MODELS:
            path = Path(folder) / f"{name}.gguf"
            materialize.materialize(materialize.load_skeleton(HERE / "archs" / "skeletons" / f"{name}.json"), path)
            values = capture(path)
            print(f"{name}: {len(values)} values: {' '.join(sorted(values))}")
            stored |= {f"{name}/{tag}": value for tag, value in values.items()}
    out = HERE / "results" / "taps.npz"
    np.savez_compressed(out, **stored)
    print(f"{out}: {out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
