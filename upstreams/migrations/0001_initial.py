import django.db.models.deletion
import upstreams.fields
import upstreams.models
from django.db import migrations, models


def make_version_row(apps, schema_editor):
    apps.get_model('upstreams', 'UpstreamsVersion').objects.get_or_create(pk=1)


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='DeletedUpstream',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('row_id', models.BigIntegerField()),
                ('version', models.BigIntegerField(db_index=True)),
                ('deleted_at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='EncryptionCanary',
            fields=[
                ('id', models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ('token', models.TextField()),
            ],
        ),
        migrations.CreateModel(
            name='UpstreamsVersion',
            fields=[
                ('id', models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ('value', models.BigIntegerField(default=0)),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='Upstream',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('version', models.BigIntegerField(db_index=True, default=0, editable=False)),
                ('name', models.CharField(max_length=100, unique=True)),
                ('url', models.CharField(help_text='Such as http://my-vllm:8000, with or without a trailing /v1.', max_length=500, verbose_name='URL')),
                ('credential', upstreams.fields.EncryptedTextField(blank=True, default='', help_text="The server's own API key (--api-key). Cleared when the URL moves to another host or port.")),
                ('state', models.CharField(choices=upstreams.models.states, default='active', max_length=20)),
                ('is_default', models.BooleanField(default=False, help_text='Receives every call whose model is not an alias of a deployment.', verbose_name='default')),
                ('source', models.CharField(choices=upstreams.models.sources, default='admin', editable=False, max_length=20)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('health', models.CharField(choices=upstreams.models.healths, default='unknown', editable=False, max_length=20)),
                ('health_text', models.TextField(blank=True, default='', editable=False)),
                ('checked_at', models.DateTimeField(editable=False, null=True)),
                ('latency_ms', models.FloatField(editable=False, null=True)),
                ('vllm_version', models.CharField(blank=True, default='', editable=False, max_length=50, verbose_name='vLLM version')),
                ('served_models', models.JSONField(default=list, editable=False)),
            ],
            options={
                'ordering': ['name'],
                'constraints': [models.UniqueConstraint(condition=models.Q(('is_default', True)), fields=('is_default',), name='upstreams_one_default')],
            },
        ),
        migrations.CreateModel(
            name='Deployment',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('alias', models.CharField(help_text='The model name that clients ask for.', max_length=200, verbose_name='model alias')),
                ('served_name', models.CharField(blank=True, help_text='The name that vLLM was started with; empty: the same as the alias.', max_length=200)),
                ('upstream', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='deployments', to='upstreams.upstream')),
            ],
            options={
                'ordering': ['alias'],
                'constraints': [models.UniqueConstraint(fields=('upstream', 'alias'), name='upstreams_one_alias_per_upstream')],
            },
        ),
        migrations.RunPython(make_version_row, migrations.RunPython.noop, elidable=False),
    ]
