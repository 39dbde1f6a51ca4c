import django.utils.timezone
from django.db import migrations, models


def begin(apps, schema_editor):
    """The prices that are there count from the day on which their upstream was added."""
    periods = apps.get_model("upstreams", "PricePeriod").objects
    for row in apps.get_model("upstreams", "Upstream").objects.exclude(price_per_hour=None):
        periods.create(
            upstream_id=row.pk,
            upstream_name=row.name,
            price_per_hour=row.price_per_hour,
            begins_at=row.created_at,
        )


class Migration(migrations.Migration):

    dependencies = [
        ('upstreams', '0003_prices'),
    ]

    operations = [
        migrations.CreateModel(
            name='PricePeriod',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('upstream_id', models.BigIntegerField()),
                ('upstream_name', models.CharField(max_length=100)),
                ('price_per_hour', models.DecimalField(decimal_places=6, max_digits=14)),
                ('begins_at', models.DateTimeField()),
                ('ends_at', models.DateTimeField(null=True)),
                ('noted_at', models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                'ordering': ['begins_at', 'pk'],
                'default_permissions': (),
                'constraints': [models.UniqueConstraint(condition=models.Q(('ends_at', None)), fields=('upstream_id',), name='upstreams_one_price_now')],
            },
        ),
        migrations.RunPython(begin, migrations.RunPython.noop),
    ]
