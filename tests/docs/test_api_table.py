"""docs/api.md names every endpoint, request field and flag that there is, each with a test that exists."""

import ast
import pkgutil
import re
from functools import cache
from importlib import import_module
from pathlib import Path

import falcon.inspect
import msgspec
import pytest

import llamabox.server
from llamabox.cli.options import ALL_OPTIONS
from llamabox.engine import SamplingParams
from llamabox.server.admission import Admission
from llamabox.server.app import create_app
from llamabox.server.context import ServerContext
from llamabox.server.requests import Defaults

ROOT = Path(__file__).resolve().parents[2]
WORKING = [option for option in ALL_OPTIONS.options if not option.later]


@cache
def tables() -> dict[str, list[list[str]]]:
    """Heading -> rows of cells, of docs/api.md."""
    found: dict[str, list[list[str]]] = {}
    heading = ""
    for line in (ROOT / "docs" / "api.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            heading = line.removeprefix("## ")
            found[heading] = []
        elif line.startswith("| ") and not line.startswith("| ---"):
            found[heading].append(re.split(r"(?<!\\) \| ", line.removeprefix("| ").removesuffix(" |")))
    return {heading: rows[1:] for heading, rows in found.items()}


def named(beginning: str) -> set[str]:
    """All words between backticks in the first column of the tables whose headings begin so."""
    cells = [row[0] for heading, rows in tables().items() if heading.startswith(beginning) for row in rows]
    return {word for cell in cells for text in re.findall(r"`([^`]*)`", cell) for word in re.split(r"[\s,?]+", text)}


def bodies() -> list[type[msgspec.Struct]]:
    """Every request body that the server reads."""
    for module in pkgutil.walk_packages(llamabox.server.__path__, "llamabox.server."):
        import_module(module.name)

    def below(kind):
        return {kind}.union(*(below(child) for child in kind.__subclasses__()))

    ours = [kind for kind in below(msgspec.Struct) if kind.__module__.startswith("llamabox.server")]
    return sorted((kind for kind in ours if kind.__name__.endswith("Body")), key=lambda kind: kind.__name__)


@pytest.mark.parametrize("body", bodies(), ids=lambda body: body.__name__)
def test_every_field_has_a_row(body):
    names = {field.encode_name for field in msgspec.structs.fields(body)}
    assert names - named("Request fields") == set()


def test_every_endpoint_has_a_row():
    app = create_app(ServerContext(Admission(-1, 1), Defaults(SamplingParams())))
    paths = {re.sub(r"\{(\w+):\w+\}", r"{\1}", route.path) for route in falcon.inspect.inspect_routes(app)}
    assert {path for path in paths if path not in named("Endpoints")} == set()


@pytest.mark.parametrize("option", WORKING, ids=lambda option: option.name)
def test_every_flag_has_a_row(option):
    assert set(option.flags) & named("Flags") != set()


@pytest.mark.parametrize("option", [o for o in WORKING if o.env], ids=lambda option: option.name)
def test_every_environment_variable_stands_beside_its_flag(option):
    assert option.env in named("Flags")


@cache
def functions(path: str) -> set[str]:
    """The names of all functions in a file of tests."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("heading", tables())
def test_every_test_that_is_named_exists(heading):
    missing = []
    for row in tables()[heading]:
        tests = re.findall(r"`?((?:tests/)[\w/]+\.py)::(\w+)", row[-1])
        if not tests and "refused" not in heading:
            missing.append(f"{row[0]}: no test")
        missing += [f"{row[0]}: {path}::{name}" for path, name in tests if name not in functions(path)]
    assert missing == []
