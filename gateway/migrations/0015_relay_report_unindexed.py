from django.db import migrations, models


class Migration(migrations.Migration):
    """No query of so few rows needs it, and it made every update write a new index entry."""

    dependencies = [
        ("gateway", "0014_log_explorer_indexes"),
    ]

    operations = [
        migrations.AlterField(model_name="relayreport", name="at", field=models.DateTimeField()),
    ]
