from django.db import migrations, models

_DIMENSIONS = {
    'team': ('team_id', "''"),
    'key': ("CASE WHEN key_id = 0 THEN '' ELSE CAST(key_id AS varchar(20)) END", 'MAX(key_name)'),
    'owner': ('user_id', "''"),
    'end_user': ('end_user', "''"),
    'model': ('model', "''"),
    'upstream': ("CASE WHEN upstream_id = 0 THEN '' ELSE CAST(upstream_id AS varchar(20)) END", 'MAX(upstream_name)'),
}
_SUMS = (
    'SUM(calls), SUM(errors), SUM(prompt_tokens), SUM(completion_tokens), SUM(cached_tokens), SUM(reasoning_tokens), '
    'SUM(cost)'
)
_INSERT = """
INSERT INTO gateway_usageday (dimension, day, team_id, value, label, calls, errors, prompt_tokens, completion_tokens,
    cached_tokens, reasoning_tokens, cost)
"""


def add_up(apps, schema_editor):
    """Days out of hours. Of tags nobody knows any more which team's calls had them."""
    connection = schema_editor.connection
    day = "CAST(hour AT TIME ZONE 'UTC' AS date)" if connection.vendor == 'postgresql' else 'date(hour)'
    with connection.cursor() as cursor:
        for dimension, (value, label) in _DIMENSIONS.items():
            columns = f"'{dimension}', {day}, team_id, {value}, {label}, {_SUMS}"
            cursor.execute(f'{_INSERT} SELECT {columns} FROM gateway_usagehour GROUP BY {day}, team_id, {value}')
        columns = f"'tag', {day}, '', tag, '', {_SUMS}"
        cursor.execute(f'{_INSERT} SELECT {columns} FROM gateway_usagehourtag GROUP BY {day}, tag')


class Migration(migrations.Migration):
    dependencies = [
        ('gateway', '0010_relay_report'),
    ]

    operations = [
        migrations.CreateModel(
            name='UsageDay',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('calls', models.BigIntegerField(default=0)),
                ('errors', models.BigIntegerField(default=0)),
                ('prompt_tokens', models.BigIntegerField(default=0)),
                ('completion_tokens', models.BigIntegerField(default=0)),
                ('cached_tokens', models.BigIntegerField(default=0)),
                ('reasoning_tokens', models.BigIntegerField(default=0)),
                ('cost', models.DecimalField(decimal_places=10, help_text='US dollars.', max_digits=24, null=True)),
                ('dimension', models.CharField(max_length=16)),
                ('day', models.DateField()),
                ('team_id', models.CharField(blank=True, default='', max_length=64)),
                ('value', models.CharField(blank=True, default='', max_length=200)),
                ('label', models.CharField(blank=True, default='', max_length=200)),
            ],
            options={
                'verbose_name': 'usage on a day',
                'verbose_name_plural': 'usage by day',
                'default_permissions': (),
            },
        ),
        migrations.AddConstraint(
            model_name='usageday',
            constraint=models.UniqueConstraint(
                fields=('dimension', 'day', 'team_id', 'value'), name='usage_day_dimensions'
            ),
        ),
        migrations.RunPython(add_up, migrations.RunPython.noop),
        migrations.AlterModelOptions(
            name='adminpage',
            options={
                'default_permissions': (),
                'managed': False,
                'permissions': [
                    ('view_settings_in_force', "Can see the settings in force, the system checks and the doctor's results"),
                    ('use_policy_check', 'Can ask whether a call would be allowed'),
                    ('use_playground', 'Can call models from the playground, with a key that is made for it'),
                ],
                'verbose_name': 'admin page',
            },
        ),
    ]
