"""Run a model file in llama.cpp through llama-cpp-python. LLAMA_CPP_LIB_PATH may name a folder with libllama.so."""

import ctypes
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import llama_cpp
import numpy as np

VERSION = f"llama-cpp-python {llama_cpp.__version__} (llama.cpp 0c1e57098)"
SETTINGS = "CPU, 1 thread, KV cache f32, flash attention off, n_ctx = n_batch = n_ubatch = 256"
SCALINGS = {"none": 0, "linear": 1, "yarn": 2, "longrope": 3}  # enum llama_rope_scaling_type


def run(
    path: Path,
    tokens,
    options: dict | None = None,
    encoder: bool = False,
    see: Callable | None = None,
    loras: Sequence[tuple[Path, float]] = (),
    control: tuple[np.ndarray, int, int] | None = None,
) -> np.ndarray:
    """All tokens in one batch, sequence 0, positions from 0.

    options  the names of llamabox's ModelOptions
    encoder  final hidden states, attention without a causal mask; otherwise logits
    see      called as cb_eval(tensor address, ask) -> bool
    loras    files of LoRA adapters and their scales
    control  directions f32 (n_layer - 1, n_embd) of layers 1, 2, ..., the first and the last layer to add them to
    Returns: f32 (T, n_embd) or (T, n_vocab)
    """
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
    if not model:
        sys.exit(f"{path.stem}: llama.cpp cannot load it")
    callback = llama_cpp.ggml_backend_sched_eval_callback(lambda tensor, ask, _: see(tensor, ask) if see else False)
    params = _params(options if options is not None else {}, encoder)
    params.cb_eval = callback
    context = llama_cpp.llama_init_from_model(model, params)
    _adapt(model, context, loras, control)
    batch = llama_cpp.llama_batch_init(len(tokens), 0, 1)
    batch.n_tokens = len(tokens)
    for i, token in enumerate(tokens):
        batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = int(token), i, 1, True
        batch.seq_id[i][0] = 0
    if llama_cpp.llama_decode(context, batch) != 0:
        sys.exit(f"{path.stem}: llama_decode failed")
    vocab = llama_cpp.llama_model_get_vocab(model)
    width = llama_cpp.llama_model_n_embd(model) if encoder else llama_cpp.llama_vocab_n_tokens(vocab)
    get = llama_cpp.llama_get_embeddings_ith if encoder else llama_cpp.llama_get_logits_ith
    rows = [np.ctypeslib.as_array(get(context, i), (width,)).copy() for i in range(len(tokens))]
    llama_cpp.llama_batch_free(batch)
    llama_cpp.llama_free(context)
    llama_cpp.llama_model_free(model)
    return np.stack(rows)


def _adapt(model, context, loras, control) -> None:
    adapters = [llama_cpp.llama_adapter_lora_init(model, str(path).encode()) for path, _ in loras]
    if not all(adapters):
        sys.exit("llama.cpp cannot load an adapter")
    if adapters:
        pointers = (llama_cpp.llama_adapter_lora_p_ctypes * len(adapters))(*adapters)
        scales = (ctypes.c_float * len(adapters))(*(scale for _, scale in loras))
        llama_cpp.llama_set_adapters_lora(context, pointers, len(adapters), scales)
    if control is not None:
        data, first, last = np.ascontiguousarray(control[0], np.float32), *control[1:]
        pointer = data.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        if llama_cpp.llama_set_adapter_cvec(context, pointer, data.size, data.shape[1], first, last) != 0:
            sys.exit("llama.cpp does not take the control vector")


def _params(options: dict, encoder: bool):
    params = llama_cpp.llama_context_default_params()
    params.n_ctx = params.n_batch = params.n_ubatch = 256
    params.n_threads = params.n_threads_batch = 1
    params.type_k = params.type_v = llama_cpp.GGML_TYPE_F32
    params.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
    if encoder:
        params.embeddings, params.attention_type = True, 1  # not causal
        params.pooling_type = 0  # none
    for name, value in options.items():
        if name == "rope_scaling":
            params.rope_scaling_type = SCALINGS[value]
        else:
            setattr(params, name, value)
    return params
