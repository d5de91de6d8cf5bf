-- The first half of an append, also of one whose events come by COPY in the same transaction: lock and bump the streams,
-- find every conflict before a position is drawn, advertise, draw one position an event.
--
--   p_streams  as append's; "l" beside: the status (0 open, 1 deleted) that events which change a row leave the stream in,
--              where the caller writes the events itself
--   p_new      every stream is expected to be new, which a plain INSERT does a third faster than the upsert
--   positions  NULL when they follow first_position without a gap, as they nearly always do
--   reopened   a stream among them was not open before
--
-- The rows come sorted by key, so two appends that share streams wait for each other instead of deadlocking. An upsert,
-- never UPDATE … FROM unnest(): that one fell into a bad generic plan at 1.5 ms a row. Streams are read from json, not
-- jsonb: 1.0 against 2.7 µs a stream.
CREATE OR REPLACE FUNCTION lithair.reserve(
  p_tenant int, p_streams json, p_count int, p_new boolean DEFAULT false,
  OUT ids bigint[], OUT bases bigint[], OUT reopened boolean, OUT first_position bigint, OUT transaction_id bigint,
  OUT positions bigint[], OUT recorded_at timestamptz)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  low bigint;
  last bigint;
  conflicts jsonb;
  changed bigint[];
  guarded text;
BEGIN
  SELECT last_value INTO low FROM lithair.position;
  IF p_new THEN
    BEGIN
      WITH wanted AS MATERIALIZED (
        SELECT w.n, w.k, w.c, w.l, w.place
          FROM ROWS FROM (json_to_recordset(p_streams) AS (n text, k text, c bigint, l smallint)) WITH ORDINALITY AS w (n, k, c, l, place)
      ), inserted AS (
        INSERT INTO lithair.streams AS s (tenant_id, name, key, version, first_position, status)
        SELECT p_tenant, w.n, w.k, w.c, low, coalesce(w.l, 0) FROM wanted w ORDER BY w.n COLLATE "C", w.k COLLATE "C"
        RETURNING s.id, s.name, s.key
      )
      SELECT array_agg(i.id ORDER BY w.place), array_agg(0), false,
          string_agg(DISTINCT w.n, ', ') FILTER (WHERE w.l IS NOT NULL AND w.n IN (SELECT g.name FROM lithair.schemas g WHERE g.relation IS NOT NULL))
        INTO ids, bases, reopened, guarded
        FROM wanted w JOIN inserted i ON i.name = w.n AND i.key = w.k;
    EXCEPTION WHEN unique_violation THEN
      SELECT jsonb_agg(jsonb_build_object('tenant', p_tenant, 'name', w.n, 'key', w.k, 'expected', 0, 'actual', s.version) ORDER BY w.place)
        INTO conflicts
        FROM ROWS FROM (json_to_recordset(p_streams) AS (n text, k text)) WITH ORDINALITY AS w (n, k, place)
        JOIN lithair.streams s ON s.tenant_id = p_tenant AND s.name = w.n AND s.key = w.k;
      IF conflicts IS NULL THEN
        RAISE EXCEPTION 'could not serialize access due to concurrent update' USING ERRCODE = 'serialization_failure';
      END IF;
    END;
  ELSE
    WITH wanted AS MATERIALIZED (
      SELECT w.n, w.k, w.c, w.e, w.l, w.place
        FROM ROWS FROM (json_to_recordset(p_streams) AS (n text, k text, c bigint, e bigint, l smallint)) WITH ORDINALITY AS w (n, k, c, e, l, place)
    ), bumped AS (
      INSERT INTO lithair.streams AS s (tenant_id, name, key, version, first_position)
      SELECT p_tenant, w.n, w.k, w.c, low FROM wanted w ORDER BY w.n COLLATE "C", w.k COLLATE "C"
      ON CONFLICT (tenant_id, name, key) DO UPDATE SET version = s.version + excluded.version
      RETURNING s.id, s.name, s.key, s.version, s.status
    )
    SELECT array_agg(b.id ORDER BY w.place), array_agg(b.version - w.c ORDER BY w.place), bool_or(b.status <> 0),
        array_agg(b.id) FILTER (WHERE b.status <> w.l),
        jsonb_agg(jsonb_build_object('tenant', p_tenant, 'name', w.n, 'key', w.k, 'expected', w.e, 'actual', b.version - w.c) ORDER BY w.place)
          FILTER (WHERE (w.e >= 0 AND b.version - w.c <> w.e) OR (w.e = -1 AND b.version = w.c)),
        string_agg(DISTINCT w.n, ', ') FILTER (WHERE w.l IS NOT NULL AND w.n IN (SELECT g.name FROM lithair.schemas g WHERE g.relation IS NOT NULL))
      INTO ids, bases, reopened, changed, conflicts, guarded
      FROM wanted w JOIN bumped b ON b.name = w.n AND b.key = w.k;
  END IF;
  IF guarded IS NOT NULL THEN
    RAISE EXCEPTION 'the streams of % belong to a table: only its guard writes events that change a row', guarded
      USING ERRCODE = 'LT400', HINT = 'Write to the table, or append a note (kind n).';
  END IF;
  IF conflicts IS NOT NULL THEN
    RAISE EXCEPTION 'stream version conflict' USING ERRCODE = 'LT301', DETAIL = conflicts::text, CONSTRAINT = 'lithair_stream_version';
  END IF;
  IF changed IS NOT NULL THEN
    UPDATE lithair.streams s SET status = 1 - s.status WHERE s.id = ANY (changed);
  END IF;
  IF current_setting('lithair.advertised', true) IS DISTINCT FROM pg_current_xact_id()::text THEN
    PERFORM lithair.advertise();
  END IF;
  first_position := lithair.draw();
  last := first_position;
  IF p_count > 1 THEN
    SELECT array_agg(nextval('lithair.position'::regclass)) INTO positions FROM generate_series(2, p_count);
    last := positions[p_count - 1];
    IF last = first_position + p_count - 1 THEN
      positions := NULL;
    ELSE
      positions := first_position || positions;
    END IF;
    IF first_position / {{check_every}} < last / {{check_every}} OR first_position / {{width}} < last / {{width}}
        OR (last % {{width}} < 8192 AND last >= {{width}}) THEN
      PERFORM lithair.extend_log(p_from => first_position, p_through => last);
    END IF;
  END IF;
  recorded_at := clock_timestamp();
  transaction_id := current_setting('lithair.transaction')::bigint;
END $$
