from django.db import migrations, models


def refused():
    return models.BigIntegerField(
        default=0, db_default=0, help_text='Those of the errors that the gateway refused; counted since this column.'
    )


class Migration(migrations.Migration):
    dependencies = [
        ('gateway', '0011_usage_days'),
    ]

    operations = [
        migrations.AddField('usageday', 'refused', refused()),
        migrations.AddField('usagehour', 'refused', refused()),
        migrations.AddField('usagehourtag', 'refused', refused()),
        migrations.AddField('usagehourtotal', 'refused', refused()),
    ]
