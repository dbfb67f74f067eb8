"""Filters, tests, methods and operators give what plain Jinja gives, also for values they are not made for."""

import jinja2
import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from llamabox.chat import ChatTemplate, TemplateError
from llamabox.chat.filters import FILTERS, TESTS
from llamabox.chat.operations import OPERATORS, TEXT_METHODS

VALUES = (
    "none", "5", "-2.5", "true", "''", "'a b\\nC'", "'<&>' | safe", "[3, 1, 2]", "['b', 'a', 'B']",
    "[{'k': 'x', 'v': 1}, {'k': 'y', 'v': 2}]", "{'b': 1, 'a': 2}", "(1, '2')", "nothing", "'%s|'",
)  # fmt: skip
ARGUMENTS = {  # of filters; the rest are called without any
    "batch": "2, 'x'", "center": "9", "default": "7", "d": "7", "format": "1", "groupby": "'k'", "indent": "2, true",
    "int": "3", "join": "', '", "map": "'upper'", "reject": "'equalto', 1", "rejectattr": "'k', 'equalto', 'x'",
    "replace": "'a', 'bb'", "round": "1", "select": "'string'", "selectattr": "'k'", "slice": "2", "sum": "start=1",
    "truncate": "3", "attr": "'k'",
}  # fmt: skip
PLAIN = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)


def plain(source: str) -> str:
    try:
        return PLAIN.from_string(source).render()
    except (jinja2.TemplateError, TypeError, ValueError, AttributeError, ArithmeticError, LookupError, AssertionError):
        return "error"


def ours(source: str) -> str:
    try:
        return ChatTemplate(source).render([])
    except TemplateError:
        return "error"


def compare(sources):
    for source in sources:
        expected = plain(source)
        if " at 0x" not in expected:  # an iterator's address
            assert ours(source) == expected, source


@pytest.mark.parametrize("name", sorted(set(FILTERS) - {"tojson"}))  # tojson is Hugging Face's, tested elsewhere
def test_filter(name):
    arguments = ARGUMENTS.get(name, "")
    compare(f"{{{{ ({value}) | {name}({arguments}) }}}}" for value in VALUES)
    compare(f"{{{{ ({value}) | {name}({arguments}) | list }}}}" for value in VALUES[5:12])


@pytest.mark.parametrize("name", sorted(name for name in TESTS if name.isidentifier()))
def test_test(name):
    compare(f"{{{{ ({value}) is {name} }}}}{{{{ ({value}) is {name}([3, 1, 2]) }}}}" for value in VALUES[:10])


@pytest.mark.parametrize("name", sorted(TEXT_METHODS))
def test_text_method(name):
    compare(f"{{{{ 'aXb a\\tb\\n'.{name}({arguments}) }}}}" for arguments in ("", "'a'", "'a', 'b'", "9", "['x', 'y']"))
    compare(f"{{{{ {value}.{name}() }}}}" for value in ("[1]", "{'a': 1}", "5"))


@pytest.mark.parametrize("operator", [*OPERATORS, "~", "==", "<", "in", "and", "or"])
def test_operator(operator):
    compare(f"{{{{ ({left}) {operator} ({right}) }}}}" for left in VALUES for right in VALUES[1:8:2])
