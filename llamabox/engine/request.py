"""What a caller asks of the engine, and the events that come back. Frozen data, no behaviour."""

from dataclasses import dataclass, field

from llamabox.engine.constrain.grammar import Grammar, ThinkingBudget

DEFAULT_SAMPLERS = ("penalties", "dry", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature")


class RequestError(ValueError):
    """A request that cannot be served as asked; `param` names the field at fault, when there is one."""

    def __init__(self, message: str, param: str | None = None):
        super().__init__(message)
        self.param = param


class ContextLengthError(RequestError):
    """The prompt does not fit the context of one sequence."""

    def __init__(self, n_prompt: int, n_ctx: int):
        super().__init__(
            f"the prompt has {n_prompt} tokens, the context of one sequence holds {n_ctx}: shorten it, or start the "
            "server with a larger -c or a smaller -np",
            "prompt",
        )
        self.n_prompt, self.n_ctx = n_prompt, n_ctx


class EngineBusyError(RuntimeError):
    """The queue is full; try again later."""


class GenerationError(RuntimeError):
    """A generation that broke off, for example on NaN logits; the message says where."""


@dataclass(frozen=True)
class SamplingParams:
    """How the next token is chosen; defaults are the seed's.

    seed      None or -1: a random one
    samplers  order in which the filters run, names of sampling.names.NAMES
    min_keep  tokens that top_p, min_p, typical_p and xtc leave at least
    """

    seed: int | None = None
    samplers: tuple[str, ...] = DEFAULT_SAMPLERS
    temperature: float = 0.8  # 0 or less: greedy
    dynatemp_range: float = 0.0
    dynatemp_exponent: float = 1.0
    top_k: int = 40  # 0 or less: off
    top_p: float = 0.9
    min_p: float = 0.1
    typical_p: float = 1.0
    min_keep: int = 0
    top_n_sigma: float = -1.0  # 0 or less: off; else it runs after dry, unless samplers name another place
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    repeat_last_n: int = 64  # -1: the whole context
    repeat_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_penalty_last_n: int = -1  # -1: the whole context
    dry_sequence_breakers: tuple[str, ...] = ("\n", ":", '"', "*")
    mirostat: int = 0
    mirostat_tau: float = 5.0
    mirostat_eta: float = 0.1
    logit_bias: tuple[tuple[int, float], ...] = ()  # (token id, what is added to its logit; -inf bans it)


@dataclass(frozen=True)
class SpeculativeParams:
    """Bounds on the drafts of one request; None: the engine's own. They never change the answer, only its speed.

    n_max  most tokens of a draft; 0: no drafts
    n_min  a shorter draft is not used
    p_min  a draft model stops before a token that it holds less probable
    """

    n_max: int | None = None
    n_min: int | None = None
    p_min: float | None = None


@dataclass(frozen=True)
class GenerationRequest:
    """One continuation of one prompt.

    prompt      token ids, at least one
    n_predict   most tokens to generate; 0: only compute the prompt; -1, -2: until the context is full (an end token
                ends the answer all the same: ignore_eos bans it)
    stop        texts that end the generation; they are not part of the answer
    special     render control tokens in the text
    preserved   texts of control tokens that are rendered all the same, such as the markers of tool calls; a text that
                is not exactly one token of the vocabulary names none
    cache_prompt  reuse, and leave for others, the KV blocks of equal prefixes
    grammar     what the answer has to be; None: any text
    reasoning_budget  how long the answer may think; None: as long as it likes
    n_probs     probabilities of the tokens are told, with this many of the most probable ones; None: they are not
    post_sampling_probs  they are those that the samplers left, not those of the logits
    prompt_logprobs  the prompt's own tokens are told too, in PromptEvents; needs n_probs, and cache_prompt off
    return_progress  PromptEvents while the prompt is computed
    timings_per_token  TextEvents tell of the time so far
    n_indent, t_max_predict_ms  see LineLimits
    id_slot     the slot to run in, of more than there are the remainder; -1: any
    n_keep      tokens of the prompt that a context shift keeps at the front; -1: all
    n_discard   tokens that it drops after those; 0: half of what is there
    n_cache_reuse  shortest chunk of the slot's last sequence that is reused in another place; 0: none is
    tokens_per_second  most tokens of the answer a second; None: no limit
    lora        LoRA adapters as (id, scale), the others being off; None: the scales that the engine holds for all
    """

    prompt: tuple[int, ...]
    sampling: SamplingParams = field(default_factory=SamplingParams)
    n_predict: int = -1
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    special: bool = False
    preserved: tuple[str, ...] = ()
    cache_prompt: bool = True
    grammar: Grammar | None = None
    reasoning_budget: ThinkingBudget | None = None
    lora: tuple[tuple[int, float], ...] | None = None
    request_id: str = ""
    n_probs: int | None = None
    post_sampling_probs: bool = False
    prompt_logprobs: bool = False
    return_progress: bool = False
    id_slot: int = -1
    n_keep: int = 0
    n_discard: int = 0
    n_cache_reuse: int = 0
    tokens_per_second: float | None = None
    timings_per_token: bool = False
    n_indent: int = 0
    t_max_predict_ms: int = 0
    speculative: SpeculativeParams = SpeculativeParams()


@dataclass(frozen=True)
class EmbeddingRequest:
    """Texts to make vectors or, with pooling "rank", scores of.

    texts    token ids of each
    pooling  one of models.POOLINGS
    name     what the texts are called in errors: "input", "documents"
    """

    texts: tuple[tuple[int, ...], ...]
    pooling: str
    name: str = "texts"
    request_id: str = ""


@dataclass(frozen=True)
class Timings:
    """Counts in tokens, durations in milliseconds. Of the prompt, n_cached were cached and n_prompt computed; of the
    n_drafted guesses that were verified, n_accepted were right."""

    n_cached: int
    n_prompt: int
    prompt_ms: float
    n_predicted: int
    predicted_ms: float
    n_drafted: int = 0
    n_accepted: int = 0


@dataclass(frozen=True)
class TokenProbs:
    """How probable a token was.

    piece    its bytes
    top      the most probable tokens at its place, in order: (id, bytes, logprob)
    n_chars  characters it added to the answer, shown or held back; 0 while it only begins one
    """

    id: int
    piece: bytes
    logprob: float
    top: tuple[tuple[int, bytes, float], ...] = ()
    n_chars: int = 0


@dataclass(frozen=True)
class PromptEvent:
    """The prompt is being computed: n_done of its n_total tokens are, of which n_cached were cached.

    probs  of the tokens that this step told of, when prompt_logprobs is set: all but the first, over the whole prompt
    """

    n_total: int
    n_cached: int
    n_done: int
    elapsed_ms: float
    probs: tuple[TokenProbs, ...] = ()


@dataclass(frozen=True)
class TextEvent:
    """More text, whole UTF-8 characters (possibly ""), and the tokens that came with it.

    Text that may begin a stop text is held back; its tokens are not.  probs: one for each token, when n_probs is set
    timings: so far, when timings_per_token is set
    """

    text: str
    tokens: tuple[int, ...]
    probs: tuple[TokenProbs, ...] = ()
    timings: Timings | None = None


@dataclass(frozen=True)
class FinishEvent:
    """The last event. reason: "eos", "word" (a stop text), "limit" (n_predict or the context), "cancelled"."""

    reason: str
    stopping_word: str
    n_prompt: int  # tokens of the whole prompt
    n_predicted: int
    truncated: bool  # the context was full: it ended the answer, or was shifted
    timings: Timings
    id_slot: int = -1  # where it ran
