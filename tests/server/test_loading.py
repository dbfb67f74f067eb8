"""What of the start-up needs no model: the context that settings and model agree on."""

import logging

from llamabox.engine import SamplingParams
from llamabox.server.loading import total_context
from llamabox.server.requests import Defaults
from llamabox.server.settings import ServerSettings

DEFAULTS = Defaults(SamplingParams())


def test_a_context_beyond_training_is_capped_and_only_a_choice_is_warned_of(caplog):
    caplog.set_level(logging.WARNING)
    assert total_context(ServerSettings("x", DEFAULTS, n_ctx=4096, n_ctx_chosen=False), 2048) == 2048
    assert total_context(ServerSettings("x", DEFAULTS, n_ctx=4096, n_ctx_chosen=False, n_parallel=4), 2048) == 4096
    assert caplog.records == []
    assert total_context(ServerSettings("x", DEFAULTS, n_ctx=4096), 2048) == 2048
    assert "4096" in caplog.text
    assert total_context(ServerSettings("x", DEFAULTS, n_ctx=4096, rope_changed=True), 2048) == 4096
    assert total_context(ServerSettings("x", DEFAULTS, n_ctx=0), 2048) == 2048
