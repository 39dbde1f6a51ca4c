from django.db import migrations, models
from django.db.models import OuterRef, Subquery


def fill(apps, schema_editor):
    """Each captured call has the team that its log has. A capture has that of its first call, or the key's."""
    payloads = apps.get_model("gateway", "CapturedPayload").objects
    logged = apps.get_model("gateway", "RequestLog").objects.filter(pk=OuterRef("pk")).values("team_id")
    payloads.filter(key_id__isnull=False).update(team_id=Subquery(logged[:1]))
    keys = apps.get_model("keys", "VirtualKey").objects
    for capture in apps.get_model("gateway", "PayloadCapture").objects.filter(key_id__isnull=False):
        first = payloads.filter(capture=capture).exclude(team_id=None).order_by("call_id")
        team = first.values_list("team_id", flat=True).first()
        capture.team_id = team or keys.filter(pk=capture.key_id).values_list("team_id", flat=True).first()
        capture.save(update_fields=["team_id"])


class Migration(migrations.Migration):
    dependencies = [
        ("gateway", "0021_usage_of_all_end_users"),
        ("keys", "0003_limits_and_groups"),
    ]

    operations = [
        migrations.AddField(
            "capturedpayload",
            "team_id",
            models.CharField("team", max_length=64, null=True, help_text="As in the request log."),
        ),
        migrations.AddField(
            "payloadcapture",
            "team_id",
            models.CharField("team", max_length=64, null=True, editable=False, help_text="The key's, at the start."),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
