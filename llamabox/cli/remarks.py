"""Options of llama.cpp that have nothing to switch here: a line in the log says what each means."""

import logging

from llamabox.cli.options import Options

log = logging.getLogger(__name__)

REMARKS = {
    "defrag_thold": "KV memory is made of blocks, any of which serves any sequence: there is nothing to defragment",
    "flash_attn": "attention always runs block by block and never holds all scores at once",
    "lazy_mode": "pages of a mapped file are read when they are first used, of every tensor",
    "repack": "weights are read in their own blocks; none is rearranged",
    "swa_full": "layers with a sliding window always keep the whole sequence",
    "op_offload": "an op is computed where its weight is",
    "no_host": "weights that stay on the host are read from the mapped file; there are no other host buffers",
    "perf": "timings are always taken; replies and /metrics have them",
    "fit_ctx": "the context is never changed to fit a device's memory",
}


def remark(options: Options) -> None:
    """One line for each of these options that was given."""
    for dest, text in REMARKS.items():
        if options.given(dest):
            log.info("%s: %s", options.source(dest), text)
