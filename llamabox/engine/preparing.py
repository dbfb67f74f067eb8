"""Preparation: a request becomes a Sequence, with all that is made once before it may run. Any thread."""

from functools import cached_property, lru_cache, partial

from llamabox.engine.checking import check_request
from llamabox.engine.constrain import GrammarError
from llamabox.engine.constrain.constraint import Constraint
from llamabox.engine.constrain.constraints import Constraints
from llamabox.engine.generation import Generation
from llamabox.engine.loras import LoraScales
from llamabox.engine.options import EngineOptions
from llamabox.engine.probabilities import Probabilities
from llamabox.engine.request import GenerationRequest, RequestError
from llamabox.engine.sampling import Sampler
from llamabox.engine.sampling.dry import Breakers, find_breakers
from llamabox.engine.sequence import Sequence
from llamabox.engine.shifting import Shifting, shifting
from llamabox.engine.stopping import TextOutput, single_tokens


class Preparation:
    """For one model. tokenizer None: it has no vocabulary; sequences have tokens and no text."""

    def __init__(self, model, tokenizer, options: EngineOptions, loras: LoraScales):
        self._n_vocab, self._n_seq, self._tokenizer = model.config.n_vocab, options.n_seq, tokenizer
        self._loras, self._moves_cells = loras, model.key_ropes is not None
        self._shifts = options.context_shift and self._moves_cells
        self._end_ids = frozenset() if tokenizer is None else tokenizer.end_ids
        self._constraints = Constraints(tokenizer, lambda: self._pieces)
        self._breakers = lru_cache(maxsize=32)(self._find_breakers)

    def sequence(self, generation: Generation) -> Sequence:
        """The Sequence of a generation that has not begun.

        Errors:  RequestError, ContextLengthError for a request that cannot be served
        """
        request = generation.request
        check_request(request, self._n_vocab, self._n_seq)
        adapters = self._loras.chosen(request.lora)
        banned = self._end_ids if request.ignore_eos else frozenset()
        sampling = request.sampling
        breakers = self._breakers(sampling.dry_sequence_breakers) if sampling.dry_multiplier != 0 else None
        constraint = self._constraint(request)
        sampler = Sampler(sampling, request.prompt, self._n_vocab, self._n_seq, banned, breakers, constraint)
        output, probabilities = self._output(request), self._probabilities(request)
        return Sequence(
            generation,
            sampler,
            output,
            self._end_ids,
            self._n_seq,
            adapters,
            probabilities,
            self._shifting(request),
            self._moves_cells,
        )

    def _shifting(self, request: GenerationRequest) -> Shifting | None:
        """What a full context does, if it does not end the answer."""
        if not self._shifts or request.n_predict == -2:
            return None
        add_bos = self._tokenizer is not None and self._tokenizer.add_bos
        return shifting(len(request.prompt), self._n_seq, request.n_keep, request.n_discard, add_bos)

    def _probabilities(self, request: GenerationRequest) -> Probabilities | None:
        """What tells of the tokens' probabilities, if that is asked for."""
        if request.n_probs is None:
            return None
        if self._tokenizer is None:
            return Probabilities(request.n_probs, request.post_sampling_probs, lambda id: b"")
        piece = partial(self._tokenizer.piece, special=request.special)
        return Probabilities(request.n_probs, request.post_sampling_probs, piece)

    def _constraint(self, request: GenerationRequest) -> Constraint | None:
        grammar, budget = request.grammar, request.reasoning_budget
        if grammar is None and budget is None:
            return None
        field = "reasoning_budget" if grammar is None else "json_schema" if grammar.kind == "json_schema" else "grammar"
        if self._tokenizer is None:
            raise RequestError(f"{field}: this model has no vocabulary, so its answers have no text", field)
        try:
            return self._constraints.constraint(grammar, budget)
        except GrammarError as error:
            raise RequestError(f"{field}: {error}", field) from None

    def _output(self, request: GenerationRequest) -> TextOutput:
        """What makes text of the request's tokens."""
        if self._tokenizer is None:
            return TextOutput(None, request.stop, frozenset())
        shown = single_tokens(self._tokenizer, request.preserved)
        hidden = frozenset() if request.special else self._end_ids - shown
        return TextOutput(self._tokenizer.stream(request.special, shown), request.stop, hidden)

    def _find_breakers(self, texts: tuple[str, ...]) -> Breakers:
        if self._tokenizer is None:
            return {}
        return find_breakers(texts, self._pieces, lambda text: self._tokenizer.encode(text, False))

    @cached_property
    def _pieces(self) -> list[bytes]:
        return [self._tokenizer.piece(id) for id in range(self._tokenizer.n_vocab)]
