"""Every option of llama-server's README is known: it works, or it is refused by name with a reason, never ignored."""

import re
from pathlib import Path

import pytest

from llamabox.cli.main import main
from llamabox.cli.options import ALL_OPTIONS, OptionError, help_text, parse_options
from llamabox.cli.options.refused import REFUSED
from llamabox.cli.options.spellings import SPELLINGS

DATA = Path(__file__).parent / "data" / "llama_server_options.txt"


def rows():
    lines = [line for line in DATA.read_text().splitlines() if not line.startswith("#")]
    return [tuple(part.split() for part in line.split("|")[:1] + line.rsplit("|", 1)[1:]) for line in lines]


NOT_HERE = "is an option of llama-server that llamabox does not have: "
ROWS = rows()
BY_VARIABLE = {name: option for option in ALL_OPTIONS.options for name in option.variables}


def test_the_list_is_read_whole():
    assert len(ROWS) > 230
    assert sum(len(flags) for flags, _ in ROWS) > 350


@pytest.mark.parametrize("flags, variables", ROWS, ids=lambda value: value[0] if value else "")
def test_every_flag_and_variable_is_known(flags, variables):
    missing = [flag for flag in flags if ALL_OPTIONS.find(flag) is None]
    assert missing == []
    assert [name for name in variables if name not in BY_VARIABLE] == []
    dests = {ALL_OPTIONS.find(flag).dest for flag in flags} | {BY_VARIABLE[name].dest for name in variables}
    assert len(dests) == 1, "a flag and its variable are one option"


REFUSED_NAMES = [(name, reason) for names, reason in REFUSED.items() for name in names.split() if name[0] != "!"]


@pytest.mark.parametrize("name, reason", REFUSED_NAMES, ids=[name for name, _ in REFUSED_NAMES])
def test_what_is_refused_ends_in_one_line_with_the_reason(name, reason, capsys, monkeypatch):
    argv = [name, "1"] if name.startswith("-") else []
    if not argv:
        monkeypatch.setenv(name, "some value")
    assert main(["serve", *argv]) == 2
    err = capsys.readouterr().err
    assert err == f"error: {name} {NOT_HERE}{reason}\n"
    if argv:
        with pytest.raises(OptionError, match=f"^{re.escape(name)} {NOT_HERE}"):
            parse_options([f"{name}=1"], {})


@pytest.mark.parametrize("names", [names for names in REFUSED if "!" in names])
def test_what_is_so_anyway_may_be_said(names):
    for name in names.split():
        if name[0] == "!":
            parse_options([name[1:]], {})
        elif name[0].isupper():
            parse_options([], {name: "0"})
            with pytest.raises(OptionError, match=f"^{name} {NOT_HERE}"):
                parse_options([], {name: "1"})


def test_no_flag_and_no_variable_belongs_to_two_options():
    owners = {}
    for option in ALL_OPTIONS.options:
        for name in (*option.flags, *option.opposites, *option.variables):
            owners.setdefault(name, set()).add(option.dest)
    assert {name: dests for name, dests in owners.items() if len(dests) > 1} == {}


def test_spellings_are_of_options_that_are_there():
    flags = {flag for group in ALL_OPTIONS.groups for option in group.options for flag in option.flags}
    assert set(SPELLINGS) <= flags


