"""Tables of docs/conformance.md that scripts make."""

from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs" / "conformance.md"


def put(name: str, body: str) -> None:
    """Replace what stands between the markers of this name, or add it at the end."""
    first, last = f"<!-- {name} -->", f"<!-- /{name} -->"
    text = DOCS.read_text()
    if first not in text:
        text = f"{text.rstrip()}\n\n{first}\n{last}\n"
    before, _, rest = text.partition(first)
    DOCS.write_text(f"{before}{first}\n{body}\n{last}{rest.partition(last)[2]}")
