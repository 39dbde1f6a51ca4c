from django.db import migrations

_SUMS = "calls errors refused cut prompt_tokens completion_tokens cached_tokens reasoning_tokens cost".split()
_START = {"postgresql": "CAST(day AS timestamp) AT TIME ZONE 'UTC'", "sqlite": "datetime(day)"}


def add_up(apps, schema_editor):
    """The days of end users, out of those of the teams. Where calls were counted meanwhile, theirs are in these too."""
    start = _START[schema_editor.connection.vendor]
    schema_editor.execute("DELETE FROM gateway_usageofall WHERE span = 'day' AND dimension = 'end_user'")
    schema_editor.execute(
        f"INSERT INTO gateway_usageofall (span, dimension, start, value, label, {', '.join(_SUMS)})"
        f" SELECT 'day', 'end_user', {start}, value, '', {', '.join(f'SUM({name})' for name in _SUMS)}"
        " FROM gateway_usageday WHERE dimension = 'end_user' GROUP BY 3, 4"
    )


class Migration(migrations.Migration):
    dependencies = [
        ("gateway", "0020_usage_indexes"),
    ]

    operations = [
        migrations.RunPython(add_up, migrations.RunPython.noop),
    ]
