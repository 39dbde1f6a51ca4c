"""The key API, for managers: LiteLLM's `/key/*` with LiteLLM's names, shapes and statuses.

Each write is one transaction and leaves a line in Django's history. A manager holds the master key or a management
key; the latter can do nothing to keys of its own kind.
"""

from keys.views.reading import AliasesView, HealthView, InfosView, InfoView, ListView
from keys.views.rotating import RegenerateView, ResetSpendView
from keys.views.shared import KeyView
from keys.views.writing import (
    BlockView,
    BulkUpdateView,
    DeleteView,
    GenerateView,
    ServiceAccountView,
    UnblockView,
    UpdateView,
)

__all__ = [
    "AliasesView",
    "BlockView",
    "BulkUpdateView",
    "DeleteView",
    "GenerateView",
    "HealthView",
    "InfoView",
    "InfosView",
    "KeyView",
    "ListView",
    "RegenerateView",
    "ResetSpendView",
    "ServiceAccountView",
    "UnblockView",
    "UpdateView",
]
