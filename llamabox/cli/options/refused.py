"""Flags of llama-server that llamabox does not have, and why: who gives one is told so."""

from llamabox.cli.options.llama_speculative import REFUSED_SPECULATIVE

REFUSED = {**REFUSED_SPECULATIVE}
