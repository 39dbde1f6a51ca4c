from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('gateway', '0009_log_explorer'),
    ]

    operations = [
        migrations.CreateModel(
            name='RelayReport',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('node', models.CharField(max_length=255)),
                ('worker', models.CharField(max_length=32)),
                ('at', models.DateTimeField(db_index=True)),
                ('keys_version', models.BigIntegerField()),
                ('facts', models.JSONField(default=dict)),
            ],
            options={
                'default_permissions': (),
                'constraints': [models.UniqueConstraint(fields=('node', 'worker'), name='relay_report_worker')],
            },
        ),
    ]
