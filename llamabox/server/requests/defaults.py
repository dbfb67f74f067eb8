"""Defaults: what a request that names no value gets."""

from dataclasses import dataclass

from llamabox.engine import Grammar, SamplingParams, SpeculativeParams
from llamabox.server.chat.fields import ChatDefaults


@dataclass(frozen=True)
class Defaults:
    """What a request that names no value gets: the command line's.

    ping_s  of a silent stream; -1: none
    n_keep, n_cache_reuse  see GenerationRequest
    """

    sampling: SamplingParams
    n_predict: int = -1
    special: bool = False
    ignore_eos: bool = False
    stop: tuple[str, ...] = ()
    cache_prompt: bool = True
    ping_s: int = 30
    n_keep: int = 0
    n_cache_reuse: int = 0
    speculative: SpeculativeParams = SpeculativeParams(16, 5, 0.9)
    grammar: Grammar | None = None
    chat: ChatDefaults = ChatDefaults()
