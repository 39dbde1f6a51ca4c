"""An OpenID provider on loopback: discovery, code flow with PKCE, ID tokens, user information.

It refuses what a strict one refuses: a wrong secret, another redirect address, a code that was used, a verifier that
does not fit. `lies` changes what it puts into ID tokens.
"""

from __future__ import annotations

import base64
import hashlib
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

CLIENT, SECRET, REDIRECT = "gateway", "the client's secret", "http://testserver/admin/oidc/callback/"


@lru_cache
def signing_key(name: str) -> rsa.RSAPrivateKey:
    """A key for each name; making one takes a while."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class OpenIDProvider:
    """The provider. `claims` is who sits before the browser."""

    def __init__(self, address: str) -> None:
        self.issuer = address
        self.redirect = REDIRECT
        self.claims: dict[str, Any] = {"sub": "ada-1"}
        self.userinfo: dict[str, Any] = {}
        self.lies: dict[str, Any] = {}
        self.key, self.algorithm = "ours", "RS256"
        self.is_broken = False
        self._codes: dict[str, dict[str, str]] = {}

    def discovery(self) -> dict[str, Any]:
        names = ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint")
        paths = ("authorize", "token", "keys", "userinfo")
        said = {name: f"{self.issuer}/{path}" for name, path in zip(names, paths, strict=True)}
        return {"issuer": self.issuer, **said}

    def authorize(self, asked: dict[str, str]) -> str:
        """Where the browser goes next."""
        assert asked["client_id"] == CLIENT
        assert asked["redirect_uri"] == self.redirect
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        assert len(asked["nonce"]) >= 32
        code = secrets.token_urlsafe()
        self._codes[code] = asked
        return f"{self.redirect}?{urlencode({'code': code, 'state': asked['state']})}"

    def token(self, sent: dict[str, str]) -> tuple[int, dict[str, Any]]:
        asked = self._codes.pop(sent.get("code", ""), None)
        if asked is None or sent["redirect_uri"] != asked["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        if (sent["client_id"], sent["client_secret"]) != (CLIENT, SECRET):
            return 401, {"error": "invalid_client"}
        digest = hashlib.sha256(sent["code_verifier"].encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != asked["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": asked["nonce"]}
        told = {**claims, **self.claims, **self.lies}
        key: Any = SECRET * 3 if self.algorithm.startswith("HS") else signing_key(self.key)
        if self.algorithm == "none":
            key = None
        id_token = jwt.encode(told, key, self.algorithm, headers={"kid": "one"})
        return 200, {"access_token": "for-user-information", "token_type": "Bearer", "id_token": id_token}

    def keys(self) -> dict[str, Any]:
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(signing_key("ours").public_key()))
        return {"keys": [{**public, "kid": "one", "use": "sig", "alg": "RS256"}]}


class _Handler(BaseHTTPRequestHandler):
    provider: OpenIDProvider

    def do_GET(self) -> None:
        place = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(place.query).items()}
        if place.path == "/authorize":
            self.send_response(302)
            self.send_header("Location", self.provider.authorize(asked))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if place.path == "/userinfo":
            assert self.headers["Authorization"] == "Bearer for-user-information"
        answers: dict[str, Callable[[], Any]] = {
            "/.well-known/openid-configuration": self.provider.discovery,
            "/keys": self.provider.keys,
            "/userinfo": lambda: self.provider.userinfo,
        }
        self._answer(500 if self.provider.is_broken else 200, answers[place.path]())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self._answer(*self.provider.token({name: values[0] for name, values in parse_qs(body).items()}))

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
def running() -> Iterator[OpenIDProvider]:
    """A provider that answers until the end."""
    handler = type("Handler", (_Handler,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        handler.provider = provider = OpenIDProvider(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield provider
        finally:
            server.shutdown()
            thread.join()