@pytest.mark.parametrize(
    "words, dest, value",
    [
        ("--temperature 0.3", "temperature", 0.3),
        ("--n-predict 7", "n_predict", 7),
        ("--typical-p 0.5", "typical_p", 0.5),
        ("--sampler-seq k", "samplers", ("top_k",)),
        ("--no-warmup --warmup", "warmup", True),
        ("--no-cont-batching -cb", "cont_batching", True),
        ("-nocb", "cont_batching", False),
        ("--no-cache-prompt --cache-prompt", "cache_prompt", True),
        ("-nkvo -kvo", "kv_offload", True),
        ("--embedding", "embeddings", True),
        ("--reranking", "rerank", True),
        ("-fa", "flash_attn", True),
        ("-fa on", "flash_attn", True),
        ("-fa off", "flash_attn", False),
        ("--flash-attn=auto", "flash_attn", None),
        ("--log-colors", "log_colors", True),
        ("--log-colors on", "log_colors", "always"),
        ("--log-colors off", "log_colors", False),
        ("--log-colors=auto", "log_colors", True),
        ("--no-log-prefix", "log_prefix", False),
        ("--no-log-timestamps --log-timestamps", "log_timestamps", True),
        ("--no-repack", "repack", False),
        ("-nr", "repack", False),
        ("--repack", "repack", True),
        ("--load-mode none", "mmap", False),
        ("--load-mode mlock", "mlock", True),
        ("--load-mode mlock", "mmap", False),
        ("--load-mode mmap+mlock --no-mmap", "mmap", True),
        ("-ot exps=CPU,a.*=cuda1", "override_tensor", ((("exps", "CPU"), ("a.*", "cuda1")),)),
        ("-fit off", "fit", False),
        ("-fitt 1,2", "fit_target", (1, 2)),
        ("-r a -r b", "reverse_prompt", ("a", "b")),
        ("--tags x,y", "tags", ("x", "y")),
        ("--api-prefix /a/b", "api_prefix", "/a/b"),
        ("--sleep-idle-seconds -1", "sleep_idle_seconds", -1),
    ],
)
def test_values_of_llama_server_s_spellings(words, dest, value):
    found = getattr(parse_options(words.split(), {}), dest)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    "name, text, dest, value",
    [
        ("LLAMA_ARG_TEMPERATURE", "0.3", "temperature", 0.3),
        ("LLAMA_ARG_TOP_K", "3", "top_k", 3),
        ("LLAMA_ARG_ROPE_SCALE", "2", "rope_scale", 2.0),
        ("LLAMA_ARG_TIMEOUT", "5", "timeout", 5),
        ("LLAMA_ARG_ALIAS", "a", "alias", "a"),
        ("LLAMA_ARG_KV_OFFLOAD", "0", "kv_offload", False),
        ("LLAMA_ARG_FLASH_ATTN", "auto", "flash_attn", None),
        ("LLAMA_ARG_FLASH_ATTN", "1", "flash_attn", True),
        ("LLAMA_ARG_LOG_VERBOSITY", "1", "verbosity", 1),
        ("LLAMA_ARG_LOAD_MODE", "mlock", "mlock", True),
        ("LLAMA_ARG_REPACK", "off", "repack", False),
        ("LLAMA_ARG_RERANKING", "1", "rerank", True),
    ],
)
def test_values_of_llama_server_s_variables(name, text, dest, value):
    found = getattr(parse_options([], {name: text}), dest)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    "words, message",
    [
        ("--flash-attn=maybe", "--flash-attn: found 'maybe', expected on, off or auto"),
        ("-fa maybe", "unexpected argument 'maybe'; options start with -"),
        ("-lm dio", "-lm: found 'dio', expected one of auto, mmap, none, mlock, mmap+mlock"),
        ("-lzm off", "-lzm: found 'off', expected one of on, auto"),
        ("-ot CPU", "-ot: found 'CPU', expected PATTERN=DEVICE, comma-separated"),
        ("-ot a=CPU,=CPU", "-ot: found 'a=CPU,=CPU', expected PATTERN=DEVICE, comma-separated"),
        (
            "-ot ex(ps=CPU",
            "-ot: found 'ex(ps=CPU', expected regular expressions before each = (missing ), unterminated subpattern at "
            "position 2)",
        ),
        (
            "--api-prefix llm",
            "--api-prefix: found 'llm', expected a path that begins with / and does not end with one, such as /llm",
        ),
        (
            "--api-prefix /llm/",
            "--api-prefix: found '/llm/', expected a path that begins with / and does not end with one, such as /llm",
        ),
        (
            "--host 0.0.0.0,::1",
            "--host: found '0.0.0.0,::1', expected an address or a host name, one and no UNIX socket",
        ),
        (
            "--host /tmp/x.sock",
            "--host: found '/tmp/x.sock', expected an address or a host name, one and no UNIX socket",
        ),
        (
            "--sleep-idle-seconds 5",
            f"--sleep-idle-seconds {NOT_HERE}a model stays loaded as long as the server runs",
        ),
        ("-fit maybe", "-fit: found 'maybe', expected on or off"),
        ("-fitt 1,x", "-fitt: found '1,x', expected comma-separated whole numbers of MiB"),
        ("--warmup=1", "--warmup: found '=1', expected no value"),
    ],
)
def test_mistakes(words, message):
    with pytest.raises(OptionError) as caught:
        parse_options(words.split(), {})
    assert str(caught.value) == message


def test_refused_options_are_not_in_the_help():
    text = help_text(ALL_OPTIONS, "x")
    assert "--mcp-servers-json" not in text and "--api-prefix PREFIX" in text
    assert "(opposite: --warmup)" in text and "LLAMA_ARG_TEMPERATURE" in text


def test_every_flag_and_variable_stands_in_the_table_of_the_api():
    ticked = re.findall(r"`([^`]+)`", (Path(__file__).parents[2] / "docs" / "api.md").read_text())
    names = {word for text in ticked for word in re.split(r"[ ,]+", text)}
    for option in (o for o in ALL_OPTIONS.options if not o.later):
        missing = [name for name in (*option.flags, *option.opposites, *option.variables) if name not in names]
        assert missing == [], f"{option.name} in docs/api.md"
