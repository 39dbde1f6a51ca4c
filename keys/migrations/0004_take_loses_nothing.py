"""`keys_take` reads a counter and its leases in one statement, so that a call which is settled meanwhile is seen
either as held or as spent; and it only ever adds to what stands there, so that nothing which is settled meanwhile is
overwritten.
"""

from django.db import migrations

TAKE = """
CREATE OR REPLACE FUNCTION keys_take(
  lease text, counters text[], amounts bigint[], ceilings bigint[], helds bool[], lengths float8[],
  elastics bool[], enforceds bool[], floors bigint[], lifetime float8
) RETURNS TABLE (place int, stands_at bigint, seconds_left float8, taken bigint, refused bool, exceeded bool)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  stands bigint[] := '{}';
  gets bigint[] := '{}';
  tells bool[] := '{}';
  grows bigint[] := '{}';
  ends timestamptz[] := '{}';
  moment timestamptz;
  stored bigint;
  held_now bigint;
  in_use bigint;
  room bigint;
  ending timestamptz;
  gained bigint;
BEGIN
  FOR i IN 1 .. cardinality(counters) LOOP
    PERFORM pg_advisory_xact_lock(hashtextextended(counters[i], 0));
    moment := clock_timestamp();
    stored := NULL;
    held_now := 0;
    IF lengths[i] IS NOT DISTINCT FROM 0 THEN
      SELECT coalesce(sum(l.amount), 0) INTO held_now FROM keys_lease l
        WHERE l.counter = counters[i] AND l.expires_at > moment;
    ELSIF helds[i] THEN
      SELECT c.used, c.ends_at, coalesce(l.amount, 0) INTO stored, ending, held_now
        FROM (SELECT sum(k.amount) AS amount FROM keys_lease k
              WHERE k.counter = counters[i] AND k.expires_at > moment) AS l
        LEFT JOIN keys_counter c ON c.counter = counters[i] AND (c.ends_at IS NULL OR c.ends_at > moment);
    ELSE
      SELECT c.used, c.ends_at INTO stored, ending FROM keys_counter c
        WHERE c.counter = counters[i] AND (c.ends_at IS NULL OR c.ends_at > moment);
    END IF;
    IF stored IS NULL THEN
      ending := moment + make_interval(secs => lengths[i]);
    END IF;
    in_use := greatest(coalesce(stored, 0), floors[i]) + held_now;
    room := ceilings[i] - in_use;
    gained := amounts[i];
    IF room < (CASE WHEN elastics[i] THEN 1 ELSE gained END) THEN
      IF enforceds[i] THEN
        RETURN QUERY SELECT i, in_use, extract(epoch FROM ending - moment)::float8, 0::bigint, true, true;
        RETURN;
      END IF;
      tells := tells || true;
    ELSE
      IF elastics[i] THEN
        gained := least(gained, room);
      END IF;
      tells := tells || false;
    END IF;
    stands := stands || (in_use + gained);
    gets := gets || gained;
    grows := grows || (greatest(floors[i] - coalesce(stored, 0), 0) + CASE WHEN helds[i] THEN 0 ELSE gained END);
    ends := ends || ending;
  END LOOP;
  FOR i IN 1 .. cardinality(counters) LOOP
    IF helds[i] AND gets[i] > 0 THEN
      INSERT INTO keys_lease (lease_id, counter, amount, expires_at)
        VALUES (lease, counters[i], gets[i], clock_timestamp() + make_interval(secs => lifetime));
    END IF;
    IF grows[i] > 0 AND lengths[i] IS DISTINCT FROM 0 AND NOT (i > 1 AND counters[i] = counters[i - 1]) THEN
      INSERT INTO keys_counter AS c (counter, used, ends_at) VALUES (counters[i], grows[i], ends[i])
        ON CONFLICT (counter) DO UPDATE SET
          used = CASE WHEN c.ends_at <= clock_timestamp() THEN excluded.used
                      WHEN helds[i] THEN greatest(c.used, floors[i])
                      ELSE c.used + excluded.used END,
          ends_at = CASE WHEN c.ends_at <= clock_timestamp() THEN excluded.ends_at ELSE c.ends_at END;
    END IF;
  END LOOP;
  RETURN QUERY SELECT n::int, stands[n], extract(epoch FROM ends[n] - clock_timestamp())::float8, gets[n], false, tells[n]
    FROM generate_subscripts(counters, 1) AS n;
END
$$
"""


def replace_function(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(TAKE)


class Migration(migrations.Migration):

    dependencies = [
        ("keys", "0003_limits_and_groups"),
    ]

    operations = [
        migrations.RunPython(replace_function, migrations.RunPython.noop),
    ]
