"""generate: text from a Model in one call, without a thread: each piece is computed when it is asked for."""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

from llamabox.engine.engine import Engine
from llamabox.engine.options import EngineOptions
from llamabox.engine.request import FinishEvent, GenerationRequest, RequestError, SamplingParams

SAMPLING_FIELDS = frozenset(f.name for f in fields(SamplingParams))


def generate(model, prompt: str | Sequence[int], **options: Any) -> Iterator[str]:
    """Pieces of text that continue the prompt. Closing the iterator ends the generation.

    model    a llamabox.Model; it keeps the Engine made here, and closes it
    prompt   text (special tokens in it are parsed, BOS is added where the model wants it), or token ids
    options  n_predict, stop (str or several), ignore_eos, special, cache_prompt, lora ((id, scale) each), and the
             fields of SamplingParams
    Errors:  RequestError for a prompt or option that is not right; TypeError for an unknown option
    """
    if model._engine is None:
        type_k, type_v = model.cache_types
        engine_options = EngineOptions(
            n_ctx=model.n_ctx, cache_type_k=type_k, cache_type_v=type_v, lora_scales=model.lora_scales
        )
        model._engine = Engine(model.model, model.tokenizer, engine_options)
    engine = model._engine
    if isinstance(prompt, str):
        if engine.tokenizer is None:
            raise RequestError("prompt: found text, expected token ids: this model has no vocabulary", "prompt")
        prompt = engine.tokenizer.encode(prompt, add_special=True, parse_special=True)
    sampling = {name: options.pop(name) for name in list(options) if name in SAMPLING_FIELDS}
    stop = options.pop("stop", ())
    stop = (stop,) if isinstance(stop, str) else tuple(stop)
    if options.get("lora") is not None:
        options["lora"] = tuple((id, scale) for id, scale in options["lora"])
    prompt = tuple(int(id) for id in prompt)
    request = GenerationRequest(prompt, SamplingParams(**sampling), stop=stop, **options)
    return _pieces(engine, engine.submit(request))


def _pieces(engine: Engine, generation) -> Iterator[str]:
    try:
        while not isinstance(event := generation.next_event(0), FinishEvent):
            if event is None:
                engine.step()
            elif event.text != "":
                yield event.text
    finally:
        generation.cancel()  # the engine's next step drops it, if it is not over
