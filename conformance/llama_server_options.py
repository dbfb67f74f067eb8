"""Extract llama-server's options from its README: flags and environment variables, a row of its tables a line.

    python conformance/llama_server_options.py PATH/TO/llama.cpp/tools/server/README.md

Writes tests/cli/data/llama_server_options.txt; tests/cli/test_llama_server_options.py holds our table against it.
"""

import re
import sys
from pathlib import Path

OUT = Path(__file__).resolve().parents[1] / "tests" / "cli" / "data" / "llama_server_options.txt"
HEAD = """\
# Options of llama-server, from the tables of tools/server/README.md of llama.cpp 0c1e57098 (llama-cpp-python 0.3.36);
# made by conformance/llama_server_options.py. A line: flags | names of values | environment variables
"""


def rows(text: str) -> list[str]:
    """The rows of the tables between the markers of the README."""
    body = text[text.index("### Common params") : text.index("<!-- HELP_END -->")]
    found = []
    for cell, about in re.findall(r"^\| `(.+?)` \| (.*) \|$", body, re.MULTILINE):
        words = cell.replace("\\|", "|").split()
        flags = [word.rstrip(",") for word in words if re.fullmatch(r"--?[A-Za-z][\w.-]*,?", word)]
        values = [word for word in words if word.rstrip(",") not in flags]
        env = re.findall(r"\(env: (\w+)\)", about)
        found.append(f"{' '.join(flags)} | {' '.join(values)} | {' '.join(env)}".rstrip())
    return found


if __name__ == "__main__":
    OUT.write_text(HEAD + "\n".join(rows(Path(sys.argv[1]).read_text())) + "\n")
