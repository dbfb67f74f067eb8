"""Files that ship with the package."""

from pathlib import Path

FOLDER, TINY_CHAT = Path(__file__).parent, "tiny-chat.gguf"


def tiny_chat_path() -> Path:
    """The tiny chat model, served when no model is named. Errors: FileNotFoundError when it was not installed."""
    path = FOLDER / TINY_CHAT
    if not path.is_file():
        raise FileNotFoundError(2, "the model that ships with llamabox is missing from this installation", str(path))
    return path
