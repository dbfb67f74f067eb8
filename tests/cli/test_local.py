"""From options to the machine and the model: devices, CPUs, -m, load and sampling arguments, the server's settings."""

import logging
import os
from dataclasses import asdict

import pytest

from llamabox.assets import tiny_chat_path
from llamabox.cli.devices import check_devices
from llamabox.cli.main import main
from llamabox.cli.model import LOCAL, load_arguments, model_path, rope_arguments, sampling_arguments
from llamabox.cli.options import ALL_OPTIONS, OptionError, parse_options
from llamabox.cli.serve import run_serve, server_settings
from llamabox.engine.request import SamplingParams
from llamabox.kernels import Threads


def options(*argv, **env):
    return parse_options(argv, env)


def test_devices_names_the_cpu(capsys):
    assert main(["devices"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("available devices:\n  CPU: ") and f"{len(os.sched_getaffinity(0))} cores" in out
    assert main(["--list-devices"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "available devices:"


@pytest.mark.parametrize("name", ["CUDA0", "none,Vulkan1"])
def test_an_absent_device_is_an_error(name):
    absent = name.split(",")[-1]
    with pytest.raises(OptionError, match=f"^-dev: found '{absent}', expected none or a device that is present: CPU$"):
        check_devices(options("-dev", name))
    with pytest.raises(OptionError, match=f"^LLAMA_ARG_DEVICE: found '{absent}'"):
        check_devices(options(LLAMA_ARG_DEVICE=name))


def test_devices_that_are_there_pass(caplog):
    check_devices(options("-dev", "none"))
    check_devices(options("-dev", "CPU"))
    check_devices(options())
    assert caplog.records == []


def test_one_warning_for_all_gpu_options(caplog):
    check_devices(options("-ngl", "99", "-mg", "0", "-sm", "row", "-ts", "3,1", "-nkvo"))
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, "no GPU is present: -ngl, -mg, -sm, -ts, -nkvo are without effect")
    ]
    caplog.clear()
    check_devices(options(LLAMA_ARG_N_GPU_LAYERS="5"))
    assert caplog.messages == ["no GPU is present: LLAMA_ARG_N_GPU_LAYERS is without effect"]


def test_the_model_is_the_one_named_or_the_shipped_one(files):
    assert str(model_path(options("-m", files.model))) == files.model
    with pytest.raises(OptionError, match="^-m /no/such.gguf: found no such file, expected a GGUF file$"):
        model_path(options("-m", "/no/such.gguf"))
    with pytest.raises(OptionError, match=f"^LLAMA_ARG_MODEL {files.folder}: found a folder, expected a GGUF file$"):
        model_path(options(LLAMA_ARG_MODEL=files.folder))
    with pytest.raises(OptionError, match="^-m /dev/null: found no regular file, expected a GGUF file$"):
        model_path(options("-m", "/dev/null"))


def test_without_m_the_path_is_that_of_the_shipped_model(monkeypatch, tmp_path):
    monkeypatch.setattr("llamabox.assets.FOLDER", tmp_path)
    with pytest.raises(FileNotFoundError, match="missing from this installation"):
        model_path(options())
    (tmp_path / "tiny-chat.gguf").touch()
    assert model_path(options()) == tiny_chat_path() == tmp_path / "tiny-chat.gguf"


@pytest.mark.parametrize("flag, dest", [("--lora", "lora"), ("--control-vector", "control_vectors")])
def test_adapters_keep_their_order_whatever_their_form(flag, dest):
    words = [flag, "a.gguf", f"{flag}-scaled", "b.gguf", "-0.5", flag, 'c.gguf,"d,e.gguf"']
    words += [f"{flag}-scaled", "f.gguf:2", f"{flag}-scaled=g:h.gguf:3,i.gguf:.5", f"{flag}-scaled", "j:4", "5"]
    expected = [("a.gguf", 1.0), ("b.gguf", -0.5), ("c.gguf", 1.0), ("d,e.gguf", 1.0), ("f.gguf", 2.0)]
    expected += [("g:h.gguf", 3.0), ("i.gguf", 0.5), ("j:4", 5.0)]
    assert load_arguments(options(*words))[dest] == tuple(expected)
    layers = load_arguments(options("--control-vector-layer-range", "2", "5"))
    assert layers["control_vector_layers"] == (2, 5)
    assert server_settings(options("--lora-init-without-apply")).lora_init_without_apply


def test_load_arguments():
    assert load_arguments(options()) == {
        "backend": "cpu",
        "cache_type_k": "f16",
        "cache_type_v": "f16",
        "mmap": True,
        "mlock": False,
        "overrides": (),
    }
    argv = "--backend numpy -ctk f32 -ctv bf16 --no-mmap --mlock -t 3 --override-kv a=int:1 --rope-freq-base 5e5"
    assert load_arguments(options(*argv.split())) == {
        "backend": "numpy",
        "cache_type_k": "f32",
        "cache_type_v": "bf16",
        "mmap": False,
        "mlock": True,
        "overrides": ("a=int:1",),
        "threads": Threads(3),
        "threads_batch": Threads(3),
        "rope_freq_base": 500000.0,
    }


@pytest.mark.parametrize(
    "argv, arguments",
    [
        ("", {}),
        ("--rope-scale 4", {"rope_freq_scale": 0.25}),
        ("--rope-freq-scale 0.5", {"rope_freq_scale": 0.5}),
        (
            "--rope-scaling yarn --yarn-orig-ctx 4096 --yarn-ext-factor 0 --yarn-attn-factor 1.5",
            {"rope_scaling": "yarn", "yarn_orig_ctx": 4096, "yarn_ext_factor": 0.0, "yarn_attn_factor": 1.5},
        ),
        ("--yarn-beta-fast 16 --yarn-beta-slow 2", {"yarn_beta_fast": 16.0, "yarn_beta_slow": 2.0}),
        ("--yarn-orig-ctx 0 --yarn-ext-factor -1", {}),  # the values that ask for the model's own
    ],
)
def test_rope_arguments(argv, arguments):
    from llamabox.models.metadata import ModelOptions

    assert rope_arguments(options(*argv.split())) == arguments
    ModelOptions(**arguments)


def test_the_defaults_of_the_options_are_those_of_the_engine():
    ours = asdict(SamplingParams(**sampling_arguments(options())))
    assert ours == asdict(SamplingParams()) | {"seed": -1}


def test_sampling_arguments_follow_the_options():
    argv = "--temp 0.1 --top-k 5 --typical 0.5 --mirostat 2 --mirostat-lr 0.2 --mirostat-ent 3 -l 5+1 -s 7"
    got = sampling_arguments(options(*argv.split(), "--sampling-seq", "kt"))
    assert (
        got
        | {
            "temperature": 0.1,
            "top_k": 5,
            "typical_p": 0.5,
            "mirostat": 2,
            "mirostat_eta": 0.2,
            "mirostat_tau": 3.0,
            "logit_bias": ((5, 1.0),),
            "seed": 7,
            "samplers": ("top_k", "temperature"),
        }
        == got
    )


def test_chat_and_complete_take_every_option_they_name():
    assert set(ALL_OPTIONS.only(*LOCAL).defaults) == set(LOCAL)


def test_server_settings(files):
    settings = server_settings(options("-m", files.model))
    assert (settings.path, settings.alias, settings.host, settings.port) == (files.model, None, "127.0.0.1", 8080)
    assert (settings.n_ctx, settings.n_parallel, settings.n_batch, settings.n_ubatch) == (4096, 1, 2048, 512)
    assert (settings.timeout_s, settings.idle_s, settings.keepalive_s, settings.n_threads) == (600, 60, 15, -1)
    assert settings.continuous and settings.warmup and not settings.rope_changed
    assert settings.defaults.cache_prompt and not settings.defaults.special and settings.defaults.n_predict == -1
    argv = (
        "-a nick --host ::1 --port 0 -to 5 --conn-idle 6 --conn-keepalive 7 --threads-http 8 -c 512 -np 4 -b 64 -ub 32 "
        "-nocb --no-warmup --no-cache-prompt -sp -n 9 --temp 0 --rope-scale 2 -ctk f32 "
        "--chat-template chatml --chat-template-file t.jinja"
    )
    settings = server_settings(options("-m", files.model, *argv.split()))
    assert (settings.alias, settings.host, settings.port, settings.n_threads) == ("nick", "::1", 0, 8)
    assert (settings.timeout_s, settings.idle_s, settings.keepalive_s) == (5, 6, 7)
    assert (settings.n_ctx, settings.n_parallel, settings.n_batch, settings.n_ubatch) == (512, 4, 64, 32)
    assert not settings.continuous and not settings.warmup and settings.rope_changed
    assert not settings.defaults.cache_prompt and settings.defaults.special and settings.defaults.n_predict == 9
    assert settings.defaults.sampling.temperature == 0
    assert settings.load["cache_type_k"] == "f32" and settings.load["rope_freq_scale"] == 0.5
    assert (settings.chat_template, settings.chat_template_file) == ("chatml", "t.jinja")


def test_chat_settings(files):
    chat = server_settings(options("-m", files.model)).defaults.chat
    assert (chat.template_kwargs, chat.enable_thinking, chat.reasoning_format) == ({}, None, "auto")
    assert (chat.reasoning_budget, chat.reasoning_budget_message, chat.prefill, chat.parse) == (-1, "", True, True)
    argv = ["--chat-template-kwargs", '{"a": [1]}', "--reasoning-format", "none", "--reasoning", "off"]
    argv += ["--reasoning-effort", "high", "--reasoning-budget", "0", "--reasoning-budget-message", "Enough."]
    argv += ["--no-reasoning-preserve", "--skip-chat-parsing", "--no-prefill-assistant"]
    chat = server_settings(options("-m", files.model, *argv)).defaults.chat
    assert chat.template_kwargs == {"a": [1], "reasoning_effort": "high", "preserve_reasoning": False}
    assert (chat.enable_thinking, chat.reasoning_format) == (False, "none")
    assert (chat.reasoning_budget, chat.reasoning_budget_message, chat.prefill, chat.parse) == (
        0,
        "Enough.",
        False,
        False,
    )
    argv = ["-rea", "on", "--reasoning-preserve", "--reasoning-effort", "default", "--no-skip-chat-parsing"]
    chat = server_settings(options("-m", files.model, *argv, "--prefill-assistant")).defaults.chat
    assert chat.enable_thinking is True and chat.prefill and chat.parse
    assert chat.template_kwargs == {"preserve_reasoning": True}


class Recorder:
    """Options that remember which of them were read."""

    def __init__(self, options):
        self.options, self.read = options, set()

    def __getattr__(self, name):
        self.read.add(name)
        return getattr(self.options, name)

    def given(self, dest):
        self.read.add(dest)
        return self.options.given(dest)


WITHOUT_EFFECT = {
    "load_mode": "parse_options applies it to --mmap and --mlock",
    "escape": "parse_options applies it to --dry-sequence-breaker",
    "action": "main() has done it",
    "hf_token": "read beside -hf, which takes the place of -m: see test_hub.py",
    "offline": "likewise",
}


def test_serve_reads_every_option_that_it_accepts(files, monkeypatch):
    monkeypatch.setattr("llamabox.server.serve.serve", lambda settings: 0)
    works = {o.dest for o in ALL_OPTIONS.options if not (o.later or o.refused) or o.now}
    recorder = Recorder(options("-m", files.model, "-md", files.model, "--lookup-ngram-min", "1"))
    assert run_serve(recorder) == 0
    assert works - recorder.read == WITHOUT_EFFECT.keys()
