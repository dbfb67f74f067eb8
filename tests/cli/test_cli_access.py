"""Flags about keys and origins -> what the server gets."""

import pytest

from llamabox.cli.access import access
from llamabox.cli.options import OptionError, parse_options
from llamabox.cli.serve import server_settings
from llamabox.server.access import Access, Cors
from llamabox.server.endpoints import Endpoints


def test_by_default_everybody_may_ask_and_no_other_origin():
    assert access(parse_options([], {})) == Access() and Access().cors.origins == ()


def test_keys_come_from_the_flag_the_variable_and_a_file(tmp_path):
    file = tmp_path / "keys"
    file.write_text("# mine\nthree\n\n  four \n#five\n")
    assert access(parse_options(["--api-key", "one,two"], {})).keys == ("one", "two")
    assert access(parse_options([], {"LLAMA_API_KEY": "x"})).keys == ("x",)
    assert access(parse_options(["--api-key-file", str(file)], {})).keys == ("three", "four")
    assert access(parse_options([], {"LLAMA_ARG_API_KEY_FILE": str(file)})).keys == ("three", "four")
    both = access(parse_options(["--api-key", "one", "--api-key-file", str(file)], {}))
    assert both.keys == ("one", "three", "four")


@pytest.mark.parametrize("content", [None, b"", b"# only this\n", b"\xff\xfe"])
def test_a_file_without_keys_is_an_error_not_an_open_door(tmp_path, content):
    file = tmp_path / "keys"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(OptionError, match="--api-key-file"):
        access(parse_options(["--api-key-file", str(file)], {}))


def test_an_empty_key_is_refused():
    with pytest.raises(OptionError, match="--api-key"):
        parse_options(["--api-key", "a,"], {})


def test_cors_flags_and_variables():
    argv = ["--cors-origins", "http://a, http://b", "--cors-methods", "GET", "--cors-headers", "X-A,X-B"]
    wanted = Cors(("http://a", "http://b"), ("GET",), ("X-A", "X-B"), False)
    assert access(parse_options([*argv, "--no-cors-credentials"], {})).cors == wanted
    env = {
        "LLAMA_ARG_CORS_ORIGINS": "http://a,http://b",
        "LLAMA_ARG_CORS_METHODS": "GET",
        "LLAMA_ARG_CORS_HEADERS": "X-A,X-B",
        "LLAMA_ARG_CORS_CREDENTIALS": "0",
    }
    assert access(parse_options([], env)).cors == wanted
    assert access(parse_options(["--cors-credentials"], env)).cors.credentials is True


def test_switches_of_endpoints_reach_the_server():
    assert server_settings(parse_options([], {})).endpoints == Endpoints()
    argv = ["--metrics", "--infill", "--spm-infill", "--props"]
    assert server_settings(parse_options(argv, {})).endpoints == Endpoints(True, True, True, True)
    env = {"LLAMA_ARG_METRICS": "1", "LLAMA_ARG_ENDPOINT_PROPS": "true"}
    assert server_settings(parse_options([], env)).endpoints == Endpoints(metrics=True, props=True)


def test_the_ping_interval_reaches_the_server():
    assert server_settings(parse_options([], {})).defaults.ping_s == 30
    assert server_settings(parse_options(["--sse-ping-interval", "-1"], {})).defaults.ping_s == -1
    assert server_settings(parse_options([], {"LLAMA_ARG_SSE_PING_INTERVAL": "7"})).defaults.ping_s == 7
