from django.db import migrations, models

from common.concurrent_indexes import AddIndexConcurrently, RemoveIndexConcurrently

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
    """Takes long with many rows, so it is not one transaction: each part can be done again."""

    atomic = False

    dependencies = [
        ("gateway", "0013_usage_by_model_and_hour"),
    ]

    operations = [
        migrations.RunPython(fill, migrations.RunPython.noop),
        AddIndexConcurrently(
            model_name="requestlog",
            index=models.Index(fields=["endpoint_class", "call_id"], name="request_log_class"),
        ),
        AddIndexConcurrently(
            model_name="requestlog",
            index=models.Index(fields=["streaming", "call_id"], name="request_log_streaming"),
        ),
        AddIndexConcurrently(
            model_name="requestlog",
            index=models.Index(
                condition=models.Q(("end_user__isnull", False)),
                fields=["end_user", "call_id"],
                name="request_log_end_user_text",
                opclasses=["varchar_pattern_ops", "uuid_ops"],
            ),
        ),
        AddIndexConcurrently(
            model_name="requestlog",
            index=models.Index(
                fields=["key_name", "call_id"],
                name="request_log_key_name",
                opclasses=["varchar_pattern_ops", "uuid_ops"],
            ),
        ),
        RemoveIndexConcurrently(model_name="requestlog", name="request_log_end_user"),
    ]
