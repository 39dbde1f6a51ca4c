"""The servers that calls can go to, and which models they serve. Knows neither keys nor traffic.

Every process keeps a copy (`upstreams.pool`): writes bump the version, observations are written quietly.
"""

from upstreams.models.canary import EncryptionCanary
from upstreams.models.deployment import Deployment, DeploymentQuerySet
from upstreams.models.observed import HealthChange, LoadSample
from upstreams.models.upstream import (
    ACTIVE,
    DISABLED,
    DRAINING,
    HEALTHY,
    OBSERVED,
    UNHEALTHY,
    UNKNOWN,
    Upstream,
    UpstreamQuerySet,
    healths,
    states,
)
from upstreams.price_history import PricePeriod
from upstreams.routing import ModelAlias, Routing
from upstreams.sources import ADMIN, CONFIG, DISCOVERED, ENVIRONMENT, sources
from upstreams.version import DeletedUpstream, UpstreamsVersion

__all__ = [
    "ACTIVE",
    "ADMIN",
    "CONFIG",
    "DISABLED",
    "DISCOVERED",
    "DRAINING",
    "ENVIRONMENT",
    "HEALTHY",
    "OBSERVED",
    "UNHEALTHY",
    "UNKNOWN",
    "DeletedUpstream",
    "Deployment",
    "DeploymentQuerySet",
    "EncryptionCanary",
    "HealthChange",
    "LoadSample",
    "ModelAlias",
    "PricePeriod",
    "Routing",
    "Upstream",
    "UpstreamQuerySet",
    "UpstreamsVersion",
    "healths",
    "sources",
    "states",
]
