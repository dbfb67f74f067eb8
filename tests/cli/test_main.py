"""The programs as processes and as functions: exit codes, one-line errors, start-up that loads little."""

import subprocess
import sys

import pytest

from llamabox import __version__
from llamabox.cli import failures, main
from llamabox.cli.options import OptionError
from llamabox.gguf import GGUFError


def python(*words, code=None):
    command = [sys.executable, "-m", "llamabox", *words] if code is None else [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)


def test_python_m_llamabox_version():
    done = python("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"llamabox {__version__}\n", "")


def test_a_mistake_is_one_line_and_exit_code_2():
    done = python("serve", "-c", "many")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: -c: found 'many', expected an integer from 0 to 2147483647\n"


def test_a_broken_pipe_ends_quietly():
    command = f"{sys.executable} -m llamabox serve --help | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert done.stdout.splitlines()[0] == "usage: llamabox serve [options]"
    assert done.stdout.splitlines()[1] in ("0", "141")  # 0: head left after everything had been written


def test_help_loads_neither_numpy_nor_anything_heavy():
    code = (
        "import sys; from llamabox.cli.main import main; main(['serve', '--help'])\n"
        "heavy = {'numpy', 'numba', 'falcon', 'jinja2', 'tokenizers', 'waitress', 'msgspec', 'rich'}\n"
        "heavy = heavy & set(sys.modules)\n"
        "sys.exit(f'loaded: {sorted(heavy)}' if heavy else 0)"
    )
    done = python(code=code)
    assert done.returncode == 0, done.stderr


def test_import_llamabox_loads_numpy_at_most():
    code = (
        "import sys, llamabox\n"
        "heavy = {'numba', 'falcon', 'jinja2', 'tokenizers', 'waitress', 'torch', 'rich'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {sorted(heavy)}' if heavy else 0)"
    )
    done = python(code=code)
    assert done.returncode == 0, done.stderr


def test_every_command_has_its_module_and_a_main():
    for name in main.COMMANDS:
        assert callable(main._module(name).main), name


@pytest.mark.parametrize("name", main.COMMANDS)
def test_every_command_has_a_help(name, capsys):
    try:
        code = main.main([name, "--help"])
    except SystemExit as done:  # argparse
        code = done.code
    assert code == 0
    out = capsys.readouterr().out
    assert out.startswith("usage: llamabox " + name)


def test_usage_lists_the_commands(capsys):
    assert main.main(["--help"]) == 0
    out, err = capsys.readouterr()
    assert err == "" and all(f"\n  {name} " in out for name in main.COMMANDS)
    assert main.main([]) == 2
    assert capsys.readouterr() == ("", out)


@pytest.mark.parametrize(
    "argv, message",
    [
        (
            ["server"],
            "command: found 'server', expected one of " + ", ".join(main.COMMANDS),
        ),
        (
            ["--port", "80"],
            "--port is an option of another command of llamabox, not of this one; --help lists those of this one",
        ),
        (["--unheard-of"], "unknown option '--unheard-of'; --help lists all options"),
        (["devices", "all"], "unexpected argument 'all'; options start with -"),
    ],
)
def test_mistakes(argv, message, capsys):
    assert main.main(argv) == 2
    assert capsys.readouterr() == ("", f"error: {message}\n")


def test_llama_box_is_serve(capsys, monkeypatch):
    assert main.llama_box(["--help"]) == 0
    assert capsys.readouterr().out.startswith("usage: llama-box [options]\n\ngeneral:\n")
    monkeypatch.setattr(sys, "argv", ["llama-box", "--version"])
    assert main.llama_box() == 0
    assert capsys.readouterr().out == f"llamabox {__version__}\n"


def test_system_info(capsys):
    assert main.main(["serve", "--system-info"]) == 0
    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if not line.startswith("cpu f"))
    assert rows["llamabox"] == __version__
    assert rows["python"].startswith(".".join(map(str, sys.version_info[:3])))
    assert {"numpy", "numba", "cores", "cpu"} <= rows.keys()
    assert set(rows["backends"].split(", ")) >= {"cpu", "numpy"}


def failing(error):
    def command(argv):
        raise error

    return command


@pytest.mark.parametrize(
    "error, line",
    [
        (OptionError("--x: wrong"), "--x: wrong"),
        (GGUFError("a.gguf: two\nlines"), "a.gguf: two lines"),
        (FileNotFoundError(2, "No such file or directory", "a.gguf"), "a.gguf: No such file or directory"),
        (OSError("cannot listen on port 80"), "cannot listen on port 80"),
        (
            ModuleNotFoundError("No module named 'safetensors'", name="safetensors"),
            "the Python package 'safetensors' is not installed: pip install 'llamabox[convert]' has all optional ones",
        ),
    ],
)
def test_failures_of_users_are_one_line(error, line, capsys):
    assert failures.run(failing(error), []) == 2
    assert capsys.readouterr() == ("", f"error: {line}\n")


@pytest.mark.parametrize(
    "error", [ValueError("bug"), RuntimeError("bug"), KeyError("bug"), ImportError("no f", name="llamabox.x")]
)
def test_bugs_keep_their_traceback(error):
    with pytest.raises(type(error)):
        failures.run(failing(error), [])


def test_ctrl_c_is_quiet(capsys):
    assert failures.run(failing(KeyboardInterrupt()), []) == 130
    assert capsys.readouterr() == ("", "")


def test_with_v_the_log_says_where_it_failed(capsys):
    from llamabox.cli.logs import log_as_asked
    from llamabox.cli.options import parse_options

    log_as_asked(parse_options([]), 1)
    assert failures.run(failing(OptionError("wrong")), []) == 2
    err = capsys.readouterr().err
    assert "Traceback" in err and err.endswith("error: wrong\n")
