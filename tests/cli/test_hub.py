"""-hf against a stand-in hub: what is chosen, downloaded, resumed, found offline; and what is refused."""

import os
import subprocess
import sys

import pytest
from standin_hub import serving

from llamabox.assets import tiny_chat_path
from llamabox.cli.hub_files import choose_files, quant_of
from llamabox.cli.options import OptionError, parse_options

REPO = "some/model-GGUF"
FILES = {
    "README.md": b"no model",
    "model-F16.gguf": b"f16",
    "model-Q4_K_M.gguf": b"q4_k_m",
    "model-Q8_0.gguf": b"q8_0",
    "mmproj-model-Q4_K_M.gguf": b"projector",
    "big/model-Q5_K_M-00001-of-00002.gguf": b"first part",
    "big/model-Q5_K_M-00002-of-00002.gguf": b"second part",
}
SHOW = """
import sys
from llamabox.cli.failures import run
from llamabox.cli.model import model_path
from llamabox.cli.options import parse_options
import os
def command(words):
    print(model_path(parse_options(words, os.environ)))
    return 0
sys.exit(run(command, sys.argv[1:]))
"""
RUN = "import sys; from llamabox.cli.main import main; sys.exit(main(sys.argv[1:]))"


@pytest.fixture
def hub(tmp_path):
    with serving({REPO: dict(FILES), "some/other": {"a.txt": b"x"}}) as hub:
        hub.home = tmp_path / "hub"
        yield hub


def environment(hub, **more):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "LLAMA_"))}
    return {**kept, "HF_ENDPOINT": hub.url, "HF_HOME": str(hub.home), "HF_HUB_DISABLE_TELEMETRY": "1", **more}


def python(hub, code, *argv, **more):
    command = [sys.executable, "-c", code, *argv]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment(hub, **more))


def fetch(hub, *argv, **more):
    """The bytes of the file that these options name."""
    done = python(hub, SHOW, *argv, **more)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "no progress bar where there is no terminal"
    with open(done.stdout.rstrip("\n"), "rb") as file:
        return file.read()


def failure(hub, *argv, **more):
    """The one line of an error."""
    done = python(hub, SHOW, *argv, **more)
    assert done.returncode == 2 and done.stdout == "", done
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
    return done.stderr.removeprefix("error: ").rstrip("\n")


def models_in_cache(hub):
    return sorted(path.name for path in hub.home.rglob("snapshots/*/**/*") if path.is_file())


def test_the_quantisation_decides_and_a_cached_file_is_not_downloaded_again(hub):
    assert fetch(hub, "-hf", REPO) == b"q4_k_m"
    assert fetch(hub, "-hf", f"{REPO}:q8_0") == b"q8_0"
    assert fetch(hub, LLAMA_ARG_HF_REPO=f"{REPO}:F16") == b"f16"
    assert fetch(hub, "-hf", f"{REPO}:Q8_0", "-hff", "model-F16.gguf") == b"f16"
    assert models_in_cache(hub) == ["model-F16.gguf", "model-Q4_K_M.gguf", "model-Q8_0.gguf"]
    gets = [path for command, path, _ in hub.seen if command == "GET" and "/resolve/" in path]
    assert len(gets) == len(set(gets)) == 3


def test_every_part_of_a_split_file_is_downloaded(hub):
    assert fetch(hub, "-hf", f"{REPO}:Q5_K_M") == b"first part"
    assert models_in_cache(hub) == ["model-Q5_K_M-00001-of-00002.gguf", "model-Q5_K_M-00002-of-00002.gguf"]


def test_offline_the_cache_has_to_do(hub):
    assert "not in the cache" in failure(hub, "-hf", REPO, "--offline")
    assert fetch(hub, "-hf", REPO) == b"q4_k_m"
    asked = len(hub.seen)
    assert fetch(hub, "-hf", REPO, "--offline") == b"q4_k_m"
    assert fetch(hub, "-hf", REPO, LLAMA_ARG_OFFLINE="1") == b"q4_k_m"
    assert "found no GGUF model of Q8_0, GGUF models there: model-Q4_K_M.gguf" in failure(
        hub, "-hf", f"{REPO}:Q8_0", "--offline"
    )
    assert len(hub.seen) == asked


