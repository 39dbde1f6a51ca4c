"""Who calls, as a value: what authentication finds and permissions and limits read. Knows no table and no HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from types import MappingProxyType

from keys.limit_values import NO_LIMITS, Limits

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
class Party:
    """Whose limits a call counts against: the key itself, its team, its owner, or the end user behind the call.

    `kind` is `key`, `team`, `user` or `end_user`. `period` is that of its main budget, in which its spend is told;
    `epoch` grows when its spend is set anew. `label` is for messages.
    """

    kind: str
    ident: str
    label: str = ""
    limits: Limits = NO_LIMITS
    period: str = ""
    epoch: int = 0
    blocked: bool = False
    models: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    scope: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "scope", f"{self.kind}:{self.ident}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A virtual key as one of its secrets shows it. Times are unix seconds; None means never.

    An empty `models` allows every model. `masked` is the secret's `sk-...abcd`. `aliases` are names of the key's own
    for models; `allowed_upstreams` the upstreams (or patterns) that its calls may name; a higher `priority` waits less.
    An empty `allowed_routes` allows every route, empty `networks` every address. `party` has its limits; None has none.
    """

    key_id: int | None
    name: str | None
    user_id: str | None = None
    models: tuple[str, ...] = ()
    endpoint_classes: frozenset[str] = frozenset(DEFAULT_ENDPOINT_CLASSES)
    team_id: str | None = None
    party: Party | None = None
    allowed_routes: tuple[str, ...] = ()
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
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
