from django.db import migrations, models

from common.concurrent_indexes import AddIndexConcurrently


class Migration(migrations.Migration):
    """Not one transaction, so that calls go on being written while the indexes are built."""

    atomic = False

    dependencies = [
        ("gateway", "0022_team_of_captures"),
    ]

    operations = [
        AddIndexConcurrently(
            model_name="requestlog",
            index=models.Index(fields=["route", "call_id"], name="request_log_route"),
        ),
        AddIndexConcurrently(
            model_name="requestlog",
            index=models.Index(
                condition=models.Q(("error_type__isnull", False)),
                fields=["error_type", "call_id"],
                name="request_log_error_type",
            ),
        ),
    ]