def test_a_hub_that_does_not_answer(hub):
    fetch(hub, "-hf", REPO)
    gone = {"HF_ENDPOINT": "http://127.0.0.1:9"}
    done = python(hub, SHOW, "-hf", REPO, **gone)
    assert done.returncode == 0 and "the cached files are used" in done.stderr and "model-Q4_K_M" in done.stdout
    assert failure(hub, "-hf", "some/unknown", **gone).startswith("-hf some/unknown: ")


def test_a_token_goes_along(hub):
    hub.token = "secret-token"
    for argv in ([], ["-hft", "wrong-token"]):
        message = failure(hub, "-hf", REPO, *argv)
        assert "no such repository, or a private one that needs a token (-hft)" in message and "wrong" not in message
    assert fetch(hub, "-hf", REPO, "-hft", "secret-token") == b"q4_k_m"
    assert fetch(hub, "-hf", f"{REPO}:Q8_0", HF_TOKEN="secret-token") == b"q8_0"


def test_what_the_hub_does_not_have(hub):
    assert failure(hub, "-hf", "some/nothing").startswith("-hf some/nothing: no such repository")
    listed = "GGUF models there: big/model-Q5_K_M-00001-of-00002.gguf, big/model-Q5_K_M-00002-of-00002.gguf"
    assert failure(hub, "-hf", f"{REPO}:Q2_K").startswith(f"-hf {REPO}:Q2_K: found no GGUF model of Q2_K, {listed}")
    assert "found no file 'x.gguf'" in failure(hub, "-hf", REPO, "-hff", "x.gguf")
    assert failure(hub, "-hf", "some/other") == "-hf some/other: found no GGUF model, GGUF models there: none"


def test_a_broken_connection_is_taken_up_where_it_broke(hub):
    data = hub.repos[REPO]["model-Q4_K_M.gguf"] = os.urandom(24 << 20)
    hub.cuts = [15_000_000]
    done = python(hub, SHOW, "-hf", REPO)
    assert done.returncode == 0, done.stderr
    with open(done.stdout.rstrip("\n"), "rb") as file:
        assert file.read() == data
    ranges = [asked for command, _, asked in hub.seen if command == "GET" and asked]
    assert len(ranges) == 1 and 0 < first_byte(ranges[0]) <= 15_000_000


def test_what_is_not_whole_is_no_model_and_the_next_run_makes_it_whole(hub):
    data = hub.repos[REPO]["model-Q4_K_M.gguf"] = os.urandom(24 << 20)
    hub.cuts = [15_000_000, *[0] * 20]
    assert failure_after_tries(hub).startswith(f"-hf {REPO}: ")
    assert models_in_cache(hub) == []
    hub.cuts = []
    assert fetch(hub, "-hf", REPO) == data


def first_byte(asked):
    return int(asked.removeprefix("bytes=").split("-")[0])


def failure_after_tries(hub):
    """As failure, where huggingface_hub has warned of its tries before."""
    done = python(hub, SHOW, "-hf", REPO)
    assert done.returncode == 2 and done.stdout == ""
    return done.stderr.splitlines()[-1].removeprefix("error: ")


@pytest.mark.parametrize(
    "name", ["../evil-Q4_K_M.gguf", "/etc/evil-Q4_K_M.gguf", "a/../../evil-Q4_K_M.gguf", "..\\evil-Q4_K_M.gguf"]
)
def test_names_that_lead_elsewhere_are_refused(hub, name):
    hub.repos["evil/repo"] = {name: b"evil"}
    assert "expected a path inside the repository" in failure(hub, "-hf", "evil/repo")
    assert models_in_cache(hub) == [] and not any("/resolve/" in path for _, path, _ in hub.seen)


