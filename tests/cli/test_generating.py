"""`llamabox complete` and `llamabox chat` on a fake model."""

import builtins
import sys
from io import BytesIO, TextIOWrapper
from types import SimpleNamespace

import pytest

from llamabox.cli import chat, complete
from llamabox.cli.main import main


@pytest.fixture(autouse=True)
def loaded(monkeypatch, fake_model):
    """Both commands load the fake model."""
    for module in (chat, complete):
        monkeypatch.setattr(module, "load_from_options", lambda options: fake_model)
    fake_model.tokenizer = SimpleNamespace(encode=lambda text, **how: (text, how))
    fake_model.model = SimpleNamespace(file=SimpleNamespace(metadata={}))
    monkeypatch.setattr("llamabox.chat.resolve_template", lambda *words, **named: SimpleNamespace(render=said))


def said(messages):
    return "".join(f"<{message['role']}>{message['content']}" for message in messages)


def test_complete_prints_the_continuation(terminal, fake_model, capsys):
    assert main(["complete", "-n", "5", "--temp", "0", "-s", "3", "-sp", "Once upon"]) == 0
    assert capsys.readouterr() == ("Hello, world\n", "")
    assert fake_model.prompts == ["Once upon"] and fake_model.closed
    arguments = fake_model.arguments[0]
    assert (arguments["n_predict"], arguments["temperature"], arguments["seed"]) == (5, 0.0, 3)
    assert arguments["special"] is True and arguments["top_k"] == 40


@pytest.mark.parametrize(
    "argv, prompt",
    [([r"a\nb"], "a\nb"), (["--no-escape", r"a\nb"], r"a\nb"), ([r"a\q\\n"], r"a\q" + r"\n")],
)
def test_escapes_in_the_prompt(argv, prompt, terminal, fake_model):
    assert main(["complete", *argv]) == 0
    assert fake_model.prompts == [prompt]


def test_complete_reads_a_pipe(pipe, fake_model):
    pipe("from a pipe\\n")
    assert main(["complete"]) == 0
    assert fake_model.prompts == ["from a pipe\\n"]


def test_an_argument_leaves_standard_input_alone(pipe, fake_model):
    pipe("for somebody else")
    assert main(["complete", "argument"]) == 0
    assert fake_model.prompts == ["argument"] and sys.stdin.read() == "for somebody else"


def test_standard_input_may_be_closed(monkeypatch, fake_model):
    monkeypatch.setattr("sys.stdin", None)
    assert main(["complete", "x"]) == 0
    assert main(["complete"]) == 2
    assert main(["chat"]) == 2
    assert fake_model.prompts == ["x"]


def test_complete_without_a_prompt(pipe, terminal, capsys):
    assert main(["complete"]) == 2
    assert capsys.readouterr().err == "error: prompt: found none, expected a text as argument or on standard input\n"
    assert main(["complete", "two", "prompts"]) == 2
    assert capsys.readouterr().err == "error: unexpected argument 'prompts'; options start with -\n"


def test_bytes_that_are_no_text(monkeypatch, capsys, terminal):
    assert main(["complete", "caf\udce9"]) == 2
    assert capsys.readouterr().err == "error: prompt: found 'caf\\udce9', expected a text in UTF-8\n"
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(b"caf\xe9"), encoding="utf-8"))
    assert main(["complete"]) == 2
    assert capsys.readouterr().err == "error: standard input: found byte 0xe9, expected a text in UTF-8\n"


def test_ctrl_c_while_completing(terminal, fake_model, capsys):
    fake_model.answers = [["Hel", KeyboardInterrupt()]]
    assert main(["complete", "x"]) == 130
    assert capsys.readouterr() == ("Hel", "") and fake_model.closed


def test_chat_answers_one_message(terminal, fake_model, capsys):
    assert main(["chat", "--system", "Be kind.", "Hi"]) == 0
    assert capsys.readouterr().out == "Hello, world\n"
    assert fake_model.prompts == [("<system>Be kind.<user>Hi", {"add_special": True, "parse_special": True})]
    assert fake_model.closed


def test_chat_answers_a_pipe(pipe, fake_model):
    pipe("Hi\n")
    assert main(["chat"]) == 0
    assert fake_model.prompts[0][0] == "<user>Hi\n"


def test_chat_with_an_empty_pipe(pipe, capsys):
    pipe("")
    assert main(["chat"]) == 2
    assert capsys.readouterr().err == "error: message: found none, expected a text as argument or on standard input\n"


def typed(monkeypatch, *lines):
    """input() gives these lines, then the end of input; an exception among them is raised."""
    left = list(lines)

    def read(prompt=""):
        line = left.pop(0) if left else EOFError()
        if isinstance(line, BaseException):
            raise line
        return line

    monkeypatch.setattr(builtins, "input", read)


def prompts(fake_model):
    return [prompt for prompt, _ in fake_model.prompts]


def test_a_conversation_remembers_until_it_is_cleared(terminal, monkeypatch, fake_model, capsys):
    fake_model.answers = [["one"], ["two"], ["three"]]
    typed(monkeypatch, "a", "", "b", "/clear", "c", "/exit", "never")
    assert main(["chat", "--system", "S"]) == 0
    assert prompts(fake_model) == ["<system>S<user>a", "<system>S<user>a<assistant>one<user>b", "<system>S<user>c"]
    assert capsys.readouterr().out == f"{chat.HELP}\none\ntwo\nthree\n"


def test_ctrl_c_stops_an_answer_and_forgets_its_message(terminal, monkeypatch, fake_model):
    fake_model.answers = [["one"], ["tw", KeyboardInterrupt()], ["three"]]
    typed(monkeypatch, "a", "b", "c")
    assert main(["chat"]) == 0
    assert prompts(fake_model)[2] == "<user>a<assistant>one<user>c"


def test_ctrl_c_at_the_prompt_leaves(terminal, monkeypatch, fake_model):
    typed(monkeypatch, KeyboardInterrupt())
    assert main(["chat"]) == 130
    assert fake_model.closed


def test_an_unknown_slash_command_shows_the_help(terminal, monkeypatch, fake_model, capsys):
    typed(monkeypatch, "/what", "/quit")
    assert main(["chat"]) == 0
    assert capsys.readouterr().out == f"{chat.HELP}\n{chat.HELP}\n"
    assert fake_model.prompts == []


def test_chat_needs_a_vocabulary(terminal, fake_model, capsys):
    fake_model.tokenizer = None
    assert main(["chat", "Hi"]) == 2
    assert "has no vocabulary, so it cannot chat" in capsys.readouterr().err


def test_server_options_are_refused_by_chat(capsys):
    assert main(["chat", "--port", "80"]) == 2
    assert "--port is an option of another command" in capsys.readouterr().err
