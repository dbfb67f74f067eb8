"""Command line and environment -> options: values, precedence, and one clear error for each mistake."""

import pytest

from llamabox.cli.options import ALL_OPTIONS, OptionError, parse_options
from llamabox.cli.options.parsers import SAMPLERS

INT = "an integer from 0 to 2147483647"


def test_nothing_given():
    options = parse_options([], {})
    assert (options.host, options.port, options.ctx_size, options.temperature) == ("127.0.0.1", 8080, 4096, 0.8)
    assert options.action == "" and options.arguments == ()
    assert not any(options.given(dest) for dest in ALL_OPTIONS.defaults)


@pytest.mark.parametrize(
    "argv, dest, value",
    [
        (["-c", "8192"], "ctx_size", 8192),
        (["-c=8192"], "ctx_size", 8192),
        (["--ctx-size=8192"], "ctx_size", 8192),
        (["--ctx_size", "8192"], "ctx_size", 8192),
        (["-n", "-2"], "n_predict", -2),
        (["--predict=-1"], "n_predict", -1),
        (["--seed", "-1"], "seed", -1),
        (["-s", "4294967295"], "seed", 4294967295),
        (["--seed", "+7"], "seed", 7),
        (["--temp", "0"], "temperature", 0.0),
        (["--temp", ".5"], "temperature", 0.5),
        (["--presence-penalty", "-1.5e-1"], "presence_penalty", -0.15),
        (["-c", "1", "-c", "2"], "ctx_size", 2),
        (["--model-alias", "x"], "alias", "x"),
        (["-m", "caf\udce9.gguf"], "model", "caf\udce9.gguf"),
        (["--alias=-m"], "alias", "-m"),
        (["-a", "a=b"], "alias", "a=b"),
        (["-v"], "verbosity", 2147483647),
        (["-lv", "-1"], "verbosity", -1),
        (["--port", "0"], "port", 0),
        (["-t", "0"], "threads", -1),
        (["--threads-http", "-1"], "threads_http", -1),
        (["--threads-http", "9"], "threads_http", 9),
        (["-tb", "3", "-t", "3"], "threads_batch", 3),
        (["-ts", "3,1"], "tensor_split", (3.0, 1.0)),
        (["-dev", "none"], "device", ("none",)),
        (["--no-mmap"], "mmap", False),
        (["--no-mmap", "--mmap"], "mmap", True),
        (["-nocb"], "cont_batching", False),
        (["-nkvo"], "kv_offload", False),
        (["--no-cache-prompt"], "cache_prompt", False),
        (["--no-warmup"], "warmup", False),
        (["--no-context-shift"], "context_shift", False),
        (["-sp"], "special", True),
        (["-ctk", "bf16"], "cache_type_k", "bf16"),
        (["-ctv", "iq4_nl"], "cache_type_v", "iq4_nl"),
        (["--keep", "-1"], "keep", -1),
        (["--context-shift"], "context_shift", True),
        (["-kvu"], "kv_unified", True),
        (["-no-kvu"], "kv_unified", False),
        (["-tps", "-1"], "tokens_per_second", -1),
        (["-l", "15043+1", "--logit-bias", "7-2.5"], "logit_bias", ((15043, 1.0), (7, -2.5))),
        (
            ["--override-kv", "a.b=int:-3", "--override-kv=c=str:x=y:z"],
            "override_kv",
            ("a.b=int:-3", "c=str:x=y:z"),
        ),
        (["--samplers", "top_k;temperature"], "samplers", ("top_k", "temperature")),
        (["--samplers", "Top-P;typ;temp"], "samplers", ("top_p", "typ_p", "temperature")),
        (["--samplers", ""], "samplers", ()),
        (["--sampling-seq", "kt"], "samplers", ("top_k", "temperature")),
        (["--sampling-seq", "edkypmxt"], "samplers", SAMPLERS),
        (["--sampling-seq", "k", "--samplers", "dry"], "samplers", ("dry",)),
        (["--dry-sequence-breaker", r"\n", "--dry-sequence-breaker", "x"], "dry_sequence_breakers", ("\n", "x")),
        (["--no-escape", "--dry-sequence-breaker", r"\n"], "dry_sequence_breakers", (r"\n",)),
        (["--dry-sequence-breaker", "none"], "dry_sequence_breakers", ()),
        (["-C", "0x5"], "cpu_mask", frozenset({0, 2})),
        (["-Cr", "1-3"], "cpu_range", frozenset({1, 2, 3})),
        (["--rope-scaling", "yarn"], "rope_scaling", "yarn"),
        (["--backend", "numpy"], "backend", "numpy"),
        (["--keep", "0"], "keep", 0),
        (["--rpc-server-port", "0"], "rpc_server_port", 0),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_values(argv, dest, value):
    options = parse_options(argv, {})
    assert getattr(options, dest) == value
    assert type(getattr(options, dest)) is type(value)
    assert options.given(dest)


@pytest.mark.parametrize(
    "argv, message",
    [
        # unknown, missing, superfluous
        (["--qqq"], "unknown option '--qqq'; --help lists all options"),
        (["--ctx-siz", "1"], "unknown option '--ctx-siz'; did you mean --ctx-size?"),
        (["--qqq=1"], "unknown option '--qqq'; --help lists all options"),
        (["-"], "unexpected argument '-'; options start with -"),
        (["model.gguf"], "unexpected argument 'model.gguf'; options start with -"),
        (["--port"], "--port: found no value, expected --port PORT"),
        (["--host", "--port", "80"], "--host: found no value, expected --host HOST"),
        (["-m", "--seed=1"], "-m: found no value, expected -m FILE"),
        (["--lora-scaled", "x"], "--lora-scaled: found no value, expected --lora-scaled FILE SCALE"),
        (["--lora-scaled", "x", "y"], "--lora-scaled: found 'y', expected a finite number"),
        (["--lora-scaled", "x", "nan"], "--lora-scaled: found 'nan', expected a finite number"),
        (["--lora-scaled=x"], "--lora-scaled: found 'x', expected FILE:SCALE"),
        (["--lora-scaled=x:inf"], "--lora-scaled: found 'x:inf', expected a finite number"),
        (["--lora", "a,,b"], "--lora: found 'a,,b', expected comma-separated paths, none of them empty"),
        (["--lora", ""], "--lora: found '', expected comma-separated paths, none of them empty"),
        (["--control-vector-layer-range", "-1", "3"], f"--control-vector-layer-range: found '-1', expected {INT}"),
        (["--mlock=1"], "--mlock: found '=1', expected no value"),
        # integers
        (["-c", "x"], f"-c: found 'x', expected {INT}"),
        (["-c", ""], f"-c: found '', expected {INT}"),
        (["-c", "-1"], f"-c: found '-1', expected {INT}"),
        (["-c", "1.5"], f"-c: found '1.5', expected {INT}"),
        (["-c", "1e3"], f"-c: found '1e3', expected {INT}"),
        (["-c", "1_000"], f"-c: found '1_000', expected {INT}"),
        (["-c", " 1"], f"-c: found ' 1', expected {INT}"),
        (["-c", "٣"], f"-c: found '٣', expected {INT}"),
        (["-c", "2147483648"], f"-c: found '2147483648', expected {INT}"),
        (["--ctx-size=" + "9" * 5000], f"--ctx-size: found '{'9' * 77}...', expected {INT}"),
        (["-n", "-3"], "-n: found '-3', expected an integer from -2 to 2147483647"),
        (["-s", "-2"], "-s: found '-2', expected an integer from -1 to 4294967295"),
        (["-np", "0"], "-np: found '0', expected an integer from 1 to 1024"),
        (["-b", "0"], "-b: found '0', expected an integer from 1 to 2147483647"),
        (["--port", "65536"], "--port: found '65536', expected an integer from 0 to 65535"),
        (["-t", "-2"], "-t: found '-2', expected an integer from -1 to 4096"),
        (["--mirostat", "3"], "--mirostat: found '3', expected an integer from 0 to 2"),
        (["--threads-http", "0"], "--threads-http: found '0', expected -1 or an integer from 1 to 4096"),
        # numbers
        (["--temp", "nan"], "--temp: found 'nan', expected a finite number of at least 0"),
        (["--temp", "inf"], "--temp: found 'inf', expected a finite number of at least 0"),
        (["--temp", "1e999"], "--temp: found '1e999', expected a finite number of at least 0"),
        (["--temp", "-0.1"], "--temp: found '-0.1', expected a finite number of at least 0"),
        (["--temp", "0x1"], "--temp: found '0x1', expected a finite number of at least 0"),
        (["--temp", ""], "--temp: found '', expected a finite number of at least 0"),
        (["--top-p", "1.01"], "--top-p: found '1.01', expected a number from 0 to 1"),
        (["--repeat-penalty", "0"], "--repeat-penalty: found '0', expected a finite number above 0"),
        (["--presence-penalty", "-inf"], "--presence-penalty: found '-inf', expected a finite number"),
        # texts
        (["-a", ""], "-a: found '', expected a name that is not empty"),
        (["-a", "caf\udce9"], "-a: found 'caf\\udce9', expected a name in UTF-8"),
        # words and small languages
        (["-sm", "rows"], "-sm: found 'rows', expected one of none, layer, row"),
        (["-ctk", "q3"], "-ctk: found 'q3', expected one of f32, f16, bf16, q8_0, q4_0, q4_1, iq4_nl, q5_0, q5_1"),
        (["-m", ""], "-m: found '', expected a path that is not empty"),
        (["-dev", "a,,b"], "-dev: found 'a,,b', expected comma-separated names, none of them empty"),
        (
            ["-ts", "0,0"],
            "-ts: found '0,0', expected comma-separated numbers of at least 0, not all of them 0, such as 3,1",
        ),
        (
            ["-ts", "1;1"],
            "-ts: found '1;1', expected comma-separated numbers of at least 0, not all of them 0, such as 3,1",
        ),
        (
            ["--samplers", "top_k;best"],
            "--samplers: found 'top_k;best', expected names separated by ';' from " + ", ".join(SAMPLERS),
        ),
        (
            ["--sampling-seq", "kz"],
            "--sampling-seq: found 'kz', expected letters from e (penalties), d (dry), s (top_n_sigma), k (top_k),"
            " y (typ_p), p (top_p), m (min_p), x (xtc), t (temperature)",
        ),
        (["-l", "5"], "-l: found '5', expected TOKEN_ID+BIAS or TOKEN_ID-BIAS with a finite BIAS, such as 15043+1"),
        (
            ["-l", "5+inf"],
            "-l: found '5+inf', expected TOKEN_ID+BIAS or TOKEN_ID-BIAS with a finite BIAS, such as 15043+1",
        ),
        (
            ["-l", "99999999999+1"],
            "-l: found '99999999999+1', expected TOKEN_ID+BIAS or TOKEN_ID-BIAS with a finite BIAS, such as 15043+1",
        ),
        (["-C", "0"], "-C: found '0', expected a hexadecimal mask with at least one bit set, such as 0xF"),
        (["-C", "xyz"], "-C: found 'xyz', expected a hexadecimal mask with at least one bit set, such as 0xF"),
        (["-Cr", "3-1"], "-Cr: found '3-1', expected lo-hi with lo at most hi, such as 0-3"),
        (
            ["--override-kv", "a=float:nan"],
            "--override-kv: found 'a=float:nan', expected KEY=TYPE:VALUE with TYPE one of int, float, bool, str "
            "with a finite value",
        ),
        (
            ["--rope-scale", "2", "--rope-freq-scale", "0.5"],
            "--rope-scale and --rope-freq-scale: found both, expected one (either is 1 / the other)",
        ),
        (
            ["-a", "a\nb", "--host", ""],
            "--host: found '', expected an address or a host name that is not empty",
        ),
        (
            ["--chat-template-kwargs", "[1]"],
            '--chat-template-kwargs: found \'[1]\', expected a JSON object, such as {"key": "value"}',
        ),
        (
            ["--chat-template-kwargs", '{"enable_thinking": "no"}'],
            '--chat-template-kwargs: found \'{"enable_thinking": "no"}\', expected a JSON object whose '
            '"enable_thinking" is true or false',
        ),
        (["--reasoning", "maybe"], "--reasoning: found 'maybe', expected on, off or auto"),
        (["--reasoning-budget", "-2"], "--reasoning-budget: found '-2', expected an integer from -1 to 2147483647"),
        # not there yet
        (
            ["--no-jinja"],
            "--no-jinja is not available in this version of llamabox: chat templates are always rendered as Jinja here",
        ),
        (
            ["--images"],
            "--images is not available in this version of llamabox: images arrive in a later release",
        ),
        (
            ["--spec-draft-p-split", "0.1"],
            "--spec-draft-p-split is an option of llama-server that llamabox does not have: "
            "a draft is one sequence of tokens, it has no branches",
        ),
        (
            ["--spec_ngram_mod_n_min=3"],
            "--spec_ngram_mod_n_min is an option of llama-server that llamabox does not have: "
            "of the kinds of n-gram lookup, llamabox has ngram-cache (--lookup-ngram-min)",
        ),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_mistakes_on_the_command_line(argv, message):
    with pytest.raises(OptionError) as caught:
        parse_options(argv, {})
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "text, reason",
    [
        ("a=int:x", " ('x' is no int)"),
        ("a=bool:1", " (the value is '1', expected true or false)"),
        ("a=int:9223372036854775808", " (9223372036854775808 does not fit 64 bits)"),
        ("a" * 128 + "=str:x", " (the key is longer than 127 bytes)"),
        ("a=real:1", ""),
        ("a", ""),
    ],
)
def test_an_override_that_is_none_says_what_is_wrong_with_it(text, reason):
    with pytest.raises(OptionError) as caught:
        parse_options(["--override-kv", text], {})
    assert str(caught.value).endswith(f"expected KEY=TYPE:VALUE with TYPE one of int, float, bool, str{reason}")


NASTY = [
    "",
    " ",
    "nan",
    "-inf",
    "1e400",
    "-1",
    "9" * 500,
    "0x10",
    "１２",
    "1_0",
    "null",
    "[]",
    "{{",
    "a\0b",
    "\udce9",
    ",",
    "=",
]


@pytest.mark.parametrize("option", [o for o in ALL_OPTIONS.options if o.parse], ids=lambda option: option.name)
def test_whatever_the_value_the_only_error_is_one_line_that_names_the_flag(option):
    for text in NASTY:
        for argv in (
            [f"{option.name}={text}", *[text] * (len(option.parse) - 1)],
            [option.name, *[text] * len(option.parse)],
        ):
            try:
                parse_options(argv, {})
            except OptionError as error:
                assert str(error).startswith(option.name) and "\n" not in str(error)
                assert len(str(error)) < 500


REFUSED = [
    option
    for option in ALL_OPTIONS.options
    if option.later and not option.now and option.default is not option.const and option.name != "--image-vae-tiling"
]
SAMPLES = ["2", "0", "1", "none", "distribute", "euler", "gits", "1024", "0-1", "x", "768"]


def sample_values(option):
    """Texts for the option's values that parse to something else than its default."""
    if option.is_switch:
        return []
    for text in SAMPLES:
        try:
            parsed = [parse(text) for parse in option.parse]
        except ValueError:
            continue
        if len(parsed) > 1 or parsed[0] != option.default:
            return [text] * len(option.parse)
    raise AssertionError(f"no sample for {option.name}")


@pytest.mark.parametrize("option", REFUSED, ids=lambda option: option.name)
def test_what_arrives_later_is_refused_by_name_and_never_ignored(option):
    for flag in option.flags:
        with pytest.raises(OptionError) as caught:
            parse_options([flag, *sample_values(option)], {})
        assert str(caught.value) == f"{flag} is not available in this version of llamabox: {option.later}"


def test_at_least_the_whole_groups_that_arrive_later_are_refused():
    titles = {group.title: group for group in ALL_OPTIONS.groups}
    for title in ("server/images", "rpc-server"):
        assert all(option.later for option in titles[title].options)


@pytest.mark.parametrize(
    "name, text, dest, value",
    [
        ("LLAMA_ARG_PORT", "9000", "port", 9000),
        ("LLAMA_ARG_MODEL", "x.gguf", "model", "x.gguf"),
        ("LLAMA_ARG_N_PREDICT", "-2", "n_predict", -2),
        ("LLAMA_ARG_CACHE_PROMPT", "0", "cache_prompt", False),
        ("LLAMA_ARG_CACHE_PROMPT", "1", "cache_prompt", True),
        ("LLAMA_ARG_CONT_BATCHING", "0", "cont_batching", False),
        ("LLAMA_ARG_CONT_BATCHING", "off", "cont_batching", False),
        ("LLAMA_ARG_FLASH_ATTN", "1", "flash_attn", True),
        ("LLAMA_ARG_FLASH_ATTN", "TRUE", "flash_attn", True),
        ("LLAMA_ARG_METRICS", "0", "metrics", False),
        ("LLAMA_LOG_VERBOSITY", "3", "verbosity", 3),
        ("LLAMA_ARG_CHAT_TEMPLATE_KWARGS", '{"a": 1}', "chat_template_kwargs", {"a": 1}),
        ("LLAMA_ARG_THINK", "deepseek", "reasoning_format", "deepseek"),
        ("LLAMA_ARG_REASONING", "on", "reasoning", True),
        ("LLAMA_ARG_REASONING", "off", "reasoning", False),
        ("LLAMA_ARG_REASONING_EFFORT", "high", "reasoning_effort", "high"),
        ("LLAMA_ARG_REASONING_PRESERVE", "0", "reasoning_preserve", False),
        ("LLAMA_ARG_THINK_BUDGET", "7", "reasoning_budget", 7),
        ("LLAMA_ARG_THINK_BUDGET_MESSAGE", "Enough.", "reasoning_budget_message", "Enough."),
        ("LLAMA_ARG_SKIP_CHAT_PARSING", "1", "skip_chat_parsing", True),
        ("LLAMA_ARG_PREFILL_ASSISTANT", "0", "prefill_assistant", False),
        ("LLAMA_ARG_JINJA", "1", "jinja", True),
    ],
)
def test_environment(name, text, dest, value):
    options = parse_options([], {name: text})
    assert getattr(options, dest) == value and type(getattr(options, dest)) is type(value)
    assert options.given(dest) and options.source(dest) == name


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("LLAMA_ARG_PORT", "high", "LLAMA_ARG_PORT: found 'high', expected an integer from 0 to 65535"),
        (
            "LLAMA_ARG_FLASH_ATTN",
            "yes",
            "LLAMA_ARG_FLASH_ATTN: found 'yes', expected on, off or auto",
        ),
        (
            "LLAMA_ARG_SPEC_DRAFT_P_MIN",
            "2",
            "LLAMA_ARG_SPEC_DRAFT_P_MIN: found '2', expected a number from 0 to 1",
        ),
    ],
)
def test_mistakes_in_the_environment_name_the_variable(name, text, message):
    with pytest.raises(OptionError) as caught:
        parse_options([], {name: text})
    assert str(caught.value) == message


def test_the_command_line_wins_over_the_environment():
    options = parse_options(["--port", "1"], {"LLAMA_ARG_PORT": "2"})
    assert options.port == 1 and options.source("port") == "--port"
    assert parse_options(["--port", "1"], {"LLAMA_ARG_PORT": "bad"}).port == 1
    assert parse_options(["-nocb"], {"LLAMA_ARG_CONT_BATCHING": "1"}).cont_batching is False


def test_an_empty_variable_counts_as_unset_and_others_are_not_read():
    options = parse_options([], {"LLAMA_ARG_PORT": "", "LLAMA_ARG_UNHEARD_OF": "1", "PORT": "x"})
    assert options.port == 8080 and not options.given("port")


@pytest.mark.parametrize(
    "argv, action",
    [
        (["-h"], "help"),
        (["--usage"], "help"),
        (["--version"], "version"),
        (["--system-info"], "system_info"),
        (["-c", "1", "--list-devices", "--nonsense"], "list_devices"),
    ],
)
def test_actions_end_parsing(argv, action):
    assert parse_options(argv, {"LLAMA_ARG_PORT": "bad"}).action == action


def test_options_are_read_only_and_replace_makes_a_copy():
    options = parse_options(["-c", "1"], {})
    with pytest.raises(AttributeError, match="read-only"):
        options.ctx_size = 2
    copy = options.replace(ctx_size=2, model="m")
    assert (copy.ctx_size, copy.model, options.ctx_size, options.model) == (2, "m", 1, None)
    assert copy.given("ctx_size") and not copy.given("model")
    with pytest.raises(AttributeError, match="no option is called 'nope'"):
        options.replace(nope=1)
    with pytest.raises(AttributeError, match="no option is called 'nope'"):
        _ = options.nope


def test_a_command_with_some_of_the_options_refuses_the_others_by_name():
    table = ALL_OPTIONS.only("ctx_size", "temperature")
    assert parse_options(["-c", "9"], {}, table).ctx_size == 9
    assert parse_options(["-c", "9", "a", "b"], {}, table, max_arguments=2).arguments == ("a", "b")
    with pytest.raises(OptionError, match="^--port is an option of another command"):
        parse_options(["--port", "1"], {}, table)
    with pytest.raises(OptionError, match="^unexpected argument 'c'"):
        parse_options(["a", "b", "c"], {}, table, max_arguments=2)
