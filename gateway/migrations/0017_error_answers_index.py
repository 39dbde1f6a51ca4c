from django.db import migrations, models

from common.concurrent_indexes import AddIndexConcurrently

_OTHERWISE = ("refused", "revoked", "drained", "upstream_failed", "gateway_failed", "lost")


class Migration(migrations.Migration):
    """Not one transaction, so that calls go on being written while the index is built."""

    atomic = False

    dependencies = [
        ("gateway", "0016_cut_and_unlisted_calls"),
    ]

    operations = [
        AddIndexConcurrently(
            model_name="requestlog",
            index=models.Index(
                fields=["call_id"],
                name="request_log_error_answers",
                condition=models.Q(
                    models.Q(("outcome__in", _OTHERWISE), _negated=True),
                    ("status__gte", 400),
                ),
            ),
        ),
    ]
