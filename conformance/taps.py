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
import llama_cpp_models
import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE / "archs"))
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

    def see(tensor, ask):
        if ask:
            return True  # compute this one by itself, then call again
        name = lib.ggml_get_name(tensor).decode()
        values = read_tensor(lib, tensor) if NAME.fullmatch(name) else None
        if values is not None:
            found[name] = values
        return True

    llama_cpp_models.run(path, TOKENS, encoder=path.stem == "bert", see=see)
    return found


def main() -> None:
    provenance = {
        "program": f"{llama_cpp_models.VERSION}, cb_eval",
        "command": "python conformance/taps.py",
        "settings": llama_cpp_models.SETTINGS,
        "tokens": TOKENS,
    }
    stored: dict = {"provenance": np.array(json.dumps(provenance))}
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
