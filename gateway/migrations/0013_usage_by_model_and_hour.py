from django.db import migrations, models

_SUMS = ('calls', 'errors', 'refused', 'prompt_tokens', 'completion_tokens', 'cached_tokens', 'reasoning_tokens', 'cost')
_ADD_UP = f"""
INSERT INTO gateway_usagehourmodel (hour, team_id, model, {', '.join(_SUMS)})
SELECT hour, team_id, model, {', '.join(f'SUM({name})' for name in _SUMS)} FROM gateway_usagehour
GROUP BY hour, team_id, model
"""


class Migration(migrations.Migration):
    dependencies = [
        ('gateway', '0012_refused_calls'),
    ]

    operations = [
        migrations.CreateModel(
            name='UsageHourModel',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('calls', models.BigIntegerField(default=0)),
                ('errors', models.BigIntegerField(default=0)),
                (
                    'refused',
                    models.BigIntegerField(
                        db_default=0,
                        default=0,
                        help_text='Those of the errors that the gateway refused; counted since this column.',
                    ),
                ),
                ('prompt_tokens', models.BigIntegerField(default=0)),
                ('completion_tokens', models.BigIntegerField(default=0)),
                ('cached_tokens', models.BigIntegerField(default=0)),
                ('reasoning_tokens', models.BigIntegerField(default=0)),
                ('cost', models.DecimalField(decimal_places=10, help_text='US dollars.', max_digits=24, null=True)),
                ('hour', models.DateTimeField()),
                ('team_id', models.CharField(blank=True, default='', max_length=64)),
                ('model', models.CharField(blank=True, default='', max_length=200)),
            ],
            options={
                'verbose_name': 'usage of a model in an hour',
                'verbose_name_plural': 'usage by model and hour',
                'default_permissions': (),
                'constraints': [
                    models.UniqueConstraint(fields=('hour', 'team_id', 'model'), name='usage_hour_model_dimensions')
                ],
            },
        ),
        migrations.RunSQL(_ADD_UP, migrations.RunSQL.noop),
    ]
