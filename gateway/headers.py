"""Which headers cross the gateway: what a caller may tell vLLM, and what vLLM may tell a caller.

Pure: a WSGI environ or a list of pairs in, a list of pairs out. The upstream's credential is handed in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from gateway.upstream_address import host_of, is_at, names_upstream, our_location

Headers = list[tuple[str, str]]


def _names(*lines: str) -> frozenset[str]:
    return frozenset(name for line in lines for name in line.split())


HOP_BY_HOP = _names(
    "connection keep-alive proxy-authenticate proxy-authentication-info proxy-authorization proxy-connection te",
    "trailer trailers transfer-encoding upgrade http2-settings",
)
"""Headers about one connection (RFC 9110 7.6.1 and its predecessors); those named in Connection are added."""

KEY_HEADERS = _names(
    "authorization x-litellm-api-key api-key x-api-key x-goog-api-key ocp-apim-subscription-key",
    "litellm-user-api-key x-amz-security-token x-auth-token x-access-token",
)
"""Where callers put the gateway's own key (or, by mistake, another one): never for the upstream's eyes."""

_NOT_FORWARDED = (
    HOP_BY_HOP
    | KEY_HEADERS
    | _names(
        "host cookie cookie2 expect content-length accept-encoding x-request-id",
        # It would replace the model that was checked (vLLM's /invocations).
        "x-amzn-sagemaker-adapter-identifier",
        # What a caller could pretend about who is calling from where, or about which path is meant.
        "forwarded via client-ip x-real-ip x-client-ip x-cluster-client-ip x-original-forwarded-for true-client-ip",
        "x-envoy-external-address cf-connecting-ip fastly-client-ip fly-client-ip x-azure-clientip",
        # Of a handshake that ends here; browsers put the key among the subprotocols.
        "sec-websocket-protocol sec-websocket-key sec-websocket-version sec-websocket-extensions sec-websocket-accept",
        # Which upstream: that is said to us, and names of upstreams are nobody else's business.
        "x-gateway-upstream",
        "x-original-url x-original-uri x-original-host x-rewrite-url x-host",
    )
)
_NOT_FORWARDED_PREFIXES = ("x-forwarded-",)
# LiteLLM's `x-pass-NAME`: also what was already read from the plain header (the body's format) stays out of reach.
_PASS = "x-pass-"  # noqa: S105 - no password
_PROTECTED_PREFIXES = ("x-amz-", "x-amzn-", "x-forwarded-", "content-", "x-pass-")

_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._~:/+=@|-]{1,128}")

_NOT_RELAYED = HOP_BY_HOP | _names(
    # Cookies and policies are for a whole origin, and the origin is the gateway's, with its admin on it.
    "set-cookie set-cookie2 strict-transport-security clear-site-data alt-svc alt-used public-key-pins",
    "public-key-pins-report-only expect-ct nel report-to reporting-endpoints service-worker-allowed accept-ch",
    "critical-ch origin-agent-cluster speculation-rules",
    # Orders to a proxy that may stand before us.
    "x-accel-redirect x-sendfile",
    # Ours are written instead.
    "date x-request-id",
)
# An upstream that is a LiteLLM itself tells its own base, its key's spend and its call id.
_NOT_RELAYED_PREFIXES = ("x-litellm-",)
_LOCATIONS = _names("location content-location")
# In these even a short name, which elsewhere may be a word, is a host's.
_TELL_HOSTS = _names("link refresh sourcemap via x-served-by")
_WORDS = re.compile(r"[^\s,]+")
_ALLOWED_ORIGIN = "access-control-allow-origin"
_POLICY = "content-security-policy"
_MAY_NAME_UPSTREAM = _LOCATIONS | _TELL_HOSTS | {_ALLOWED_ORIGIN}
_OF_THE_BODY = _names("content-type content-length")

SANDBOX = "sandbox allow-scripts"
"""The Content-Security-Policy of relayed pages: vLLM's own documentation works, our origin stays out of reach."""

# Types that a browser would run as a page of our origin, or whose true type it would guess.
_ACTIVE = re.compile(r"html|xml|xsl|mixed-replace|unknown|\*", re.IGNORECASE)
_TYPE = re.compile(r"[!#$%&'+.^_`|~0-9A-Za-z-]+/[!#$%&'+.^_`|~0-9A-Za-z-]+(?:[ \t]*;.*)?")
_UNFIT = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]+")


def sane_request_id(value: str | None) -> str | None:
    """The caller's X-Request-Id when it is 1 to 128 harmless ASCII characters, else None.

    vLLM puts it into the ids of its answers as it is, so quotes, blanks and the like make it unfit.
    """
    return value if value is not None and _SANE_REQUEST_ID.fullmatch(value) else None


def request_id(environ: Mapping[str, object], new: Callable[[], str]) -> str:
    """The request id of a call: the caller's own when it is sane, else `new()`."""
    given = environ.get("HTTP_X_REQUEST_ID")
    return (sane_request_id(given) if isinstance(given, str) else None) or new()


# --- To the upstream ---------------------------------------------------------------------------------------------


