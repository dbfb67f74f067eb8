"""/slots: what each slot does; save, restore and erase one."""

import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import falcon

from llamabox.engine import SlotFileError, SlotStatus, read_state, write_state
from llamabox.server.bodies import read_body
from llamabox.server.context import Served, ServerContext
from llamabox.server.endpoints import require
from llamabox.server.errors import ApiError, BadRequest, ClientGone, Unavailable
from llamabox.server.native import generation_settings
from llamabox.server.running import POLL_S
from llamabox.server.schemas import SlotFileBody

MAX_NAME_BYTES = 200  # a temporary name beside it must fit as well


class Slots:
    """GET /slots"""

    def __init__(self, context: ServerContext):
        self._context = context

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        require(self._context.endpoints.slots, "/slots", "--slots")
        model = self._context.served_text()
        slots = model.engine.slots()
        wants_free = req.get_param("fail_on_no_slot") not in (None, "", "0", "false")
        if wants_free and all(slot.request is not None for slot in slots):
            raise Unavailable("no slot available", headers={"Retry-After": "1"})
        resp.media = [_slot(slot, model) for slot in slots]


def _slot(slot: SlotStatus, model: Served) -> dict[str, Any]:
    """llama-box's fields and llama-server's."""
    request, runs = slot.request, slot.request is not None
    entry = {
        "id": slot.id,
        "id_task": slot.id_task if runs else -1,
        "state": int(runs),
        "is_processing": runs,
        "n_ctx": model.n_ctx,
        "speculative": model.engine.drafts,
        "n_prompt_tokens": slot.n_computed,
    }
    if request is None:
        return entry
    return entry | {
        "n_prompt_tokens_processed": min(slot.n_computed, slot.n_prompt) - slot.n_cached,
        "n_prompt_tokens_cache": slot.n_cached,
        "params": generation_settings(request, model.n_ctx),
        "next_token": [
            {
                "has_next_token": True,
                "has_new_line": slot.has_new_line,
                "n_remain": -1 if request.n_predict < 0 else request.n_predict - slot.n_predicted,
                "n_decoded": slot.n_predicted,
            }
        ],
    }


class SlotActions:
    """POST /slots/{id}?action=save, restore or erase"""

    def __init__(self, context: ServerContext):
        self._context = context

    def on_post(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        endpoints = self._context.endpoints
        require(endpoints.slots, "/slots", "--slots")
        require(endpoints.slot_save_path is not None, "POST /slots/{id}", "--slot-save-path")
        model = self._context.served_text()
        if not (id.isascii() and id.isdecimal() and len(id) < 10):
            raise BadRequest(f"id_slot: found {id!r:.40}, expected 0 to {model.n_parallel - 1}", "id_slot")
        actions = {"save": self._save, "restore": self._restore, "erase": self._erase}
        action = req.get_param("action")
        if action not in actions:
            raise BadRequest(f"action: found {action!r:.40}, expected {', '.join(actions)}", "action")
        self._context.admission.enter()
        try:
            resp.media = {"id_slot": int(id), **actions[action](req, model, int(id))}
        finally:
            self._context.admission.leave()

    def _save(self, req: falcon.Request, model: Served, id: int) -> dict[str, Any]:
        path, started = self._path(req), time.monotonic()
        state = _wait(model.engine.save_slot(id), req)
        try:
            size = write_state(path, state, model.engine.slot_layout)
        except OSError as error:
            raise ApiError(f"the slot cannot be saved: {error.strerror}", "filename") from error
        timings = {"save_ms": 1e3 * (time.monotonic() - started)}
        return {"filename": path.name, "n_saved": len(state.tokens), "n_written": size, "timings": timings}

    def _restore(self, req: falcon.Request, model: Served, id: int) -> dict[str, Any]:
        path, started = self._path(req), time.monotonic()
        try:
            state, size = read_state(path, model.engine.slot_layout)
        except OSError as error:
            raise BadRequest(f"filename: {path.name!r} cannot be read: {error.strerror}", "filename") from None
        except SlotFileError as error:
            raise BadRequest(f"filename: {path.name!r} cannot be restored: {error}", "filename") from None
        _wait(model.engine.restore_slot(id, state, self._context.defaults.n_cache_reuse > 0), req)
        timings = {"restore_ms": 1e3 * (time.monotonic() - started)}
        return {"filename": path.name, "n_restored": len(state.tokens), "n_read": size, "timings": timings}

    def _erase(self, req: falcon.Request, model: Served, id: int) -> dict[str, Any]:
        return {"n_erased": _wait(model.engine.erase_slot(id), req)}

    def _path(self, req: falcon.Request) -> Path:
        """The file in the folder of --slot-save-path that the body names."""
        name, folder = read_body(req, SlotFileBody).filename, self._context.endpoints.slot_save_path
        bad = any(c in '/\\:*?"<>|' or not c.isprintable() for c in name) or name[:1] in ("", ".") or name[-1:] in ". "
        if bad or len(name.encode(errors="replace")) > MAX_NAME_BYTES:
            raise BadRequest(f"filename: found {name!r:.80}, expected a plain file name without folders", "filename")
        assert folder is not None
        return Path(folder) / name


def _wait(future: Future, req: falcon.Request) -> Any:
    """The result, as soon as the slot is idle.

    Errors:  ClientGone; what the engine refuses
    """
    gone = req.env.get("waitress.client_disconnected", lambda: False)
    while True:
        try:
            return future.result(POLL_S)
        except TimeoutError:
            if gone():
                future.cancel()
                raise ClientGone("the client hung up") from None
