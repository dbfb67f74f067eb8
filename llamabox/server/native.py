"""/completion in llama-server's own shape: flat chunks, and a last one that repeats the settings."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from llamabox.engine import GenerationRequest, TextEvent
from llamabox.server.formats import Events, timings_dict

_MOST_NEGATIVE = -1e9  # JSON has no infinity: a banned token's bias


def generation_settings(request: GenerationRequest, n_ctx: int) -> dict[str, Any]:
    """What the request was run with."""
    settings = asdict(request.sampling)
    settings["seed"] = -1 if request.sampling.seed is None else request.sampling.seed
    settings["logit_bias"] = [[token, max(bias, _MOST_NEGATIVE)] for token, bias in request.sampling.logit_bias]
    settings |= {"n_predict": request.n_predict, "max_tokens": request.n_predict, "stop": list(request.stop)}
    settings["lora"] = [{"id": id, "scale": scale} for id, scale in request.lora or ()]
    settings |= {f"speculative.{name}": value for name, value in asdict(request.speculative).items()}
    grammar = request.grammar
    settings["grammar"] = "" if grammar is None else grammar.source
    settings["grammar_lazy"] = grammar is not None and bool(grammar.triggers)
    settings["grammar_triggers"] = [] if grammar is None else [trigger.pattern for trigger in grammar.triggers]
    return settings | {"ignore_eos": request.ignore_eos, "n_ctx": n_ctx}


class NativeFormat:
    """Chunks have `content`, `tokens`, `stop`; the last one has `stop_type`, `timings` and the rest."""

    def __init__(self, model: str, request: GenerationRequest, n_ctx: int):
        self._model, self._request, self._n_ctx = model, request, n_ctx

    def chunks(self, events: Events) -> Iterator[dict | None]:
        for item in events:
            if item is None:
                yield None
            elif isinstance(item[1], TextEvent):
                yield {"index": 0, "content": item[1].text, "tokens": list(item[1].tokens), "stop": False}
            else:
                yield self._last(item[1], "", [])

    def whole(self, events: Events) -> dict[str, Any]:
        texts, tokens = [], []
        for item in events:
            if item is None:
                continue
            event = item[1]
            if not isinstance(event, TextEvent):
                return self._last(event, "".join(texts), tokens)
            texts.append(event.text)
            tokens += event.tokens
        raise RuntimeError("a generation ended without its last event")

    def _last(self, event, content: str, tokens: list[int]) -> dict[str, Any]:
        return {
            "index": 0,
            "content": content,
            "tokens": tokens,
            "stop": True,
            "model": self._model,
            "tokens_predicted": event.n_predicted,
            "tokens_evaluated": event.n_prompt,
            "tokens_cached": event.timings.n_cached,
            "generation_settings": generation_settings(self._request, self._n_ctx),
            "truncated": event.truncated,
            "stop_type": event.reason,
            "stopping_word": event.stopping_word,
            "timings": timings_dict(event.timings),
        }
