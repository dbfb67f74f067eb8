"""`llamabox chat`: a conversation in the terminal."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from llamabox.cli.actions import do_action
from llamabox.cli.devices import check_devices
from llamabox.cli.generating import at_terminal, given_prompt, pieces, show
from llamabox.cli.logs import log_as_asked
from llamabox.cli.model import LOCAL, load_from_options
from llamabox.cli.options import ALL_OPTIONS, Group, Option, OptionError, Options, Table, parse_options
from llamabox.cli.options.parsers import any_text
from llamabox.cli.placement import apply_affinity

if TYPE_CHECKING:
    from llamabox.api import Model

USAGE = "llamabox chat [options] [MESSAGE]    (with a message, here or piped into it: one answer, then exit)"
HELP = "Type a message. /clear starts over, /exit or Ctrl-D leaves, Ctrl-C stops an answer."
CHAT = Group("chat", (Option("system", "--system TEXT", (any_text,), default="", help="the system message"),))
OPTIONS = Table((CHAT, *ALL_OPTIONS.only(*LOCAL, "chat_template", "chat_template_file").groups))


def main(argv: Sequence[str]) -> int:
    """Answer one message, or chat until the user leaves."""
    options = parse_options(argv, os.environ, OPTIONS, max_arguments=1)
    if options.action:
        return do_action(options.action, OPTIONS, USAGE)
    log_as_asked(options, options.verbosity if options.given("verbosity") else -1)
    check_devices(options)
    apply_affinity(options)
    message = given_prompt(options)
    if message is None and (options.arguments or not at_terminal()):
        raise OptionError("message: found none, expected a text as argument or on standard input")
    model = load_from_options(options)
    try:
        conversation = Conversation(model, options)
        if message is None:
            converse(conversation)
        else:
            conversation.answer(message)
    finally:
        model.close()
    return 0


def converse(conversation: "Conversation") -> None:
    """Read messages and print answers until the user leaves."""
    import readline  # noqa: F401  (line editing and history for input())

    print(HELP)
    while True:
        try:
            message = input("> ").strip()
        except EOFError:
            print()
            return
        if message in ("/exit", "/quit", "/bye"):
            return
        if message == "/clear":
            conversation.clear()
        elif message.startswith("/"):
            print(HELP)
        elif message:
            try:
                conversation.answer(message)
            except KeyboardInterrupt:
                print()
                conversation.drop_last()


class Conversation:
    """The messages so far, and the model that answers them."""

    def __init__(self, model: "Model", options: Options) -> None:
        from llamabox.chat import resolve_template

        if model.tokenizer is None:
            raise OptionError(f"{options.model}: the file has no vocabulary, so it cannot chat")
        self.template = resolve_template(
            options.chat_template, model.model.file.metadata, model.tokenizer, file=options.chat_template_file
        )
        self.model, self.options = model, options
        self.clear()

    def clear(self) -> None:
        """Forget everything but the system message."""
        system = self.options.system
        self.messages = [{"role": "system", "content": system}] if system else []

    def drop_last(self) -> None:
        """Forget the last message, which got no whole answer."""
        self.messages.pop()

    def answer(self, message: str) -> None:
        """Print the model's answer to a message and remember both."""
        self.messages.append({"role": "user", "content": message})
        prompt = self.template.render(self.messages)
        ids = self.model.tokenizer.encode(prompt, add_special=True, parse_special=True)
        text = show(pieces(self.model, ids, self.options))
        self.messages.append({"role": "assistant", "content": text})
