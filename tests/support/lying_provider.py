"""An OpenID provider on loopback that puts into ID tokens whatever a test says: `claims`, and what `lies` changes in
them. It may sign with a wrong key or algorithm, tell of somebody else, or fail. It checks nothing: for how a sign-in
has to be, see `identity_provider`.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT, SECRET = "gateway", "the client's secret"


@lru_cache
def signing_key(name: str) -> rsa.RSAPrivateKey:
    """A key for each name; making one takes a while."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class LyingProvider:
    """The provider. `claims` is who sits before the browser."""

    def __init__(self, address: str) -> None:
        self.issuer = address
        self.claims: dict[str, Any] = {"sub": "ada-1"}
        self.userinfo: dict[str, Any] = {}
        self.lies: dict[str, Any] = {}
        self.key, self.algorithm = "ours", "RS256"
        self.is_broken = False
        self._nonces: dict[str, str] = {}

    def discovery(self) -> dict[str, Any]:
        names = ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint")
        paths = ("authorize", "token", "keys", "userinfo")
        said = {name: f"{self.issuer}/{path}" for name, path in zip(names, paths, strict=True)}
        return {"issuer": self.issuer, **said}

    def authorize(self, asked: dict[str, str]) -> str:
        """Where the browser goes next."""
        code = secrets.token_urlsafe()
        self._nonces[code] = asked["nonce"]
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"

    def token(self, sent: dict[str, str]) -> dict[str, Any]:
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": self._nonces[sent["code"]]}
        told = {**claims, **self.claims, **self.lies}
        key: Any = SECRET * 3 if self.algorithm.startswith("HS") else signing_key(self.key)
        if self.algorithm == "none":
            key = None
        id_token = jwt.encode(told, key, self.algorithm, headers={"kid": "one"})
        return {"access_token": "for-user-information", "token_type": "Bearer", "id_token": id_token}

    def keys(self) -> dict[str, Any]:
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(signing_key("ours").public_key()))
        return {"keys": [{**public, "kid": "one", "use": "sig", "alg": "RS256"}]}


class _Handler(BaseHTTPRequestHandler):
    provider: LyingProvider

    def do_GET(self) -> None:
        place = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(place.query).items()}
        if place.path == "/authorize":
            self.send_response(302)
            self.send_header("Location", self.provider.authorize(asked))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        answers: dict[str, Callable[[], Any]] = {
            "/.well-known/openid-configuration": self.provider.discovery,
            "/keys": self.provider.keys,
            "/userinfo": lambda: self.provider.userinfo,
        }
        self._answer(500 if self.provider.is_broken else 200, answers[place.path]())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self._answer(200, self.provider.token({name: values[0] for name, values in parse_qs(body).items()}))

    def _answer(self, status: int, said: dict[str, Any]) -> None:
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Nothing."""


@contextmanager
def running() -> Iterator[LyingProvider]:
    """A provider that answers until the end."""
    handler = type("Handler", (_Handler,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        handler.provider = provider = LyingProvider(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield provider
        finally:
            server.shutdown()
            thread.join()
