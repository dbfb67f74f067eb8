"""Guarded operators, string formatting and methods: each refuses a result that is too large before computing it."""

import re
from collections.abc import Callable
from string import Formatter

from jinja2.sandbox import SandboxedEscapeFormatter, SandboxedFormatter
from markupsafe import Markup

from llamabox.chat.budget import MAX_INT_BITS, Budget
from llamabox.chat.errors import TemplateError

FIELD = re.compile(r"[-+ #0]*([0-9]*)(\*?)(?:\.([0-9]*)(\*?))?")  # of a %-format, behind the key
PARENTHESIS = re.compile(r"[()]")
MAX_SPEC = 100  # characters of a format specification
MAX_CHARACTERS = 256  # of the set of characters that `strip` looks for
MAX_BACKWARD = 2**30  # text times needle: the interpreter searches forwards in linear time, backwards not
MARKUP_GROWTH = 5  # `'` becomes `&#39;`
WHITE_SPACE = tuple(c for c in map(chr, range(0x3001)) if c.isspace())
LINE_BREAKS = ("\n", "\r", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029")


# --- operators: (budget, left, right) -> result ---------------------------------------------------


def add(budget: Budget, left, right):
    if isinstance(left, str) and isinstance(right, str):
        budget.room(len(left) + len(right))
    elif type(left) is type(right) and isinstance(left, (list, tuple)):
        return budget.joined(left, right)
    return budget.made(left + right)


def multiply(budget: Budget, left, right):
    for sequence, times in ((left, right), (right, left)):
        if isinstance(times, int) and isinstance(sequence, str):
            budget.room(len(sequence) * times)
        elif isinstance(times, int) and isinstance(sequence, (list, tuple)):
            budget.room_for_items(max(0, len(sequence) * times))
    return budget.made(left * right)


def power(budget: Budget, base, exponent):
    if isinstance(base, int) and isinstance(exponent, int) and base.bit_length() * exponent > 2 * MAX_INT_BITS:
        raise TemplateError(f"the chat template computes an integer of more than {MAX_INT_BITS} bits")
    return budget.made(base**exponent)


def modulo(budget: Budget, left, right):
    if isinstance(left, str):
        budget.room(percent_length(budget, left, right))
    return budget.made(left % right)


OPERATORS = {
    "+": add,
    "-": lambda budget, left, right: budget.made(left - right),
    "*": multiply,
    "/": lambda budget, left, right: budget.made(left / right),
    "//": lambda budget, left, right: budget.made(left // right),
    "%": modulo,
    "**": power,
}


# --- formatting -----------------------------------------------------------------------------------


def percent_length(budget: Budget, template: str, values) -> int:
    """An upper bound of len(template % values): every field at its full width, and as long as all values together.

    Each `%` counts as the start of a field, also the second of `%%`, so that none is missed.
    """
    largest = budget.measure(values)[0]
    star = max((abs(v) for v in (values if isinstance(values, tuple) else ()) if isinstance(v, int)), default=0)
    length, at = len(template), template.find("%")
    while at >= 0:
        budget.tick()
        for begin in {at + 1, _after_key(budget, template, at + 1)}:
            field = FIELD.match(template, begin)
            if field is not None:
                width, width_star, precision, precision_star = field.groups("")
                length += _number(width) + _number(precision) + star * (len(width_star) + len(precision_star)) + largest
        at = template.find("%", at + 1)
    return length


def _after_key(budget: Budget, template: str, at: int) -> int:
    """The index after an optional `(key)`; a key may contain balanced parentheses."""
    if template[at : at + 1] != "(":
        return at
    depth = 0
    for parenthesis in budget.each(PARENTHESIS.finditer(template, at)):
        depth += 1 if parenthesis.group() == "(" else -1
        if depth == 0:
            return parenthesis.end()
    return len(template)


def _number(digits: str) -> int:
    return int(digits[:18]) if digits else 0  # 18 digits are far past every limit


class _BudgetFields(Formatter):
    """`str.format` whose every field is accounted for. Beside a sandboxed formatter, which knows the environment."""

    @property
    def _budget(self) -> Budget:
        return self._env.budget  # type: ignore[attr-defined]

    def parse(self, format_string):
        return self._budget.each(super().parse(format_string))

    def convert_field(self, value, conversion):
        self._budget.use(value)
        return self._budget.made(super().convert_field(value, conversion))

    def format_field(self, value, format_spec):
        budget = self._budget
        budget.use(value)
        if len(format_spec) > MAX_SPEC:
            raise TemplateError(
                f"the chat template formats with {len(format_spec)} characters, the limit is {MAX_SPEC}"
            )
        for digits in re.findall("[0-9]+", format_spec):
            budget.room(_number(digits))
        return budget.made(super().format_field(value, format_spec))


class _TextFormatter(_BudgetFields, SandboxedFormatter):
    pass


class _MarkupFormatter(_BudgetFields, SandboxedEscapeFormatter):
    pass


class BoundFormat:
    """The method `text.format` or `text.format_map` of a template's text."""

    def __init__(self, environment, text: str, is_map: bool):
        self._environment, self._text, self._is_map = environment, text, is_map

    def __call__(self, *args, **kwargs):
        if self._is_map:
            if kwargs or len(args) != 1:
                raise TypeError("format_map() takes exactly one argument, a mapping")
            args, kwargs = (), args[0]
        if isinstance(self._text, Markup):
            formatter = _MarkupFormatter(self._environment, escape=self._text.escape)
        else:
            formatter = _TextFormatter(self._environment)
        return type(self._text)(formatter.vformat(self._text, args, kwargs))


# --- methods of texts: (budget, text, *args) checks a call before it is made ----------------------


def _check_replace(budget: Budget, text: str, old: str, new: str, count: int = -1) -> None:
    times = text.count(old) if count < 0 else min(count, text.count(old))
    growth = MARKUP_GROWTH if isinstance(text, Markup) else 1
    budget.room(len(text) + times * len(new) * growth)


def _check_width(budget: Budget, text: str, width: int, fill: str = " ") -> None:
    budget.room(max(len(text), width))


def _check_tabs(budget: Budget, text: str, tabsize: int = 8) -> None:
    budget.room(len(text) + text.count("\t") * tabsize)


def _check_backward(budget: Budget, text: str, needle: str, *bounds) -> None:
    if len(text) * len(needle) > MAX_BACKWARD:
        raise TemplateError(f"the chat template searches {len(needle)} characters backwards in {len(text)}")


def check_strip(budget: Budget, text: str, chars: str | None = None) -> None:
    if chars is not None and len(chars) > MAX_CHARACTERS:
        raise TemplateError(f"the chat template strips {len(chars)} characters, the limit is {MAX_CHARACTERS}")


def _check_rsplit(budget: Budget, text: str, sep: str | None = None, maxsplit: int = -1) -> None:
    _check_backward(budget, text, "" if sep is None else sep)
    _check_split(budget, text, sep, maxsplit)


def _check_split(budget: Budget, text: str, sep: str | None = None, maxsplit: int = -1) -> None:
    parts = text.count(sep) if sep else sum(map(text.count, WHITE_SPACE))
    budget.room_for_items(1 + (parts if maxsplit < 0 else min(parts, maxsplit)))
    budget.charge(len(text))


def _check_lines(budget: Budget, text: str, keepends: bool = False) -> None:
    budget.room_for_items(1 + sum(map(text.count, LINE_BREAKS)))
    budget.charge(len(text))


def _check_nothing(budget: Budget, text: str, *args, **kwargs) -> None:
    """For methods whose result is at most about as long as the text."""


TEXT_METHODS: dict[str, Callable[..., None]] = {
    "replace": _check_replace,
    "center": _check_width,
    "ljust": _check_width,
    "rjust": _check_width,
    "zfill": _check_width,
    "expandtabs": _check_tabs,
    "split": _check_split,
    "rsplit": _check_rsplit,
    "rfind": _check_backward,
    "rindex": _check_backward,
    "rpartition": _check_backward,
    "strip": check_strip,
    "lstrip": check_strip,
    "rstrip": check_strip,
    "splitlines": _check_lines,
    **dict.fromkeys(
        "capitalize casefold count endswith find format format_map index isalnum isalpha isascii isdecimal isdigit"
        " isidentifier islower isnumeric isprintable isspace istitle isupper join lower partition removeprefix"
        " removesuffix startswith swapcase title upper".split(),
        _check_nothing,
    ),
}


def call_text_method(budget: Budget, method, text: str, args: tuple, kwargs: dict):
    """Call a method of TEXT_METHODS; `join` is written out: its length shows only while it reads its argument."""
    name = method.__name__
    if name == "join" and len(args) == 1 and not kwargs:
        return join(budget, args[0], text, method)
    check = TEXT_METHODS[name]
    check(budget, text, *args, **kwargs)
    return budget.made(method(*args, **kwargs))


def join(budget: Budget, values, separator: str, method) -> str:
    parts, length = [], 0
    for value in budget.each(values):
        parts.append(value)
        length += len(separator) + (len(value) if isinstance(value, str) else 0)
        budget.room(length)
    return budget.made(method(parts))
