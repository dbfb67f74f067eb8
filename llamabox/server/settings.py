"""ServerSettings: all that `serve` needs to know, whoever fills it in (the command line does)."""

from dataclasses import dataclass, field
from typing import Any

from llamabox.server.access import Access
from llamabox.server.embedding import EmbeddingSettings
from llamabox.server.endpoints import Endpoints
from llamabox.server.requests import Defaults


@dataclass(frozen=True)
class SpeculationSettings:
    """What to draft with; see engine.SpeculationOptions. How long drafts are, Defaults.speculative says.

    path  of the draft model, None: none; load: keyword arguments of llamabox.load for it
    """

    path: str | None = None
    load: dict[str, Any] = field(default_factory=dict)
    ngram_min: int = 0
    static: str | None = None
    dynamic: str | None = None


@dataclass(frozen=True)
class ServerSettings:
    """How to serve one model.

    load        keyword arguments of llamabox.load besides the path and n_ctx
    n_ctx       tokens of all sequences together; 0: the model's own context
    n_ctx_chosen  False: n_ctx is only a default, and bows to a smaller context of the model without a warning
    kv_unified, context_shift, slot_prompt_similarity  see engine.EngineOptions
    kv_unified_per_slot  most tokens of one request, with kv_unified; 0: all
    tokens_per_second  most of one request; 0: no limit, -1: what one request alone reaches
    lora_init_without_apply  adapters start with scale 0, and POST /lora-adapters may change that
    n_threads   HTTP threads; -1: enough for n_parallel, the queue and some spare
    api_prefix  what every path begins with
    announce    print the address on standard output
    timeout_s, idle_s, keepalive_s   limits on a connection that stalls, that never asked, that asks no more
    """

    path: str
    defaults: Defaults
    alias: str | None = None
    load: dict[str, Any] = field(default_factory=dict)
    host: str = "127.0.0.1"
    port: int = 8080
    reuse_port: bool = False
    api_prefix: str = ""
    announce: bool = True
    tags: tuple[str, ...] = ()
    n_threads: int = -1
    timeout_s: int = 600
    idle_s: int = 60
    keepalive_s: int = 15
    n_ctx: int = 4096
    n_ctx_chosen: bool = True
    n_parallel: int = 1
    n_batch: int = 2048
    n_ubatch: int = 512
    continuous: bool = True
    kv_unified: bool = False
    kv_unified_per_slot: int = 0
    context_shift: bool = True
    slot_prompt_similarity: float = 0.5
    tokens_per_second: int = 0
    lora_init_without_apply: bool = False
    rope_changed: bool = False  # then n_ctx may pass the training context
    warmup: bool = True
    speculation: SpeculationSettings | None = None
    chat_template: str | None = None
    chat_template_file: str | None = None
    access: Access = Access()
    endpoints: Endpoints = Endpoints()
    embeddings: EmbeddingSettings = EmbeddingSettings()
