"""The Python face: `llamabox.load(path) -> Model`, `llamabox.load_tokenizer(path)`."""

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from reprlib import repr as short_repr
from typing import Any

import numpy as np

from llamabox.gguf import GGUFFile, check_tensors, open_gguf
from llamabox.kernels import BLOCK, Ops, Rows, make_step, open_backend
from llamabox.kernels.assignment import Placement, describe
from llamabox.kernels.fitting import needs_of
from llamabox.kernels.kv import check_types
from llamabox.kernels.placing import HOST, Opened, place
from llamabox.models import LoadedModel, ModelError, ModelOptions, adapter_set, load_model
from llamabox.models.pooling import pool

Ids = Sequence[int] | np.ndarray
Scaled = str | Path | tuple[str | Path, float]
log = logging.getLogger(__name__)

PREFILL_ROWS = 512  # rows of one forward pass in `logits` and `embed`


def load(
    path: str | Path,
    backend: str | Ops | Mapping[str, Ops] = "cpu",
    cache_type_k: str = "f16",
    cache_type_v: str = "f16",
    placement: Placement | None = None,
    lora: Sequence[Scaled] = (),
    control_vectors: Sequence[Scaled] = (),
    control_vector_layers: tuple[int, int] | None = None,
    device: str | None = None,
    **options: Any,
) -> "Model":
    """Open a GGUF file and make a Model of it. A file without a vocabulary loads too; its `.tokenizer` is None.

    backend          a name; or the `.model.ops` or the `.backends` of another Model, to run on the same threads, and
                     devices
    placement        which layers go to which GPUs (kernels.Placement); None: all run on the backend
    lora             files of LoRA adapters, each alone or as (file, scale); `generate(lora=[(i, scale), ...])` chooses
                     others for one call, by their places in this list
    control_vectors  files of control vectors, in the same way, added after the layers (first, last) of
                     control_vector_layers, both included
    device   what the backend computes on, as `llamabox devices` names it; None: its first GPU, or the CPU
    options  threads, threads_batch (int, or kernels.Threads; of steps with one row, and with several), n_ctx (tokens;
             the file's own context when absent), mmap, mlock, check_tensors (bool), overrides (sequence of
             "KEY=TYPE:VALUE"), and the fields of models.ModelOptions (rope_freq_base, ...)
    Errors:  GGUFError, ModelError, TokenizerError for a file that is not right; BackendError for a backend or a device
             that is not there; PlacementError for what cannot be placed so; TypeError for an unknown option
    """
    reading = {name: options.pop(name) for name in ("mmap", "mlock", "overrides") if name in options}
    threads, batch, n_ctx = (options.pop(name, None) for name in ("threads", "threads_batch", "n_ctx"))
    check = options.pop("check_tensors", False)
    maths = ModelOptions(**{"n_ctx_seq": n_ctx, **options})
    file = open_gguf(path, **reading)
    if check:
        check_tensors(file)
    if placement is not None:
        types = cache_type_k, cache_type_v
        model, backends = _placed(file, maths, placement, backend, (threads, batch), types)
    else:
        running = {} if isinstance(backend, str) else _running(backend)
        name = backend if isinstance(backend, str) else "cpu"
        ops = running[HOST] if HOST in running else open_backend(name, threads, batch, device)
        model, backends = load_model(file, ops, maths), {HOST: ops}
    loras, controls = [_scaled(item) for item in lora], [_scaled(item) for item in control_vectors]
    if loras or controls:
        opened = [(open_gguf(vector), scale) for vector, scale in controls]
        model = model.with_adapters([open_gguf(adapter) for adapter, _ in loras], opened, control_vector_layers)
    scales = [scale for _, scale in loras]
    return Model(model, _tokenizer(file.metadata), n_ctx, cache_type_k, cache_type_v, scales, backends)


def _placed(
    file: GGUFFile, maths: ModelOptions, wanted: Placement, backend: Any, threads: tuple, types: tuple[str, str]
) -> tuple[LoadedModel, Mapping[str, Ops]]:
    """The model over the devices of a plan, which is logged, and the backend of each."""
    name, running = (backend, None) if isinstance(backend, str) else ("cpu", _running(backend))
    opened: list[Opened] = []

    def open_for(config: Any) -> Ops:
        n_ctx = next(n for n in (wanted.n_ctx, maths.n_ctx_seq, config.n_ctx_train) if n is not None)
        needs = needs_of(file.tensors.values(), config.kv_shapes(), n_ctx, *types)
        opened.append(place(wanted, config.n_layer, name, threads[0], threads[1], running, needs))
        return opened[0].ops

    model = load_model(file, open_for, maths)
    for line in describe(opened[0].plan, file.tensors.values()):
        log.info("%s", line)
    return model, opened[0].backends


def _running(backend: Ops | Mapping[str, Ops]) -> Mapping[str, Ops]:
    """device -> backend, of another model's."""
    return {HOST: backend} if isinstance(backend, Ops) else backend


