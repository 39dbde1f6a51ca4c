from django.db import migrations, models

from common.concurrent_indexes import AddIndexConcurrently


class Migration(migrations.Migration):
    """Not one transaction, so that calls go on being counted while the indexes are built."""

    atomic = False

    dependencies = [
        ("gateway", "0019_usage_of_all"),
    ]

    operations = [
        AddIndexConcurrently(
            model_name="usageday",
            index=models.Index(fields=["dimension", "value", "day"], name="usage_day_value"),
        ),
        AddIndexConcurrently(
            model_name="usagehour",
            index=models.Index(
                fields=["user_id", "hour"], name="usage_hour_user", condition=models.Q(("user_id", ""), _negated=True)
            ),
        ),
        AddIndexConcurrently(
            model_name="usagehour",
            index=models.Index(
                fields=["end_user", "hour"],
                name="usage_hour_end_user",
                condition=models.Q(("end_user", ""), _negated=True),
            ),
        ),
    ]
