import django.db.models.deletion
from django.db import migrations, models

_FILL = {
    "postgresql": """
        INSERT INTO gateway_requestfacet (kind, value, call_id)
        SELECT '{kind}', {value}, call_id FROM gateway_requestlog {each} WHERE {column} <> '[]' ON CONFLICT DO NOTHING
    """,
    "sqlite": """
        INSERT OR IGNORE INTO gateway_requestfacet (kind, value, call_id)
        SELECT '{kind}', {value}, call_id FROM gateway_requestlog {each} WHERE {column} <> '[]'
    """,
}
_EACH = {
    "postgresql": "CROSS JOIN jsonb_array_elements_text({column}) AS item(value)",
    "sqlite": "CROSS JOIN json_each({column}) AS item",
}


def fill(apps, schema_editor):
    """The rows that are there have tags and limits in shadow too."""
    vendor = schema_editor.connection.vendor
    for kind, column, value, is_each in (
        ("tag", "tags", "item.value", True),
        ("shadowed", "shadowed", "item.value", True),
        ("shadowed", "shadowed", "''", False),
    ):
        each = _EACH[vendor].format(column=column) if is_each else ""
        schema_editor.execute(_FILL[vendor].format(kind=kind, column=column, value=value, each=each))


class Migration(migrations.Migration):
    dependencies = [
        ("gateway", "0008_payload_capture"),
    ]

    operations = [
        migrations.CreateModel(
            name="RequestFacet",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "kind", "value", "call_id", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("kind", models.CharField(max_length=16)),
                ("value", models.CharField(max_length=64)),
                (
                    "call",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="facets",
                        to="gateway.requestlog",
                    ),
                ),
            ],
            options={"default_permissions": ()},
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
        migrations.AddField(
            model_name="requestlog",
            name="decisions",
            field=models.JSONField(
                editable=False,
                help_text="What was decided of the call, and when (gateway.account.decisions).",
                null=True,
            ),
        ),
        migrations.RemoveIndex(model_name="requestlog", name="request_log_end_user"),
        migrations.AddIndex(
            model_name="requestlog",
            index=models.Index(fields=["endpoint_class", "call_id"], name="request_log_class"),
        ),
        migrations.AddIndex(
            model_name="requestlog",
            index=models.Index(fields=["streaming", "call_id"], name="request_log_streaming"),
        ),
        migrations.AddIndex(
            model_name="requestlog",
            index=models.Index(
                condition=models.Q(("end_user__isnull", False)),
                fields=["end_user", "call_id"],
                name="request_log_end_user_text",
                opclasses=["varchar_pattern_ops", "uuid_ops"],
            ),
        ),
        migrations.AddIndex(
            model_name="requestlog",
            index=models.Index(
                fields=["key_name", "call_id"],
                name="request_log_key_name",
                opclasses=["varchar_pattern_ops", "uuid_ops"],
            ),
        ),
    ]
