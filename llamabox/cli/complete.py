"""`llamabox complete`: continue a text."""

import os
from collections.abc import Sequence

from llamabox.cli.actions import do_action
from llamabox.cli.devices import check_devices
from llamabox.cli.generating import given_prompt, pieces, show
from llamabox.cli.logs import log_as_asked
from llamabox.cli.model import LOCAL, load_from_options
from llamabox.cli.options import ALL_OPTIONS, OptionError, parse_options
from llamabox.cli.placement import apply_affinity

USAGE = "llamabox complete [options] PROMPT    (without PROMPT: what is piped into it)"
OPTIONS = ALL_OPTIONS.only(*LOCAL)


def main(argv: Sequence[str]) -> int:
    """Print what the model adds to the prompt, as it comes."""
    options = parse_options(argv, os.environ, OPTIONS, max_arguments=1)
    if options.action:
        return do_action(options.action, OPTIONS, USAGE)
    log_as_asked(options, options.verbosity if options.given("verbosity") else -1)
    check_devices(options)
    apply_affinity(options)
    prompt = given_prompt(options)
    if prompt is None:
        raise OptionError("prompt: found none, expected a text as argument or on standard input")
    model = load_from_options(options)
    try:
        show(pieces(model, prompt, options))
    finally:
        model.close()
    return 0
