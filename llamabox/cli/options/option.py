"""One row of the option table, and the group it stands in."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

Parser = Callable[[str], Any]


@dataclass(frozen=True)
class Option:
    """One option as the help shows it.

    dest     attribute of Options that holds the value; two rows may share it (--mmap, --no-mmap)
    spec     flags and value names as the help prints them: "-c, --ctx-size N"
    parse    one parser a value; () for a switch, which sets dest to `const`
    joined   parser of one word that may stand for all values: FILE:SCALE for FILE SCALE
    optional parser of a value that a switch may have: on, off or auto
    default  value of dest when the option is not given
    help     the help text; a new line in it is a new line on the screen
    env      environment variable that stands in for the flag; of a switch it sets dest to true or false
    repeats  the option may be given again: dest is a tuple of all values, in order
    later    what arrives later, if the option is refused in this version; it is then accepted only with its default
    now      values that work although `later` is set
    refused  why llamabox does not have it, if it is one of llama-server's; accepted only with its default
    note     where llamabox differs from llama-box; printed after the help text
    aliases  further flags that are accepted and not printed
    env_aliases  further variables; the first one that is set counts, env before them
    opposites  flags that set dest to the opposite of a switch's const
    action   "help", "version", "system_info" or "list_devices": the option ends parsing and asks for this instead
    """

    dest: str
    spec: str
    parse: tuple[Parser, ...] = ()
    default: Any = None
    help: str = ""
    env: str | None = None
    const: Any = True
    repeats: bool = False
    joined: Parser | None = None
    optional: Parser | None = None
    later: str = ""
    now: frozenset[Any] = frozenset()
    refused: str = ""
    note: str = ""
    aliases: tuple[str, ...] = ()
    env_aliases: tuple[str, ...] = ()
    opposites: tuple[str, ...] = ()
    action: str = ""

    @cached_property
    def flags(self) -> tuple[str, ...]:
        """Every spelling of the option, those of the help first."""
        return tuple(re.findall(r"(?<!\S)--?[a-z][a-z0-9.-]*", self.spec, re.IGNORECASE)) + self.aliases

    @property
    def variables(self) -> tuple[str, ...]:
        """Every environment variable that stands for the option."""
        return ((self.env,) if self.env else ()) + self.env_aliases

    @property
    def name(self) -> str:
        """The flag that messages use: the first long one of the help, or the only one."""
        return next((flag for flag in self.flags if flag.startswith("--")), self.flags[0])

    @property
    def metavar(self) -> str:
        """The names of the values: "FILE SCALE"."""
        return " ".join(word for word in self.spec.split() if not word.startswith("-"))

    @property
    def is_switch(self) -> bool:
        return not self.parse and not self.action

    def works_with(self, value: Any) -> bool:
        """Whether this version can do what `value` asks for."""
        return not (self.later or self.refused) or value == self.default or value in self.now


@dataclass(frozen=True)
class Group:
    """Options under one heading of the help; without a title they are not printed.

    later  refuses those that have no reason of their own
    """

    title: str
    options: tuple[Option, ...]
    later: str = ""

    def __post_init__(self) -> None:
        if self.later:
            refused = (replace(option, later=option.later or self.later) for option in self.options)
            object.__setattr__(self, "options", tuple(refused))
