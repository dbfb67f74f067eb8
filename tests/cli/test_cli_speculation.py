"""The options of speculative decoding: what the server is told, and combinations that make no sense."""

import pytest

from llamabox.cli.devices import check_devices
from llamabox.cli.options import OptionError, parse_options
from llamabox.cli.serve import server_settings
from llamabox.cli.speculation import speculation_settings
from llamabox.engine import SpeculativeParams


@pytest.fixture
def draft(tmp_path):
    (tmp_path / "draft.gguf").write_bytes(b"GGUF")
    return str(tmp_path / "draft.gguf")


def settings(*argv, **env):
    return speculation_settings(parse_options(argv, env))


def bounds(*argv, **env):
    """How long drafts may be, as the server is told."""
    return server_settings(parse_options(argv, env)).defaults.speculative


def test_no_drafts_unless_they_are_asked_for(draft):
    assert settings() is None
    assert settings("--draft-max", "8") is None
    assert settings("--lookup-ngram-min", "0") is None
    assert settings("--spec-type", "none") is None


def test_the_defaults_are_those_of_llama_box(draft):
    s = settings("-md", draft)
    assert (s.path, s.ngram_min) == (draft, 0)
    assert bounds("-md", draft) == SpeculativeParams(16, 5, 0.9)
    assert (s.load["cache_type_k"], s.load["cache_type_v"]) == ("f16", "f16")


@pytest.mark.parametrize(
    ("argv", "field", "value"),
    [
        (["--draft-max", "8"], "n_max", 8),
        (["--draft", "7"], "n_max", 7),
        (["--draft-n", "6"], "n_max", 6),
        (["--spec-draft-n-max", "5"], "n_max", 5),
        (["--draft-min", "2"], "n_min", 2),
        (["--draft-n-min", "3"], "n_min", 3),
        (["--spec-draft-n-min", "4"], "n_min", 4),
        (["--draft-p-min", "0.5"], "p_min", 0.5),
        (["--spec-draft-p-min", "0"], "p_min", 0.0),
    ],
)
def test_bounds_of_a_draft(argv, field, value):
    assert getattr(bounds(), field) != value
    assert getattr(bounds(*argv), field) == value


@pytest.mark.parametrize(
    ("argv", "field", "value"),
    [
        (["--lookup-ngram-min", "2"], "ngram_min", 2),
        (["--lookup-ngram-min", "1", "-lcs", "s"], "static", "s"),
        (["--lookup-ngram-min", "1", "--lookup-cache-dynamic", "d"], "dynamic", "d"),
        (["--spec-type", "draft-simple,ngram-cache"], "ngram_min", 1),
        (["--spec-type", "ngram-cache,draft-simple", "--lookup-ngram-min", "3"], "ngram_min", 3),
    ],
)
def test_options_of_a_draft(draft, argv, field, value):
    assert getattr(settings("-md", draft), field) != value
    assert getattr(settings("-md", draft, *argv), field) == value


def test_options_of_loading_the_draft_model(draft):
    s = settings(
        "--spec-draft-model", draft, "-ctkd", "f32", "--spec-draft-type-v", "bf16", "--no-mmap", "-ctk", "q8_0"
    )
    assert (s.path, s.load["cache_type_k"], s.load["cache_type_v"], s.load["mmap"]) == (draft, "f32", "bf16", False)


def test_environment(draft):
    env = {"LLAMA_ARG_MODEL_DRAFT": draft, "LLAMA_ARG_DRAFT_MAX": "9", "LLAMA_ARG_SPEC_DRAFT_N_MIN": "1"}
    s = settings(**env)
    assert s.path == draft
    assert bounds(LLAMA_ARG_DRAFT_P_MIN="0.25", **env) == SpeculativeParams(9, 1, 0.25)
    env = {
        "LLAMA_ARG_LOOKUP_NGRAM_MIN": "2",
        "LLAMA_ARG_LOOKUP_CACHE_STATIC": "s",
        "LLAMA_ARG_LOOKUP_CACHE_DYNAMIC": "d",
    }
    s = settings(**env)
    assert (s.path, s.ngram_min, s.static, s.dynamic) == (None, 2, "s", "d")
    assert settings(LLAMA_ARG_SPEC_TYPE="ngram-cache").ngram_min == 1


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["-md", "nowhere.gguf"], "-md nowhere.gguf: found no such file, expected a GGUF file"),
        (["-lcs", "x"], "-lcs: without effect, it needs --lookup-ngram-min of 1 or more"),
        (["-lcd", "x", "--lookup-ngram-min", "0"], "-lcd: without effect, it needs --lookup-ngram-min of 1 or more"),
        (["-ctkd", "f32"], "-ctkd: without effect, it needs -md"),
        (["--spec-type", "draft-simple"], "--spec-type draft-simple: found no draft model, expected -md"),
        (["--spec-type", "ngram-cache", "-md", "x"], "-md: without effect, it needs draft-simple in --spec-type"),
        (
            ["--spec-type", "none", "--lookup-ngram-min", "1"],
            "--lookup-ngram-min: without effect, it needs ngram-cache in --spec-type",
        ),
        (
            ["--spec-type", "draft-mtp"],
            "--spec-type: found 'draft-mtp', expected kinds that llamabox has: none, draft-simple, ngram-cache",
        ),
        (
            ["--spec-type", "none,draft-simple"],
            "--spec-type: found 'none,draft-simple', expected none, or draft-simple, ngram-cache or both, separated by "
            "commas",
        ),
        (["--lookup-ngram-min", "5"], "--lookup-ngram-min: found '5', expected an integer from 0 to 4"),
        (["--draft-max", "-1"], "--draft-max: found '-1', expected an integer from 0 to 2147483647"),
        (["--draft-p-min", "1.5"], "--draft-p-min: found '1.5', expected a number from 0 to 1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes(argv, message):
    with pytest.raises(OptionError) as caught:
        settings(*argv)
    assert str(caught.value) == message


def test_devices_of_the_draft_model(caplog):
    check_devices(parse_options(["-devd", "none"]))
    with pytest.raises(OptionError, match="-devd: found 'CUDA0', expected none or a device that is present: CPU"):
        check_devices(parse_options(["-devd", "CUDA0"]))
    assert caplog.text == ""
    check_devices(parse_options(["-ngld", "9"]))
    assert "no GPU is present: -ngld is without effect" in caplog.text
