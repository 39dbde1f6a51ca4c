import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """Only what is done at once. What takes long with many rows follows in 0014, while the log can be written."""

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
        migrations.AddField(
            model_name="requestlog",
            name="decisions",
            field=models.JSONField(
                editable=False,
                help_text="What was decided of the call, and when (gateway.account.decisions).",
                null=True,
            ),
        ),
    ]
