"""Who and what the demo consists of: servers, models, teams, owners and keys. Plain values; no table, no chance."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

OFFICE, ALWAYS, NIGHT = "office", "always", "night"
"""When a key calls: in working hours, around the clock with a swell by day, or in the small hours."""

CHAT, EMBED, CODE = "llama-3.3-70b", "qwen3-embedding-0.6b", "qwen2.5-coder-32b"
SMALL = "qwen3-8b"


@dataclass(frozen=True)
class Model:
    """A model with its prices in US dollars for a million tokens, and how fast its servers are."""

    alias: str
    served: str
    prompt_price: str
    completion_price: str | None
    cached_price: str | None
    ttft_ms: float
    inter_token_ms: float
    max_model_len: int

    @property
    def writes(self) -> bool:
        """Whether it has completion tokens."""
        return self.completion_price is not None


MODELS = {
    one.alias: one
    for one in (
        Model(CHAT, "meta-llama/Llama-3.3-70B-Instruct", "2.40", "3.60", "0.60", 320, 23, 131_072),
        Model(CODE, "Qwen/Qwen2.5-Coder-32B-Instruct", "1.00", "2.00", "0.25", 210, 14, 32_768),
        Model(SMALL, "Qwen/Qwen3-8B", "0.30", "0.80", None, 90, 7, 40_960),
        Model(EMBED, "Qwen/Qwen3-Embedding-0.6B", "0.08", None, None, 0, 0, 32_768),
    )
}


@dataclass(frozen=True)
class Server:
    """An upstream: what it serves, its price in US dollars an hour, and its share of its models' calls."""

    name: str
    model: str
    price_per_hour: Decimal | None
    share: int = 1
    state: str = "active"
    version: str = "0.11.2"
    max_parallel: int | None = None
    replaced: bool = False
    """Whether it was taken out of service half way, and answers no more."""


SERVERS = (
    Server("h100-a", CHAT, Decimal("8.40"), share=3),
    Server("h100-b", CHAT, Decimal("8.40"), share=2, max_parallel=64),
    Server("l40s-coder", CODE, Decimal("2.10")),
    Server("l40s-small", SMALL, Decimal("1.05")),
    Server("a10-embed", EMBED, Decimal("0.75"), version="0.10.1"),
    Server("a100-old", CHAT, Decimal("3.20"), state="disabled", version="0.8.4", replaced=True),
)

# Team id, what people call it, its limits. Ceilings of budgets are set from what was spent (`near`: the share used).
TEAMS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("research", "Research", {"rpm_limit": 6_000, "budget_duration": "30d", "near": 0.62}),
    ("support", "Customer support", {"budget_duration": "30d", "near": 0.86}),
    ("search", "Search", {"tpm_limit": 4_000_000}),
    ("platform", "Platform", {"max_parallel_requests": 200}),
    ("analytics", "Data and analytics", {"budget_duration": "30d", "near": 0.41}),
    ("marketing", "Marketing", {}),
)

OWNERS: tuple[tuple[str, str], ...] = (
    ("ada", "Ada Okafor"),
    ("bruno", "Bruno Keller"),
    ("chiara", "Chiara Rossi"),
    ("dmitri", "Dmitri Sokolov"),
    ("elif", "Elif Yilmaz"),
    ("fatou", "Fatou Diallo"),
    ("greta", "Greta Lindqvist"),
    ("hiro", "Hiro Tanaka"),
    ("ines", "Inês Carvalho"),
)

Mix = tuple[tuple[str, int], ...]
_TALK: Mix = ((CHAT, 8), (SMALL, 2))
_CODE: Mix = ((CODE, 9), (CHAT, 1))
_VECTORS: Mix = ((EMBED, 1),)
_ALL: Mix = ((CHAT, 4), (CODE, 2), (SMALL, 3), (EMBED, 1))


@dataclass(frozen=True)
class Key:
    """A virtual key and how it is used. `share` is its part of all calls; times are in days from now, negative before.

    `near`: how much of its budget is used. `refused`: the share of its calls that a limit refuses.
    """

    name: str
    team: str | None
    owner: str
    share: int
    mix: Mix = _TALK
    rhythm: str = OFFICE
    streams: float = 0.9
    tags: tuple[str, ...] = ()
    end_users: int = 0
    begins: float = -400.0
    ends: float | None = None
    blocked: float | None = None
    expires: float | None = None
    rotated: float | None = None
    near: float | None = None
    refused: float = 0.0
    agent: str = "OpenAI/Python 1.109.1"
    limits: dict[str, Any] = field(default_factory=dict)


