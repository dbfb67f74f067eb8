"""Command line and environment -> Options, by the table."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llamabox.cli.options.option import Option
from llamabox.cli.options.parsers import FALSE_WORDS, TRUE_WORDS, boolean, unescape
from llamabox.cli.options.table import ALL_OPTIONS, Table


class OptionError(ValueError):
    """An option that cannot be used as given: names the flag or variable, what was found and what was expected."""


class Options:
    """The value of every option, by its dest: options.ctx_size. Read-only.

    `action` is "" or what to do instead: "help", "version", "system_info", "list_devices".
    `arguments` are the words that belong to no flag.
    """

    def __init__(self, values: Mapping[str, Any], sources: Mapping[str, str], arguments: Sequence[str] = ()) -> None:
        self.__dict__.update(values)
        self.__dict__["arguments"] = tuple(arguments)
        self.__dict__["_values"] = dict(values)
        self.__dict__["_sources"] = dict(sources)

    def __getattr__(self, name: str) -> Any:  # reached only for a name that is no option
        raise AttributeError(f"no option is called {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"options are read-only; use replace({name}=...)")

    def __repr__(self) -> str:
        shown = ", ".join(f"{dest}={self._values[dest]!r}" for dest in self._sources)
        return f"Options({shown})"

    def given(self, dest: str) -> bool:
        """Whether the user gave the option, by flag or environment variable."""
        return dest in self._sources

    def source(self, dest: str) -> str:
        """The flag or environment variable that gave the option."""
        return self._sources[dest]

    def replace(self, **values: Any) -> "Options":
        """A copy with other values; what counts as given stays the same."""
        for dest in values:
            getattr(self, dest)
        return Options({**self._values, **values}, self._sources, self.arguments)


def parse_options(
    argv: Sequence[str], env: Mapping[str, str] | None = None, table: Table = ALL_OPTIONS, max_arguments: int = 0
) -> Options:
    """Read flags from argv (without the program's name), then environment variables for what argv left open.

    argv           "--flag value" or "--flag=value"; the last one counts, but repeatable options collect
    env            os.environ or any mapping; an empty variable counts as unset
    max_arguments  how many words that belong to no flag are accepted
    Errors:  OptionError, one line that names the flag or variable, the value found and the value expected
    """
    values: dict[str, Any] = dict(table.defaults)
    sources: dict[str, str] = {}
    arguments: list[str] = []
    words = list(argv)
    while words:
        word = words.pop(0)
        option, flag, attached = _find(table, word)
        if option is None:
            if word.startswith("-") and word != "-":
                raise OptionError(_unknown(table, flag))
            arguments.append(word)
            if len(arguments) > max_arguments:
                raise OptionError(f"unexpected argument {_short(word)}; options start with -")
            continue
        if option.action:
            return Options({**table.defaults, "action": option.action}, {"action": flag})
        value = _value_from_words(option, flag, attached, words, table)
        _store(option, flag, value, values, sources)
    _read_environment(table, env if env is not None else {}, values, sources)
    return _finish(Options(values, sources, arguments))


def _find(table: Table, word: str) -> tuple[Option | None, str, str | None]:
    """The option a word asks for, the flag as written, and the value attached to it by '='."""
    option = table.find(word)
    if option is not None:
        return option, word, None
    flag, equals, attached = word.partition("=")
    return table.find(flag), flag, attached if equals else None


def _unknown(table: Table, flag: str) -> str:
    known = ALL_OPTIONS.find(flag)
    if known is not None:
        return f"{flag} is an option of another command of llamabox, not of this one; --help lists those of this one"
    close = difflib.get_close_matches(flag, table.by_flag, n=1, cutoff=0.7)
    return f"unknown option {_short(flag)}" + (f"; did you mean {close[0]}?" if close else "; --help lists all options")


def _value_from_words(option: Option, flag: str, attached: str | None, words: list[str], table: Table) -> Any:
    """The value of an option on the command line; takes the words that it needs."""
    if option.is_switch:
        return _switched(option, flag, attached, words)
    texts = [] if attached is None else [attached]
    if option.joined is not None and (attached is not None or _is_joined(option, words)):
        return _parse(flag, option.joined, texts[0] if texts else words.pop(0))
    while len(texts) < len(option.parse):
        if not words or table.find(words[0].partition("=")[0]) is not None:
            raise OptionError(f"{flag}: found no value, expected {flag} {option.metavar}")
        texts.append(words.pop(0))
    parsed = tuple(_parse(flag, parse, text) for parse, text in zip(option.parse, texts, strict=True))
    if option.joined is not None:
        return (parsed,)
    return parsed if len(parsed) > 1 else parsed[0]


def _switched(option: Option, flag: str, attached: str | None, words: list[str]) -> Any:
    """The value that a switch sets its dest to."""
    opposite = flag in option.opposites or flag.replace("_", "-") in option.opposites
    if option.refused and not opposite:
        raise OptionError(_refusal(flag, option))
    if option.optional is not None and not opposite:
        if attached is None and words and _fits(option.optional, words[0]):
            attached = words.pop(0)
        if attached is not None:
            return _parse(flag, option.optional, attached)
    if attached is not None:
        raise OptionError(f"{flag}: found {_short('=' + attached)}, expected no value")
    return not option.const if opposite else option.const


def _refusal(name: str, option: Option) -> str:
    return f"{name} is an option of llama-server that llamabox does not have: {option.refused}"


def _is_joined(option: Option, words: list[str]) -> bool:
    """Whether the next word stands for all values: it does when the one after it cannot be the last of them."""
    return bool(words) and _fits(option.joined, words[0]) and not (words[1:] and _fits(option.parse[-1], words[1]))


def _fits(parse: Callable[[str], Any] | None, text: str) -> bool:
    try:
        if parse is not None:
            parse(text)
    except ValueError:
        return False
    return parse is not None


def _parse(name: str, parse: Callable[[str], Any], text: str) -> Any:
    try:
        return parse(text)
    except ValueError as error:
        raise OptionError(f"{name}: found {_short(text)}, expected {error}") from None


def _store(option: Option, name: str, value: Any, values: dict[str, Any], sources: dict[str, str]) -> None:
    if not option.works_with(value):
        if option.refused:
            raise OptionError(_refusal(name, option))
        what = name if name in option.flags else f"{name} ({option.name})"
        raise OptionError(f"{what} is not available in this version of llamabox: {option.later}")
    if option.repeats:
        earlier = values[option.dest] if option.dest in sources else ()
        value = (*earlier, value)
    values[option.dest] = value
    sources[option.dest] = name


def _read_environment(table: Table, env: Mapping[str, str], values: dict[str, Any], sources: dict[str, str]) -> None:
    on_command_line = frozenset(sources)
    for option in table.options:
        name = next((name for name in option.variables if env.get(name, "")), None)
        if name is None or option.dest in on_command_line:
            continue
        _store(option, name, _value_from_variable(option, name, env[name]), values, sources)


def _value_from_variable(option: Option, name: str, text: str) -> Any:
    if not option.is_switch:
        return _parse(name, option.parse[0], text)
    if option.refused and text.lower() not in FALSE_WORDS:
        raise OptionError(_refusal(name, option))
    if option.optional is not None and text.lower() not in TRUE_WORDS + FALSE_WORDS:
        return _parse(name, option.optional, text)
    return _parse(name, boolean, text)


def _finish(options: Options) -> Options:
    """What depends on two options at once."""
    if options.given("rope_scale") and options.given("rope_freq_scale"):
        raise OptionError("--rope-scale and --rope-freq-scale: found both, expected one (either is 1 / the other)")
    if options.given("load_mode"):
        mmap, mlock = options.load_mode
        options = options.replace(mmap=mmap, mlock=mlock)
    if options.given("dry_sequence_breakers"):
        breakers = () if "none" in options.dry_sequence_breakers else options.dry_sequence_breakers
        options = options.replace(dry_sequence_breakers=tuple(map(unescape, breakers)) if options.escape else breakers)
    return options


def _short(text: str) -> str:
    """A value in quotes, control characters escaped, cut to a readable length."""
    return repr(text if len(text) <= 80 else text[:77] + "...")
