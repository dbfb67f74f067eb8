"""Who may ask: API keys, and pages of other origins (CORS)."""

import hmac
import ipaddress
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import urlsplit

import falcon

from llamabox.server.errors import Unauthorized

PUBLIC = frozenset({"/", "/health", "/v1/health"})  # answered without a key, as llama-server does


@dataclass(frozen=True)
class Cors:
    """What pages of other origins may do; the fields are llama-server's flags.

    origins      allowed ones, or ("*",) for all, or ("localhost",) for every port of this machine; (): no CORS at all
    headers      ("*",) allows whatever a page asks for
    credentials  a page may send what the browser knows of this server (cookies, client certificates)
    """

    origins: tuple[str, ...] = ()
    methods: tuple[str, ...] = ("GET", "POST", "DELETE", "OPTIONS")
    headers: tuple[str, ...] = ("*",)
    credentials: bool = True

    def allows(self, origin: str) -> bool:
        return self.origins == ("*",) or origin in self.origins or ("localhost" in self.origins and _is_local(origin))


def _is_local(origin: str) -> bool:
    try:
        host = urlsplit(origin).hostname or ""
    except ValueError:
        return False
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class Access:
    """keys: one of them has to come with each request; (): nobody is asked"""

    keys: tuple[str, ...] = ()
    cors: Cors = Cors()


class CorsHeaders:
    """falcon middleware: what a browser has to be told, and the preflight requests that it sends before others."""

    def __init__(self, cors: Cors):
        self._cors = cors

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        origin = req.get_header("Origin")
        if not self._cors.origins or origin is None:
            return
        resp.append_header("Vary", "Origin")
        is_preflight = req.method == "OPTIONS" and req.get_header("Access-Control-Request-Method") is not None
        if self._cors.allows(origin):
            self._allow(req, resp, origin)
        if is_preflight:
            resp.complete = True  # nobody sends a key with it

    def _allow(self, req: falcon.Request, resp: falcon.Response, origin: str) -> None:
        """The origin is named, never "*", wherever credentials are allowed: browsers refuse the two together."""
        cors = self._cors
        resp.set_header("Access-Control-Allow-Origin", origin if cors.credentials or cors.origins != ("*",) else "*")
        if cors.credentials:
            resp.set_header("Access-Control-Allow-Credentials", "true")
        if req.method != "OPTIONS":
            resp.set_header("Access-Control-Expose-Headers", "X-Request-ID")
            return
        headers = ", ".join(cors.headers)
        if cors.headers == ("*",):  # "*" would cover neither Authorization nor requests with credentials
            headers = req.get_header("Access-Control-Request-Headers") or "*"
        resp.set_header("Access-Control-Allow-Methods", ", ".join(cors.methods))
        resp.set_header("Access-Control-Allow-Headers", headers)


class ApiKeys:
    """falcon middleware: `Authorization: Bearer KEY` or, as Anthropic's clients send it, `X-Api-Key: KEY`."""

    def __init__(self, keys: tuple[str, ...]):
        self._digests = [_digest(key.encode()) for key in keys]

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        if not self._digests or resp.complete or req.path in PUBLIC:
            return
        given = req.get_header("Authorization") or req.get_header("X-Api-Key") or ""
        digest = _digest(given.removeprefix("Bearer ").encode("latin-1"))
        known = [hmac.compare_digest(digest, other) for other in self._digests]  # all of them, whichever it is
        if not any(known):
            raise Unauthorized("Invalid API Key", headers={"WWW-Authenticate": "Bearer"})


def _digest(key: bytes) -> bytes:
    """Of one length, whatever the key's, so that comparing takes one time."""
    return sha256(key).digest()
