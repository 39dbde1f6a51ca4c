from django.db import migrations, models


def cut():
    return models.BigIntegerField(
        default=0, db_default=0, help_text="Those of the errors that the gateway cut; counted since this column."
    )


class Migration(migrations.Migration):
    """Sums that stand are left alone: who reads them counts as failed what nobody has told apart."""

    dependencies = [
        ("gateway", "0015_relay_report_unindexed"),
    ]

    operations = [
        migrations.AddField("usageday", "cut", cut()),
        migrations.AddField("usagehour", "cut", cut()),
        migrations.AddField("usagehourmodel", "cut", cut()),
        migrations.AddField("usagehourtag", "cut", cut()),
        migrations.AddField("usagehourtotal", "cut", cut()),
        migrations.CreateModel(
            name="UnlistedCalls",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("slot", models.DateTimeField()),
                ("reason", models.CharField(max_length=32)),
                ("calls", models.BigIntegerField(default=0)),
            ],
            options={
                "default_permissions": (),
                "constraints": [models.UniqueConstraint(fields=("slot", "reason"), name="unlisted_calls_slot")],
            },
        ),
    ]
