from django.db import migrations, models

# For the calls that carry a tag; most carry none. Django's own index of this kind would need another app, and the
# state of the models knows nothing of this one.
_TAGS = """
CREATE INDEX request_log_tags ON gateway_requestlog USING gin (tags jsonb_path_ops) WHERE tags <> '[]'::jsonb
"""
_TOTALS = """
INSERT INTO gateway_usagehourtotal
    (hour, calls, errors, prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens, cost)
SELECT hour, SUM(calls), SUM(errors), SUM(prompt_tokens), SUM(completion_tokens), SUM(cached_tokens),
    SUM(reasoning_tokens), SUM(cost)
FROM gateway_usagehour GROUP BY hour
"""


def index_tags(apps, schema_editor):
    if schema_editor.connection.vendor == 'postgresql':
        schema_editor.execute(_TAGS)


def drop_index(apps, schema_editor):
    if schema_editor.connection.vendor == 'postgresql':
        schema_editor.execute('DROP INDEX IF EXISTS request_log_tags')


class Migration(migrations.Migration):

    dependencies = [
        ('gateway', '0005_pending_responses'),
    ]

    operations = [
        migrations.CreateModel(
            name='UsageHourTotal',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('calls', models.BigIntegerField(default=0)),
                ('errors', models.BigIntegerField(default=0)),
                ('prompt_tokens', models.BigIntegerField(default=0)),
                ('completion_tokens', models.BigIntegerField(default=0)),
                ('cached_tokens', models.BigIntegerField(default=0)),
                ('reasoning_tokens', models.BigIntegerField(default=0)),
                ('cost', models.DecimalField(decimal_places=10, help_text='US dollars.', max_digits=24, null=True)),
                ('hour', models.DateTimeField(unique=True)),
            ],
            options={
                'verbose_name': 'usage of all calls in an hour',
                'verbose_name_plural': 'usage of all calls by hour',
                'default_permissions': (),
            },
        ),
        migrations.RunSQL(_TOTALS, migrations.RunSQL.noop),
        migrations.AddIndex(
            model_name='usagehourtag',
            index=models.Index(fields=['tag', 'hour'], name='usage_hour_tag'),
        ),
        migrations.RunPython(index_tags, drop_index),
    ]