def for_upstream(
    environ: Mapping[str, object],
    *,
    credential: str,
    request_id: str,
    client_address: str,
    scheme: str,
    host: str = "",
    forwarded_for: str = "",
) -> Headers:
    """The headers for vLLM out of a WSGI environ; without Host and Content-Length, which the client sets.

    `credential` is the upstream's own ("" = none). `client_address` and `scheme` are what the gateway itself saw,
    or what a trusted proxy vouched for; `forwarded_for` is the whole chain where trusted proxies stand in front;
    `host` is told as X-Forwarded-Host when given. A caller's `x-pass-NAME: v` is sent as `NAME: v`, as LiteLLM
    does, except for names that no caller may set.
    """
    named = _named_in_connection(environ.get("HTTP_CONNECTION"))
    kept: Headers = []
    passed: Headers = []
    for key, value in environ.items():
        name = _NAMES[key] if key in _NAMES else _learn(key)
        if name is None or (named and name.lower() in named):
            continue
        if key.startswith("HTTP_X_PASS_"):
            passed.append((name, str(value)))
        else:
            kept.append((name, str(value)))
    if passed:
        overridden = {name.lower() for name, _ in passed}
        kept = [pair for pair in kept if pair[0].lower() not in overridden] + passed
    kept += [
        ("Accept-Encoding", "identity"),
        ("X-Request-Id", request_id),
        ("X-Forwarded-For", forwarded_for or client_address),
        ("X-Forwarded-Proto", scheme),
    ]
    if host:
        kept.append(("X-Forwarded-Host", host))
    if credential:
        kept.append(("Authorization", f"Bearer {credential}"))
    return kept


def _named_in_connection(connection: object) -> frozenset[str]:
    if not isinstance(connection, str) or connection in {"keep-alive", "close", "Keep-Alive", "Close"}:
        return frozenset()
    return frozenset(name.strip().lower() for name in connection.split(","))


_NAMES: dict[str, str | None] = {}
_NAMES_KEPT = 1024  # callers choose names; what they choose must not fill the memory


def _learn(key: str) -> str | None:
    name = _header_name(key)
    if len(_NAMES) < _NAMES_KEPT:
        _NAMES[key] = name
    return name


def _header_name(key: str) -> str | None:
    """The header to send for an environ key, or None when it is none or must not be sent.

    A name with an underscore would look like one with a hyphen; the server in front drops those.
    """
    if key == "CONTENT_TYPE":
        return "Content-Type"
    if not key.startswith("HTTP_"):
        return None
    name = key[5:].replace("_", "-").lower()
    if name in _NOT_FORWARDED or name.startswith(_NOT_FORWARDED_PREFIXES):
        return None
    if name.startswith(_PASS):
        name = name[len(_PASS) :]
        if not name or name in _NOT_FORWARDED or name.startswith(_PROTECTED_PREFIXES):
            return None
    return name.title()


# --- To the client -----------------------------------------------------------------------------------------------


def for_client(
    headers: Iterable[tuple[str, str]],
    *,
    upstream_base: str,
    prefix: str,
    request_id: str,
    call_id: str,
    keep_length: bool = True,
) -> Headers:
    """The headers for the client out of an upstream's, in their order, then the ids of the call.

    `upstream_base` is the upstream's URL, which no header may show: a Location there becomes `prefix` and the path, any
    other header that names it goes.
    `keep_length` is false when the body is changed on its way. What a browser would show as a page (also what has
    a body but no type, which browsers guess) gets a sandbox policy in place of its own.
    """
    kept: Headers = []
    named: frozenset[str] = frozenset()
    seen: dict[str, str] = {}
    host = host_of(upstream_base)
    for name, value in headers:
        lower = name.lower()
        if lower in _NOT_RELAYED or lower.startswith(_NOT_RELAYED_PREFIXES):
            if lower == "connection":
                named |= _named_in_connection(value)
            continue
        fit = value if value.isprintable() else _UNFIT.sub(" ", value)
        if lower in _OF_THE_BODY:
            seen[lower] = f"{seen[lower]}, {fit}" if lower in seen else fit  # a browser may take either
            if not keep_length and lower == "content-length":
                continue
        elif lower in _MAY_NAME_UPSTREAM or host in fit.lower():
            seen[lower] = fit
            treated = _without_upstream(lower, fit, upstream_base, prefix)
            if treated is None:
                continue
            fit = treated
        kept.append((name, fit))
    if named:
        kept = [pair for pair in kept if pair[0].lower() not in named]
    kept = _consistent(kept, seen)
    kept.append(("x-request-id", request_id))
    kept.append(("x-litellm-call-id", call_id))
    return kept


def _consistent(kept: Headers, seen: Mapping[str, str]) -> Headers:
    """With the policy of a page, and without the rest of what browsers are allowed if the origin that was allowed it
    had to go."""
    if _ALLOWED_ORIGIN in seen and not any(name.lower() == _ALLOWED_ORIGIN for name, _ in kept):
        kept = [pair for pair in kept if not pair[0].lower().startswith("access-control-")]
    if _is_page(seen):
        kept = [pair for pair in kept if pair[0].lower() != _POLICY]
        kept.append((_POLICY, SANDBOX))
    return kept


def _is_page(seen: Mapping[str, str]) -> bool:
    content_type = seen.get("content-type")
    if content_type is None:
        return seen.get("content-length") != "0"
    return _ACTIVE.search(content_type) is not None or not _TYPE.fullmatch(content_type)


def _without_upstream(name: str, value: str, upstream_base: str, prefix: str) -> str | None:
    """The value as the client may see it; None when the header has to go."""
    if name in _LOCATIONS:
        ours = our_location(value, upstream_base=upstream_base, prefix=prefix)
        return None if ours is None or names_upstream(ours, upstream_base) else ours
    if name == _ALLOWED_ORIGIN:  # another port of the same machine may be the caller's own page
        return None if any(is_at(word, upstream_base) for word in _WORDS.findall(value)) else value
    if name in _TELL_HOSTS:
        return None if host_of(upstream_base) in value.lower() else value
    return None if names_upstream(value, upstream_base) else value
