"""--completion-bash prints a script that bash itself can run."""

import shutil
import subprocess
import sys

import pytest


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is what is tested")
@pytest.mark.parametrize(
    ("word", "expected"), [("--cache-re", ["--cache-reuse"]), ("--no-cont-", ["--no-cont-batching"]), ("--zzz", [])]
)
def test_bash_completes_the_flags(word, expected):
    command = [sys.executable, "-m", "llamabox", "serve", "--completion-bash"]
    script = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    word = f"COMP_WORDS=(llama-box {word}); COMP_CWORD=1"
    run = "$(complete -p llama-box | sed 's/.*-F //; s/ .*//')"
    lines = "\n".join((script, word, run, "printf '%s\\n' \"${COMPREPLY[@]}\""))
    found = subprocess.run(["bash", "-c", lines], capture_output=True, text=True, timeout=20)
    assert found.stdout.split() == expected, found.stderr
