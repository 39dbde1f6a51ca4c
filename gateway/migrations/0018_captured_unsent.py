from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("gateway", "0017_error_answers_index"),
    ]

    operations = [
        migrations.AddField(
            model_name="capturedpayload",
            name="unsent",
            field=models.BooleanField(
                db_default=False, default=False, help_text="The call was refused before any upstream had it."
            ),
        ),
    ]