def _scaled(item: Scaled) -> tuple[str | Path, float]:
    path, scale = item if isinstance(item, tuple) else (item, 1.0)
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not math.isfinite(scale):
        raise ModelError(f"{path}: scale: found {short_repr(scale)}, expected a finite number")
    return path, float(scale)


def load_tokenizer(path: str | Path):
    """The tokenizer of a GGUF file, which may hold a vocabulary only."""
    from llamabox.tokenizer import load_tokenizer as build

    return build(open_gguf(path).metadata)


def _tokenizer(metadata):
    if metadata.get("tokenizer.ggml.model", "no_vocab") in ("no_vocab", "none"):
        return None
    from llamabox.tokenizer import load_tokenizer as build

    return build(metadata)


class Model:
    """A loaded model: tokenizer, logits, embeddings and text. Use it from one thread at a time.

    cache_types  of keys and values
    lora_scales  of its adapters, in the order they were given
    backends     of each device it uses, by the device's name
    """

    def __init__(
        self,
        model: LoadedModel,
        tokenizer,
        n_ctx: int | None,
        cache_type_k: str,
        cache_type_v: str,
        lora_scales: Sequence[float] = (),
        backends: Mapping[str, Ops] | None = None,
    ):
        self.model, self.lora_scales = model, tuple(lora_scales)
        self.backends = backends if backends is not None else {HOST: model.ops}
        self.tokenizer = tokenizer
        self.config = model.config
        self.n_ctx = n_ctx if n_ctx is not None else model.config.n_ctx_train
        if model.n_ctx_limit is not None:
            self.n_ctx = min(self.n_ctx, model.n_ctx_limit)
        try:
            check_types(model.config.kv_shapes(), cache_type_k, cache_type_v)
        except ValueError as error:
            raise ModelError(str(error)) from None
        self.cache_types = (cache_type_k, cache_type_v)
        self._engine = None

    def logits(self, ids: Ids, encoder_ids: Ids | None = None) -> np.ndarray:
        """Next-token logits after every token of ids.

        Shapes:  ids (T,) -> float32 (T, V)
        Errors:  ModelError for a model without a next-token head, ids out of range, or more ids than the context holds
        """
        if encoder_ids is not None:
            raise ModelError(f"logits: {self.model.arch} has no encoder, so encoder_ids must be None")
        if self.model.is_encoder:
            raise ModelError(f"logits: {self.model.arch} is an encoder; use embed")
        return self._forward(self._checked(ids), self.model.forward)

    def embed(self, ids: Ids, pooling: str | None = None) -> np.ndarray:
        """The model's embedding of ids, not normalised.

        pooling  "none" (-> float32 (T, D)), "mean", "cls", "last" (-> (D,)), "rank" (-> the scores); None: the file's
        """
        tokens = self._checked(ids)
        hidden = self._forward(tokens, self.model.hidden)  # (T, D)
        return pool(self.model, hidden, pooling)

    def generate(self, prompt: str | Sequence[int], **sampling: Any) -> Iterator[str]:
        """Pieces of text that continue the prompt, as they come.

        sampling  n_predict, stop, ignore_eos, special, and the fields of engine.SamplingParams (temperature, seed, ...)
        """
        from llamabox.engine import generate

        return generate(self, prompt, **sampling)

    def close(self) -> None:
        """Stop the engine thread that `generate` started, if any."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def _checked(self, ids: Ids) -> np.ndarray:
        tokens = np.asarray(ids)
        if tokens.ndim != 1 or len(tokens) == 0:
            raise ModelError(f"ids: found shape {tokens.shape}, expected one or more token ids")
        if tokens.dtype.kind not in "iu":
            raise ModelError(f"ids: found {short_repr(ids)}, expected token ids, which are whole numbers")
        if len(tokens) > self.n_ctx:
            raise ModelError(f"ids: found {len(tokens)} tokens, the context holds {self.n_ctx}")
        bad = tokens[(tokens < 0) | (tokens >= self.config.n_vocab)]
        if len(bad):
            raise ModelError(f"ids: found {bad[0]}, expected ids from 0 to {self.config.n_vocab - 1}")
        return tokens.astype(np.int32)

    def _forward(self, tokens: np.ndarray, run) -> np.ndarray:
        """Every row's result: in chunks through a KV cache, or all at once for models without one."""
        shapes, adapters = self.config.kv_shapes(), [adapter_set(dict(enumerate(self.lora_scales)))]
        if not shapes or not self.model.causal:
            step = make_step([Rows(0, len(tokens), (), "all")], None, causal=False)
            return self.model.ops.to_numpy(run(tokens, step, adapters))
        table = np.arange(-(-len(tokens) // BLOCK), dtype=np.int32)
        cache = self.model.ops.kv_cache(shapes, len(table), *self.cache_types)
        parts = []
        for start in range(0, len(tokens), PREFILL_ROWS):
            chunk = tokens[start : start + PREFILL_ROWS]
            step = make_step([Rows(start, len(chunk), table, "all")], cache)
            parts.append(self.model.ops.to_numpy(run(chunk, step, adapters)))
        return np.concatenate(parts)
