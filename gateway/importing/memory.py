"""What the last import took over: so that the next one can tell what has changed there from what was changed here."""

from __future__ import annotations

from django.db import models


class ImportedRow(models.Model):
    """One row of a LiteLLM's database, as it was when it was last read.

    `source` names that database, `source_id` the row there (of a key its digest), `row_id` the row here. `values` are
    columns here, without any credential. `spend` is in units of `common.money`.
    """

    source = models.CharField(max_length=300)
    kind = models.CharField(max_length=20)
    source_id = models.CharField(max_length=300)
    row_id = models.BigIntegerField()
    values = models.JSONField(default=dict)
    digests = models.JSONField(default=list)
    spend = models.BigIntegerField(default=0)
    resets_at = models.DateTimeField(null=True)
    imported_at = models.DateTimeField()

    class Meta:
        verbose_name = "imported row"
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["source", "kind", "source_id"], name="imported_row_once")]

    def __str__(self) -> str:
        return f"{self.kind} {self.row_id}"
