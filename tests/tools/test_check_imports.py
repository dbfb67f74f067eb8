"""tools/check_imports.py finds imports that point the wrong way, wherever they hide."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_spec = importlib.util.spec_from_file_location("check_imports", ROOT / "tools" / "check_imports.py")
check_imports = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(check_imports)


def test_llamabox_itself_is_in_order():
    assert check_imports.violations(ROOT / "llamabox") == []


def package(folder, files):
    """A package `llamabox` with the given files and an __init__.py wherever one is needed."""
    for name, text in {"__init__.py": "", **files}.items():
        path = folder / "llamabox" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        (path.parent / "__init__.py").touch()
    return folder / "llamabox"


PARTS = {"gguf/reader.py": "", "kernels/ops.py": "", "tokenizer/bpe.py": "", "engine/request.py": "", "api.py": ""}


@pytest.mark.parametrize(
    "file, line",
    [
        ("models/llama.py", "from llamabox.gguf import reader"),
        ("models/llama.py", "import llamabox.kernels.ops"),
        ("models/llama.py", "from . import llama"),
        ("models/llama.py", "from ..gguf.reader import open_gguf"),
        ("models/llama.py", "from llamabox import __version__"),
        ("models/llama.py", "import falcon"),
        ("cli/main.py", "from llamabox import api"),
        ("gguf/writer.py", "where = 'llamabox.no_such_module'"),
    ],
)
def test_imports_to_the_left_pass(tmp_path, file, line):
    assert check_imports.violations(package(tmp_path, {**PARTS, file: line})) == []


@pytest.mark.parametrize(
    "file, text, says",
    [
        ("gguf/writer.py", "import llamabox.kernels.ops", "gguf (layer 1) imports kernels (layer 2)"),
        ("gguf/writer.py", "from llamabox.kernels.ops import Ops", "gguf (layer 1) imports kernels (layer 2)"),
        ("gguf/writer.py", "from llamabox import kernels", "gguf (layer 1) imports kernels (layer 2)"),
        ("gguf/writer.py", "from ..kernels import ops", "gguf (layer 1) imports kernels (layer 2)"),
        ("gguf/writer.py", "def f():\n    from llamabox.engine import request", "imports engine (layer 4)"),
        ("kernels/lazy.py", "BACKENDS = {'x': 'llamabox.engine.request:Request'}", "imports engine (layer 4)"),
        ("kernels/cpu.py", "from llamabox.tokenizer import bpe", "kernels (layer 2) imports tokenizer (layer 2)"),
        ("logs.py", "from llamabox.gguf import reader", "logs (layer 0) imports gguf (layer 1)"),
        ("misc/things.py", "from llamabox.gguf import reader", "llamabox.misc has no layer"),
    ],
)
def test_imports_to_the_right_are_found(tmp_path, file, text, says):
    found = check_imports.violations(package(tmp_path, {**PARTS, file: text}))
    assert len(found) == 1
    assert found[0].startswith(f"{tmp_path / 'llamabox' / file}:{len(text.splitlines())}: ")
    assert says in found[0]


def test_the_program_exits_1_on_a_violation(tmp_path, capsys):
    bad = package(tmp_path, {**PARTS, "gguf/writer.py": "import llamabox.engine.request"})
    assert check_imports.main([str(bad)]) == 1
    assert "gguf (layer 1) imports engine (layer 4)" in capsys.readouterr().out
