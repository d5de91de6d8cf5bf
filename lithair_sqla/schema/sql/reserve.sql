-- The first half of an append, also of one whose events come by COPY in the same transaction: lock and bump the streams,
-- find every conflict before a position is drawn, advertise, draw one position an event.
--
--   p_streams  as append's; "l" beside: the status (0 open, 1 deleted) that the events leave the stream in, where the
--              caller knows it and writes the events itself
--   positions  NULL when they follow first_position without a gap, as they nearly always do
--   reopened   a stream among them was not open before
--
-- The upsert's rows come sorted by key, so two appends that share streams wait for each other instead of deadlocking.
-- An upsert, never UPDATE … FROM unnest(): that one fell into a bad generic plan at 1.5 ms a row.
CREATE OR REPLACE FUNCTION lithair.reserve(
  p_tenant int, p_streams jsonb, p_count int,
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
BEGIN
  SELECT last_value INTO low FROM lithair.position;
  WITH wanted AS MATERIALIZED (
    SELECT w.n, w.k, w.c, w.e, w.l, w.place
      FROM ROWS FROM (jsonb_to_recordset(p_streams) AS (n text, k text, c bigint, e bigint, l smallint)) WITH ORDINALITY AS w (n, k, c, e, l, place)
  ), bumped AS (
    INSERT INTO lithair.streams AS s (tenant_id, name, key, version, first_position)
    SELECT p_tenant, w.n, w.k, w.c, low FROM wanted w ORDER BY w.n COLLATE "C", w.k COLLATE "C"
    ON CONFLICT (tenant_id, name, key) DO UPDATE SET version = s.version + excluded.version
    RETURNING s.id, s.name, s.key, s.version, s.status
  )
  SELECT array_agg(b.id ORDER BY w.place), array_agg(b.version - w.c ORDER BY w.place), bool_or(b.status <> 0),
      array_agg(b.id) FILTER (WHERE b.status <> w.l),
      jsonb_agg(jsonb_build_object('tenant', p_tenant, 'name', w.n, 'key', w.k, 'expected', w.e, 'actual', b.version - w.c) ORDER BY w.place)
        FILTER (WHERE (w.e >= 0 AND b.version - w.c <> w.e) OR (w.e = -1 AND b.version = w.c))
    INTO ids, bases, reopened, changed, conflicts
    FROM wanted w JOIN bumped b ON b.name = w.n AND b.key = w.k;
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
    IF first_position / {{check_every}} < last / {{check_every}} THEN
      PERFORM lithair.extend_log(p_through => last);
    END IF;
  END IF;
  recorded_at := clock_timestamp();
  transaction_id := current_setting('lithair.transaction')::bigint;
END $$
