"""/completion in llama-server's own shape: flat chunks, and a last one that repeats the settings."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from llamabox.engine import FinishEvent, GenerationRequest, PromptEvent, TextEvent, TokenProbs
from llamabox.server.formats import Events, progress_dict, timings_dict
from llamabox.server.logprobs import ShownProbs, entries

_MOST_NEGATIVE = -1e9  # JSON has no infinity: a banned token's bias


def generation_settings(request: GenerationRequest, n_ctx: int) -> dict[str, Any]:
    """What the request was run with."""
    settings = asdict(request.sampling)
    settings["seed"] = -1 if request.sampling.seed is None else request.sampling.seed
    settings["logit_bias"] = [[token, max(bias, _MOST_NEGATIVE)] for token, bias in request.sampling.logit_bias]
    settings |= {"n_predict": request.n_predict, "max_tokens": request.n_predict, "stop": list(request.stop)}
    settings |= {"n_probs": request.n_probs or 0, "post_sampling_probs": request.post_sampling_probs}
    settings |= {"n_indent": request.n_indent, "t_max_predict_ms": request.t_max_predict_ms}
    settings |= {"timings_per_token": request.timings_per_token, "cache_prompt": request.cache_prompt}
    settings["lora"] = [{"id": id, "scale": scale} for id, scale in request.lora or ()]
    settings |= {f"speculative.{name}": value for name, value in asdict(request.speculative).items()}
    grammar = request.grammar
    settings["grammar"] = "" if grammar is None else grammar.source
    settings["grammar_lazy"] = grammar is not None and bool(grammar.triggers)
    settings["grammar_triggers"] = [] if grammar is None else [trigger.pattern for trigger in grammar.triggers]
    names = ("n_keep", "n_discard", "n_cache_reuse", "id_slot")
    settings |= {name: getattr(request, name) for name in names}
    return settings | {"ignore_eos": request.ignore_eos, "n_ctx": n_ctx}


class NativeChoice:
    """One answer.  prompt: its text; return_tokens: of the whole answer, as streamed ones always do"""

    def __init__(
        self, index: int, model: str, request: GenerationRequest, n_ctx: int, prompt: str, return_tokens: bool
    ):
        self._index, self._model, self._request, self._n_ctx = index, model, request, n_ctx
        self._prompt, self._return_tokens = prompt, return_tokens
        self._texts: list[str] = []
        self._tokens: list[int] = []
        self._probs: list[TokenProbs] = []
        self._shown, self._out = ShownProbs(), list[TokenProbs]()

    def progress(self, event: PromptEvent) -> dict[str, Any]:
        """A chunk that tells how much of the prompt is computed."""
        return {**self._chunk("", []), "prompt_progress": progress_dict(event)}

    def push(self, event: TextEvent) -> dict[str, Any]:
        """A chunk of the answer."""
        self._texts.append(event.text)
        self._tokens += event.tokens
        self._probs += event.probs
        self._out += [probs for _, probs in self._shown.push(event)]
        chunk = self._chunk(event.text, list(event.tokens))
        if event.timings is not None:
            chunk["timings"] = timings_dict(event.timings)
        return chunk | self._probabilities(event.probs)

    def last(self, event: FinishEvent) -> dict[str, Any]:
        """The last chunk: all is told but the text, which has been."""
        return self._end(event, "", [])

    def whole(self, event: FinishEvent) -> dict[str, Any]:
        """The unstreamed answer. Tokens of a stop text are not told of."""
        self._out += [probs for _, probs in self._shown.finish()]
        told = self._out if event.reason == "word" else self._probs
        reply = self._end(event, "".join(self._texts), self._tokens if self._return_tokens else [])
        return reply | self._probabilities(told)

    def _probabilities(self, told: Sequence[TokenProbs]) -> dict[str, Any]:
        if self._request.n_probs is None:
            return {}
        return {"completion_probabilities": entries(told, self._request.post_sampling_probs)}

    def _chunk(self, text: str, tokens: list[int]) -> dict[str, Any]:
        return {
            "index": self._index,
            "content": text,
            "tokens": tokens,
            "stop": False,
            "tokens_predicted": len(self._tokens),
            "tokens_evaluated": len(self._request.prompt),
        }

    def _end(self, event: FinishEvent, content: str, tokens: list[int]) -> dict[str, Any]:
        return {
            "index": self._index,
            "content": content,
            "tokens": tokens,
            "id_slot": event.id_slot,
            "stop": True,
            "model": self._model,
            "tokens_predicted": event.n_predicted,
            "tokens_evaluated": event.n_prompt,
            "tokens_cached": event.timings.n_cached,
            "generation_settings": generation_settings(self._request, self._n_ctx),
            "prompt": self._prompt,
            "has_new_line": any("\n" in text for text in self._texts),
            "truncated": event.truncated,
            "stop_type": event.reason,
            "stopping_word": event.stopping_word,
            "timings": timings_dict(event.timings),
        }


class NativeFormat:
    """Chunks have `content`, `tokens`, `stop`; each answer's last one has `stop_type`, `timings` and the rest.

    fields   of the last chunks and whole answers, "a/b" for one inside another; (): all of them
    """

    def __init__(self, choices: Sequence[NativeChoice], fields: Sequence[str] = ()):
        self._choices, self._fields = choices, fields

    def chunks(self, events: Events) -> Iterator[dict | None]:
        for item in events:
            if item is None:
                yield None
                continue
            i, event = item
            if isinstance(event, PromptEvent):
                yield self._choices[i].progress(event)
            elif isinstance(event, TextEvent):
                yield self._choices[i].push(event)
            else:
                yield self._only(self._choices[i].last(event))

    def whole(self, events: Events) -> dict[str, Any] | list[dict[str, Any]]:
        """The answer; a list of them when there are several."""
        answers: dict[int, dict[str, Any]] = {}
        for item in events:
            if item is None:
                continue
            i, event = item
            if isinstance(event, TextEvent):
                self._choices[i].push(event)
            elif isinstance(event, FinishEvent):
                answers[i] = self._only(self._choices[i].whole(event))
        ordered = [answers[i] for i in range(len(self._choices))]
        return ordered[0] if len(ordered) == 1 else ordered

    def _only(self, answer: dict[str, Any]) -> dict[str, Any]:
        if not self._fields:
            return answer
        found = {path: _nested(answer, path.split("/")) for path in self._fields}
        return {path: value for path, value in found.items() if value is not _ABSENT}


_ABSENT = object()


def _nested(value: Any, path: list[str]) -> Any:
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return _ABSENT
        value = value[name]
    return value
