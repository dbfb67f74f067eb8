"""The option table: every flag of llama-box in the order of its help, llama-server's about chat, then our own.

A command takes all or some.
"""

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from llamabox.cli.options.chat import CHAT
from llamabox.cli.options.general import GENERAL
from llamabox.cli.options.http import HTTP
from llamabox.cli.options.images import IMAGES
from llamabox.cli.options.llama_server import LLAMA_SERVER
from llamabox.cli.options.memory import COMPLETION
from llamabox.cli.options.option import Group, Option
from llamabox.cli.options.own import OWN
from llamabox.cli.options.refused import REFUSED_GROUP
from llamabox.cli.options.rpc import RPC_SERVER
from llamabox.cli.options.server import SERVER
from llamabox.cli.options.speculative import SPECULATIVE
from llamabox.cli.options.spellings import with_spellings


class Table:
    """Groups of options, found by flag."""

    def __init__(self, groups: Iterable[Group]) -> None:
        self.groups = tuple(groups)

    @cached_property
    def options(self) -> tuple[Option, ...]:
        return tuple(option for group in self.groups for option in group.options)

    @cached_property
    def by_flag(self) -> dict[str, Option]:
        return {flag: option for option in self.options for flag in (*option.flags, *option.opposites)}

    @cached_property
    def defaults(self) -> dict[str, Any]:
        return {option.dest: option.default for option in self.options}

    def find(self, flag: str) -> Option | None:
        """The option of a flag; --ctx_size is read as --ctx-size."""
        if flag.startswith("--"):
            flag = flag.replace("_", "-")
        return self.by_flag.get(flag)

    def only(self, *dests: str) -> "Table":
        """The rows of the named dests, under their headings."""
        kept = (Group(group.title, tuple(o for o in group.options if o.dest in dests)) for group in self.groups)
        return Table(group for group in kept if group.options)

    def without(self, *dests: str) -> "Table":
        """All rows but those of the named dests."""
        return self.only(*(dest for dest in self.defaults if dest not in dests))


SHOWN = (GENERAL, SERVER, COMPLETION, SPECULATIVE, IMAGES, RPC_SERVER, CHAT, HTTP, LLAMA_SERVER, OWN)
ALL_OPTIONS = Table((*with_spellings(SHOWN), REFUSED_GROUP))
