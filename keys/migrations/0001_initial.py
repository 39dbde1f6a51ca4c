import django.db.models.deletion
import django.utils.timezone
import keys.models
from django.db import migrations, models



def create_version_row(apps, schema_editor):
    apps.get_model("keys", "KeysVersion").objects.using(schema_editor.connection.alias).get_or_create(pk=1)


# Each statement of a volatile function sees what was committed before it began, so the sum is right once the lock is
# held. The locks end with the transaction; charges come sorted, so that two callers cannot wait for each other.
TAKE = """
CREATE FUNCTION keys_take(lease text, counters text[], amounts int[], ceilings int[], lifetime double precision)
RETURNS TABLE (refused int, used bigint) LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  FOR place IN 1 .. cardinality(counters) LOOP
    PERFORM pg_advisory_xact_lock(hashtextextended(counters[place], 0));
    DELETE FROM keys_lease WHERE counter = counters[place] AND expires_at <= clock_timestamp();
    SELECT coalesce(sum(amount), 0) INTO used FROM keys_lease WHERE counter = counters[place];
    FOR earlier IN 1 .. place - 1 LOOP
      IF counters[earlier] = counters[place] THEN
        used := used + amounts[earlier];
      END IF;
    END LOOP;
    IF used + amounts[place] > ceilings[place] THEN
      refused := place;
      RETURN NEXT;
      RETURN;
    END IF;
  END LOOP;
  INSERT INTO keys_lease (lease_id, counter, amount, expires_at)
    SELECT lease, taken.counter, taken.amount, clock_timestamp() + make_interval(secs => lifetime)
    FROM unnest(counters, amounts) AS taken (counter, amount);
END
$$
"""


def prepare_postgresql(apps, schema_editor):
    """Leases may be lost in a crash of the database, and are written twice per call: they need no WAL."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("ALTER TABLE keys_lease SET UNLOGGED")
        schema_editor.execute(TAKE)


def remove_function(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP FUNCTION keys_take")


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='DeletedKey',
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
            name='KeysVersion',
            fields=[
                ('id', models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ('value', models.BigIntegerField(default=0)),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='Lease',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('lease_id', models.CharField(db_index=True, max_length=64)),
                ('counter', models.CharField(db_index=True, max_length=200)),
                ('amount', models.PositiveIntegerField()),
                ('expires_at', models.DateTimeField(db_index=True)),
            ],
        ),
        migrations.CreateModel(
            name='VirtualKey',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('version', models.BigIntegerField(db_index=True, default=0, editable=False)),
                ('name', models.CharField(blank=True, help_text='Unique. LiteLLM calls it key_alias.', max_length=255, null=True, unique=True)),
                ('user_id', models.CharField(blank=True, db_index=True, help_text='Who holds the key.', max_length=255, null=True, verbose_name='owner')),
                ('models', models.JSONField(blank=True, default=list, help_text='Allowed models, such as ["my-model", "qwen-*"]; [] allows all.', validators=[keys.models.validate_models])),
                ('metadata', models.JSONField(blank=True, default=dict, help_text='A JSON object; its list "tags" is copied to the request log.', validators=[keys.models.validate_metadata])),
                ('endpoint_classes', models.JSONField(blank=True, default=keys.models.default_endpoint_classes, help_text='Which kinds of endpoint the key may call: inference, monitoring, server_control.', validators=[keys.models.validate_endpoint_classes])),
                ('max_parallel_requests', models.PositiveIntegerField(blank=True, help_text='How many calls may be open at once; empty means no limit.', null=True)),
                ('expires_at', models.DateTimeField(blank=True, help_text='Empty means never.', null=True)),
                ('blocked', models.BooleanField(default=False)),
                ('created_at', models.DateTimeField(db_index=True, default=django.utils.timezone.now, editable=False)),
                ('created_by', models.CharField(blank=True, default='', editable=False, max_length=255)),
                ('updated_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('last_used_at', models.DateTimeField(blank=True, editable=False, null=True)),
            ],
            options={
                'verbose_name': 'virtual key',
                'ordering': ['-created_at', '-pk'],
            },
        ),
        migrations.CreateModel(
            name='Secret',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('digest', models.CharField(editable=False, max_length=64, unique=True)),
                ('prefix', models.CharField(editable=False, max_length=16)),
                ('last_four', models.CharField(editable=False, max_length=4)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('expires_at', models.DateTimeField(blank=True, help_text="The end of a rotation's overlap.", null=True)),
                ('last_used_at', models.DateTimeField(blank=True, editable=False, null=True)),
                ('key', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='secrets', to='keys.virtualkey')),
            ],
            options={
                'ordering': ['pk'],
            },
        ),
        migrations.RunPython(create_version_row, migrations.RunPython.noop),
        migrations.RunPython(prepare_postgresql, remove_function),
    ]