@pytest.mark.parametrize(
    "argv, message",
    [
        (["-hf", "repo"], "-hf: found 'repo', expected owner/repo or owner/repo:quant"),
        (["-hf", "../../x"], "-hf: found '../../x', expected owner/repo or owner/repo:quant"),
        (["-hf", "a/b/c"], "-hf: found 'a/b/c', expected owner/repo or owner/repo:quant"),
        (["-hf", "a/b:"], "-hf: found 'a/b:', expected owner/repo or owner/repo:quant"),
        (["-hf", "a/b..c"], "-hf: found 'a/b..c', expected owner/repo or owner/repo:quant"),
        (["-hff", "../x.gguf"], "-hff: found '../x.gguf', expected the path of a .gguf file inside the repository"),
        (["-hff", "/x.gguf"], "-hff: found '/x.gguf', expected the path of a .gguf file inside the repository"),
        (["-hff", "x.bin"], "-hff: found 'x.bin', expected the path of a .gguf file inside the repository"),
    ],
)
def test_mistakes(argv, message):
    with pytest.raises(OptionError) as caught:
        parse_options(argv, {})
    assert str(caught.value) == message


def test_options_that_need_each_other_or_exclude_each_other(hub):
    assert failure(hub, "-hff", "x.gguf") == "-hff: found no -hf, which names the repository"
    assert failure(hub, "-hf", REPO, "-m", "x.gguf") == "-m and -hf: found both, expected one"


def test_without_huggingface_hub_one_line_says_what_to_install(hub):
    hidden = f"import sys; sys.modules['huggingface_hub'] = None\n{SHOW}"
    done = python(hub, hidden, "-hf", REPO)
    assert done.returncode == 2 and done.stderr == (
        "error: -hf: the Python package huggingface_hub is not installed: pip install 'llamabox[hub]'\n"
    )


def test_a_downloaded_model_runs_and_the_cache_lists_it(hub):
    hub.repos["llamabox/tiny-GGUF"] = {"tiny-chat-Q8_0.gguf": tiny_chat_path().read_bytes()}
    words = ["complete", "-hf", "llamabox/tiny-GGUF", "--backend", "numpy", "-n", "3", "Hello"]
    done = python(hub, RUN, *words)
    assert done.returncode == 0 and done.stdout.strip() != "", done.stderr
    fetch(hub, "-hf", REPO)
    done = python(hub, RUN, "-cl")
    assert done.stdout == (
        "number of models in cache: 2\n   1. llamabox/tiny-GGUF:Q8_0\n   2. some/model-GGUF:Q4_K_M\n"
    ), done.stderr
    done = python(hub, RUN, "-cl", HF_HOME="/nope")
    assert done.stdout == "number of models in cache: 0\n"


def test_progress_is_shown_on_a_terminal(hub):
    pty, termios = pytest.importorskip("pty"), pytest.importorskip("termios")
    hub.repos[REPO]["model-Q4_K_M.gguf"] = os.urandom(1 << 20)
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 100))
    command = [sys.executable, "-c", SHOW, "-hf", REPO]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=slave, timeout=120, env=environment(hub))
    os.close(slave)
    shown = b""
    try:
        while piece := os.read(master, 1 << 16):
            shown += piece
    except OSError:  # the terminal's other end is closed and all is read
        pass
    os.close(master)
    assert done.returncode == 0 and b"model-Q4_K_M.gguf" in shown and b"100%" in shown


def test_choice_without_a_wish():
    assert choose_files(["b-F16.gguf", "a-IQ2.gguf"], None, None) == ["a-IQ2.gguf"]
    assert choose_files(["a-IQ2.gguf", "b-q8_0.gguf"], None, None) == ["b-q8_0.gguf"]
    assert choose_files(["a.Q4_K_M.gguf", "b-Q8_0.gguf"], None, None) == ["a.Q4_K_M.gguf"]
    with pytest.raises(OptionError, match="found no 'x-00002-of-00002.gguf', a part of 'x-00001-of-00002.gguf'"):
        choose_files(["x-00001-of-00002.gguf"], None, None)
    with pytest.raises(OptionError, match="found no GGUF model"):
        choose_files(["mmproj-x.gguf", "imatrix.gguf"], None, None)


def test_names_of_quantisations():
    assert [quant_of(name) for name in ("a-q4_k_m.gguf", "d/a.F16.gguf", "a-Q8_0-00001-of-00002.gguf")] == [
        "Q4_K_M",
        "F16",
        "Q8_0",
    ]
    assert [quant_of(name) for name in ("a-Q8_0-00002-of-00002.gguf", "a.gguf")] == [None, None]
