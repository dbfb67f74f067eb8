"""Check that imports between the packages of llamabox point one way, as docs/architecture.md draws it:

    gguf <- tokenizer, kernels <- models <- engine <- chat <- server <- cli

A package may import those to its left. An import inside a function counts like any other, and so does a text that is
nothing but the path of a module ("llamabox.kernels.ops_cpu:CpuOps"), as tables of lazily loaded modules hold.

    python tools/check_imports.py [FOLDER OF THE PACKAGE]

prints one line a violation and exits 1 if there is one.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

# package or module of llamabox -> its layer. An import goes to a lower layer or stays in its own package.
LAYERS = {
    "": 0,  # llamabox itself: its version
    "logs": 0,
    "assets": 0,
    "gguf": 1,
    "tokenizer": 2,
    "kernels": 2,
    "models": 3,
    "engine": 4,
    "api": 5,  # the Python face: llamabox.load
    "grammar": 5,  # and grammars without a model
    "perplexity": 6,  # of a loaded model
    "chat": 5,
    "server": 6,
    "cli": 7,
    "__main__": 8,
}
ALLOWED = {("", "api")}  # (from, to) pairs that point right: llamabox.load is found in llamabox.api when it is used


def violations(package: Path) -> list[str]:
    """One line for each import that points right, and for each part of the package that has no layer."""
    found = []
    for path in sorted(package.rglob("*.py")):
        origin = _part(_module_name(package, path))
        for line, target in imports(path, package):
            reason = _wrong(origin, _part(target))
            if reason:
                found.append(f"{path}:{line}: {reason}")
    return found


def imports(path: Path, package: Path) -> Iterator[tuple[int, str]]:
    """(line, module of the package) for every import in a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, path, package)
            names = [f"{base}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names = [node.value.partition(":")[0]] if re.fullmatch(r"\w+(\.\w+)+(:\w+)?", node.value) else []
        else:
            continue
        for name in names:
            module = _existing_module(name, package)
            if module is not None:
                yield node.lineno, module


def _absolute(node: ast.ImportFrom, path: Path, package: Path) -> str:
    """The module an import names, its leading dots resolved."""
    if not node.level:
        return node.module or ""
    folders = path.relative_to(package.parent).parent.parts
    base = folders[: len(folders) - (node.level - 1)]
    return ".".join([*base, node.module] if node.module else base)


def _existing_module(name: str, package: Path) -> str | None:
    """The longest leading part of a dotted name that is a module of the package; None for one of another package."""
    parts = name.split(".")
    if parts[0] != package.name:
        return None
    while len(parts) > 1:
        path = package.parent.joinpath(*parts)
        if path.with_suffix(".py").is_file() or (path / "__init__.py").is_file():
            break
        parts.pop()
    return ".".join(parts)


def _module_name(package: Path, path: Path) -> str:
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _part(module: str) -> str:
    """The package or module right below llamabox; "" for llamabox itself."""
    return module.split(".")[1] if "." in module else ""


def _wrong(origin: str, target: str) -> str:
    for part in (origin, target):
        if part not in LAYERS:
            return f"llamabox.{part} has no layer in tools/check_imports.py"
    if origin == target or (origin, target) in ALLOWED or LAYERS[target] < LAYERS[origin]:
        return ""
    return f"{origin or 'llamabox'} (layer {LAYERS[origin]}) imports {target or 'llamabox'} (layer {LAYERS[target]})"


def main(argv: list[str]) -> int:
    """Check the package in the folder named, or the one beside this file's folder."""
    package = Path(argv[0]) if argv else Path(__file__).resolve().parent.parent / "llamabox"
    found = violations(package)
    print("\n".join(found) if found else f"imports of {package.name}: all point one way")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
