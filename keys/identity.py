"""Who calls, as a value: what authentication finds and permissions and limits read. Knows no table and no HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

INFERENCE = "inference"
MONITORING = "monitoring"
SERVER_CONTROL = "server_control"
ENDPOINT_CLASSES = (INFERENCE, MONITORING, SERVER_CONTROL)
DEFAULT_ENDPOINT_CLASSES = (INFERENCE, MONITORING)

# LiteLLM's key_type. The first two mean the same here: calls. A management key manages, and calls nothing.
DEFAULT = "default"
LLM_API = "llm_api"
MANAGEMENT = "management"
KEY_TYPES = (DEFAULT, LLM_API, MANAGEMENT)

NO_ALIASES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A virtual key as one of its secrets shows it. Times are unix seconds; None means never.

    An empty `models` allows every model. `masked` is the secret's `sk-...abcd`. `aliases` are names of the key's own
    for models; `allowed_upstreams` the upstreams (or patterns) that its calls may name; a higher `priority` waits less.
    """

    key_id: int | None
    name: str | None
    user_id: str | None = None
    models: tuple[str, ...] = ()
    endpoint_classes: frozenset[str] = frozenset(DEFAULT_ENDPOINT_CLASSES)
    max_parallel_requests: int | None = None
    expires_at: float | None = None
    blocked: bool = False
    tags: tuple[str, ...] = ()
    secret_id: int | None = None
    secret_expires_at: float | None = None
    masked: str = ""
    aliases: Mapping[str, str] = field(default_factory=lambda: NO_ALIASES, hash=False)
    allowed_upstreams: tuple[str, ...] = ()
    priority: int = 0
    key_type: str = DEFAULT

    @property
    def label(self) -> str:
        """What the key may be called in a message: its name, else its masked secret."""
        return self.name or self.masked

    def is_refused(self, now: float) -> bool:
        """Whether the key, whichever secret is shown, is blocked or expired."""
        return self.blocked or (self.expires_at is not None and self.expires_at <= now)


MASTER = Identity(
    key_id=None, name="master key", endpoint_classes=frozenset(ENDPOINT_CLASSES), allowed_upstreams=("*",)
)
ANONYMOUS = Identity(key_id=None, name="anonymous")
