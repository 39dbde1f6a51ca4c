from datetime import UTC, datetime, timedelta

from django.db import migrations, models

_SUMS = (
    "calls",
    "errors",
    "refused",
    "cut",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "cost",
)
_COLUMNS = ", ".join(_SUMS)
_ADDED = ", ".join(f"SUM({name})" for name in _SUMS)
_MIDNIGHT = {"postgresql": "CAST({} AS timestamp) AT TIME ZONE 'UTC'", "sqlite": "datetime({})"}
_FIRST_OF_MONTH = {"postgresql": "date_trunc('month', CAST(day AS timestamp))", "sqlite": "day, 'start of month'"}


def add_up(apps, schema_editor):
    """Days and months out of the days of the teams; hours of the last two days, as nobody reads older ones."""
    connection = schema_editor.connection
    midnight, first = _MIDNIGHT[connection.vendor], _FIRST_OF_MONTH[connection.vendor]
    since = f"{datetime.now(UTC) - timedelta(days=2):%Y-%m-%d %H:00:00}"
    since = f"'{since}+00'" if connection.vendor == "postgresql" else f"'{since}'"
    upstream = "CASE WHEN upstream_id = 0 THEN '' ELSE CAST(upstream_id AS varchar(20)) END"
    days, of_teams = midnight.format("day"), "WHERE dimension = 'team'"
    for span, dimension, start, value, label, source in (
        ("day", "dimension", days, "value", "MAX(label)", "usageday WHERE dimension IN ('model', 'upstream', 'tag')"),
        ("day", "'all'", days, "''", "''", f"usageday {of_teams}"),
        (
            *("month", "dimension", midnight.format(first), "value", "MAX(label)"),
            "usageday WHERE dimension IN ('team', 'key', 'owner', 'end_user')",
        ),
        ("hour", "'model'", "hour", "model", "''", f"usagehourmodel WHERE hour >= {since}"),
        ("hour", "'upstream'", "hour", upstream, "''", f"usagehour WHERE hour >= {since}"),
    ):
        schema_editor.execute(
            f"INSERT INTO gateway_usageofall (span, dimension, start, value, label, {_COLUMNS})"
            f" SELECT '{span}', {dimension}, {start}, {value}, {label}, {_ADDED} FROM gateway_{source} GROUP BY 2, 3, 4"
        )


class Migration(migrations.Migration):
    dependencies = [
        ("gateway", "0018_captured_unsent"),
    ]

    operations = [
        migrations.CreateModel(
            name="UsageOfAll",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("calls", models.BigIntegerField(default=0)),
                ("errors", models.BigIntegerField(default=0)),
                (
                    "refused",
                    models.BigIntegerField(
                        db_default=0,
                        default=0,
                        help_text="Those of the errors that the gateway refused; counted since this column.",
                    ),
                ),
                (
                    "cut",
                    models.BigIntegerField(
                        db_default=0,
                        default=0,
                        help_text="Those of the errors that the gateway cut; counted since this column.",
                    ),
                ),
                ("prompt_tokens", models.BigIntegerField(default=0)),
                ("completion_tokens", models.BigIntegerField(default=0)),
                ("cached_tokens", models.BigIntegerField(default=0)),
                ("reasoning_tokens", models.BigIntegerField(default=0)),
                ("cost", models.DecimalField(decimal_places=10, help_text="US dollars.", max_digits=24, null=True)),
                ("span", models.CharField(max_length=8)),
                ("dimension", models.CharField(max_length=16)),
                ("start", models.DateTimeField()),
                ("value", models.CharField(blank=True, default="", max_length=200)),
                ("label", models.CharField(blank=True, default="", max_length=200)),
            ],
            options={
                "verbose_name": "usage of all teams",
                "verbose_name_plural": "usage of all teams",
                "default_permissions": (),
            },
        ),
        migrations.RunPython(add_up, migrations.RunPython.noop),
        # After the rows: a table is filled sooner without.
        migrations.AddConstraint(
            model_name="usageofall",
            constraint=models.UniqueConstraint(
                fields=("span", "dimension", "start", "value"), name="usage_of_all_dimensions"
            ),
        ),
    ]
