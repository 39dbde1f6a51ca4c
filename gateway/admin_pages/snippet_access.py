"""What a key may call, as the relay's permission step would say: for programs that are to work when they are pasted.

Knows no limit and no address: the program may be run later, and from elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from common.errors import GatewayError
from gateway.faces import OPENAI, VLLM
from gateway.route_groups import groups_of
from gateway.routes import INFERENCE, find
from keys.admin_states import holders_of
from keys.identity import Identity, Party
from keys.models import VirtualKey
from keys.permissions import check_class, check_model, check_parties, check_route, resolve_alias
from keys.registry import DatabaseDirectory

_NO_MODELS = ("",)  # a damaged list allows none


@dataclass(frozen=True, slots=True)
class Access:
    """A key with the lists of its team and its owner. `identity` is None for a key without a secret."""

    identity: Identity | None
    parties: tuple[Party, ...]

    @classmethod
    def of(cls, key: VirtualKey) -> Access:
        """What the database says now; a few queries."""
        return cls(next(iter(DatabaseDirectory().of_key(key.pk)), None), tuple(_parties(key)))

    def may_call(self, target: str, model: str | None = None) -> bool:
        """Whether the key gets past the permission step with this method and path (`POST /vllm/v1/embeddings`)."""
        try:
            self._check(target, model)
        except GatewayError:
            return False
        return True

    def may_use(self, model: str) -> bool:
        """Whether the lists of models allow this one."""
        if self.identity is None:
            return False
        try:
            check_model(self.identity, model)
            check_parties(self.parties, resolve_alias(self.identity, model))
        except GatewayError:
            return False
        return True

    def _check(self, target: str, model: str | None) -> None:
        method, _, path = target.partition(" ")
        face = VLLM if path.startswith(f"{VLLM.prefix}/") else OPENAI
        match = find(method, path.removeprefix(face.prefix))
        if self.identity is None:
            raise GatewayError
        check_class(self.identity, match.endpoint_class)
        check_route(self.identity, path, groups_of(face, match))
        if match.endpoint_class == INFERENCE:
            check_model(self.identity, model)
            check_parties(self.parties, None if model is None else resolve_alias(self.identity, model))


def _parties(key: VirtualKey) -> Iterable[Party]:
    for holder in holders_of([key])[key.pk]:
        models = holder.row.models
        listed = tuple(map(str, models)) if isinstance(models, list) else _NO_MODELS
        yield Party(kind=holder.row.kind, ident=holder.row.public_id, models=listed)