KEYS = (
    Key("support-assistant", "support", "chiara", 240, rhythm=ALWAYS, tags=("assistant", "production"), end_users=400,
        near=0.86, limits={"budget_duration": "30d", "rpm_limit": 1_200}),
    Key("support-summaries", "support", "chiara", 60, rhythm=NIGHT, streams=0.0, tags=("batch",), near=1.0,
        refused=0.02, limits={"budget_duration": "1d", "max_budget": Decimal("1.20")}, agent="python-httpx/0.28.1"),
    Key("search-indexer", "search", "hiro", 230, mix=_VECTORS, rhythm=ALWAYS, streams=0.0, tags=("batch", "production"),
        refused=0.012, limits={"tpm_limit": 2_000_000, "models": ["qwen3-embedding-*"]}, agent="python-httpx/0.28.1"),
    Key("search-answers", "search", "hiro", 130, rhythm=ALWAYS, tags=("production",), end_users=250,
        limits={"max_parallel_requests": 60}),
    Key("ide-completions", "platform", "bruno", 170, mix=_CODE, tags=("ide",), end_users=60,
        limits={"models": ["qwen2.5-coder-*", CHAT]}, agent="continue/1.3.9", rotated=-1.0),
    Key("ci-review", "platform", "bruno", 50, mix=_CODE, rhythm=ALWAYS, streams=0.2, tags=("ci",), refused=0.03,
        limits={"rpm_limit": 60}, agent="litellm/1.79.0"),
    Key("ada-notebooks", "research", "ada", 60, mix=_ALL, tags=("notebook",), near=0.93,
        limits={"budget_duration": "30d"}),
    Key("dmitri-notebooks", "research", "dmitri", 40, mix=_ALL, tags=("notebook",)),
    Key("evals", "research", "ada", 90, mix=_ALL, rhythm=NIGHT, streams=0.0, tags=("evals", "batch"),
        limits={"priority": -5, "max_parallel_requests": 32}, agent="lm-eval/0.4.9"),
    Key("dashboards", "analytics", "elif", 45, mix=((SMALL, 1),), streams=0.1, tags=("sql",), near=0.38,
        limits={"budget_duration": "7d", "token_budget": 40_000_000, "token_budget_duration": "7d"}),
    Key("forecasting", "analytics", "elif", 20, mix=_TALK, rhythm=NIGHT, streams=0.0, tags=("batch",)),
    Key("campaign-texts", "marketing", "ines", 18, tags=("texts",), expires=2.2, limits={"rpm_limit": 120}),
    Key("translations", "marketing", "ines", 12, mix=((SMALL, 1),), streams=0.3, expires=0.7),
    Key("greta-laptop", None, "greta", 10, mix=_CODE, agent="curl/8.14.1"),
    Key("fatou-laptop", None, "fatou", 8, mix=_ALL, agent="AnthropicSDK/Python 0.72.0"),
    Key("old-chatbot", "support", "chiara", 40, rhythm=ALWAYS, tags=("assistant",), ends=-9.0, blocked=-9.0),
    Key("hackathon-2026", "research", "dmitri", 30, begins=-16.0, ends=-6.0, expires=-7.0, tags=("hackathon",)),
    Key("contractor", "platform", "bruno", 9, mix=_CODE, ends=-20.0, blocked=-20.0, expires=-19.0),
    Key("load-tests", "platform", "greta", 14, begins=-3.0, rhythm=ALWAYS, tags=("load",), refused=0.25,
        limits={"rpm_limit": 300, "shadow_limits": []}, agent="k6/1.3.0"),
    Key("intern", "research", "fatou", 0, begins=-2.0),
    Key("terraform", None, "greta", 0, limits={"key_type": "management"}),
)  # fmt: skip

END_USERS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("customer-7", "Example Ltd", {"rpm_limit": 60}),
    ("customer-12", "", {"blocked": True}),
    ("customer-31", "Acme GmbH", {"max_budget": Decimal(25), "budget_duration": "30d"}),
)
