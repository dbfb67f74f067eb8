"""llama.cpp's tokenizer, through the `llama_cpp` bindings (set LLAMA_CPP_LIB_PATH to use a build of your own)."""

import ctypes
from pathlib import Path

import llama_cpp as api

QUIET = api.llama_log_callback(lambda level, text, data: None)


class Peer:
    """A vocabulary opened by llama.cpp. overrides: string metadata that replace the file's."""

    def __init__(self, path: Path, overrides: dict[str, str] | None = None):
        api.llama_log_set(QUIET, None)
        params = api.llama_model_default_params()
        params.vocab_only = True
        self._overrides = override_array(overrides or {})
        params.kv_overrides = self._overrides
        self._model = api.llama_model_load_from_file(str(path).encode(), params)
        if not self._model:
            raise ValueError(f"llama.cpp does not load {path} with {overrides}")
        self.vocab = api.llama_model_get_vocab(self._model)
        self.n_vocab = api.llama_vocab_n_tokens(self.vocab)

    def close(self):
        """Free the model."""
        api.llama_model_free(self._model)

    def encode(self, text: str, add_special: bool, parse_special: bool) -> list[int]:
        """llama_tokenize."""
        data = text.encode()
        room = len(data) * 4 + 16
        ids = (api.llama_token * room)()
        count = api.llama_tokenize(self.vocab, data, len(data), ids, room, add_special, parse_special)
        return ids[:count]

    def piece(self, id: int, special: bool) -> bytes:
        """llama_token_to_piece."""
        buffer = ctypes.create_string_buffer(1024)
        count = api.llama_token_to_piece(self.vocab, id, buffer, len(buffer), 0, special)
        return buffer.raw[:count]

    def detokenize(self, ids: list[int], remove_special: bool, unparse_special: bool) -> bytes:
        """llama_detokenize."""
        buffer = ctypes.create_string_buffer(len(ids) * 256 + 64)
        tokens = (api.llama_token * len(ids))(*ids)
        count = api.llama_detokenize(self.vocab, tokens, len(ids), buffer, len(buffer), remove_special, unparse_special)
        return buffer.raw[:count]

    def specials(self) -> dict[str, int | None | bool]:
        """Special ids (None for none) and flags by the names of our Tokenizer."""
        ids = {name: getattr(api, f"llama_vocab_{name}")(self.vocab) for name in "bos eos eot sep pad mask".split()}
        fim = {f"fim_{n}": getattr(api, f"llama_vocab_fim_{n}")(self.vocab) for n in "pre suf mid pad rep sep".split()}
        flags = {f"add_{n}": bool(getattr(api, f"llama_vocab_get_add_{n}")(self.vocab)) for n in ("bos", "eos", "sep")}
        return {name: None if id < 0 else id for name, id in (ids | fim).items()} | flags

    def end_ids(self) -> list[int]:
        """Every end-of-generation token."""
        return [id for id in range(self.n_vocab) if api.llama_vocab_is_eog(self.vocab, id)]


def override_array(overrides: dict[str, str]):
    """llama_model_kv_override[], ended by an empty key."""
    array = (api.llama_model_kv_override * (len(overrides) + 1))()
    for item, (key, value) in zip(array, overrides.items(), strict=False):
        item.tag = api.LLAMA_KV_OVERRIDE_TYPE_STR
        item.key = key.encode()
        item.value.val_str = value.encode()
    array[len(overrides)].key = b""
    return array
