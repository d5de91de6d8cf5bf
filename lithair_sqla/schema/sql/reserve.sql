-- The first half of an append, also of one whose events come by COPY in the same transaction: lock and bump the streams,
-- find every conflict before a position is drawn, advertise, and draw the first position (p_draw_all: all of them).
--
-- The upsert's rows come sorted by key, so two appends that share streams wait for each other instead of deadlocking.
-- An upsert, never UPDATE … FROM unnest(): that one fell into a bad generic plan at 1.5 ms a row.
CREATE OR REPLACE FUNCTION lithair.reserve(
  p_tenant int, p_streams jsonb, p_count int, p_changes boolean, p_draw_all boolean DEFAULT false,
  OUT ids bigint[], OUT bases bigint[], OUT reopened boolean, OUT first_position bigint, OUT transaction_id bigint,
  OUT positions bigint[], OUT recorded_at timestamptz)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  low bigint;
  conflicts jsonb;
  guarded text;
BEGIN
  IF p_changes THEN
    SELECT string_agg(DISTINCT s.name, ', ') INTO guarded
      FROM lithair.schemas s WHERE s.relation IS NOT NULL AND s.name IN (SELECT w.n FROM jsonb_to_recordset(p_streams) AS w (n text));
    IF guarded IS NOT NULL THEN
      RAISE EXCEPTION 'the streams of % belong to a table: only its guard writes events that change a row', guarded
        USING ERRCODE = 'LT400', HINT = 'Write to the table, or append a note (kind n).';
    END IF;
  END IF;
  SELECT last_value INTO low FROM lithair.position;
  WITH wanted AS MATERIALIZED (
    SELECT w.n, w.k, w.c, w.e, w.place
      FROM ROWS FROM (jsonb_to_recordset(p_streams) AS (n text, k text, c bigint, e bigint)) WITH ORDINALITY AS w (n, k, c, e, place)
  ), bumped AS (
    INSERT INTO lithair.streams AS s (tenant_id, name, key, version, first_position)
    SELECT p_tenant, w.n, w.k, w.c, low FROM wanted w ORDER BY w.n COLLATE "C", w.k COLLATE "C"
    ON CONFLICT (tenant_id, name, key) DO UPDATE SET version = s.version + excluded.version
    RETURNING s.id, s.name, s.key, s.version, s.status
  )
  SELECT array_agg(b.id ORDER BY w.place), array_agg(b.version - w.c ORDER BY w.place), bool_or(b.status = 1),
      jsonb_agg(jsonb_build_object('name', w.n, 'key', w.k, 'expected', w.e, 'actual', b.version - w.c) ORDER BY w.place)
        FILTER (WHERE (w.e >= 0 AND b.version - w.c <> w.e) OR (w.e = -1 AND b.version = w.c))
    INTO ids, bases, reopened, conflicts
    FROM wanted w JOIN bumped b ON b.name = w.n AND b.key = w.k;
  IF conflicts IS NOT NULL THEN
    RAISE EXCEPTION 'stream version conflict' USING ERRCODE = 'LT301', DETAIL = conflicts::text, CONSTRAINT = 'lithair_stream_version';
  END IF;
  IF current_setting('lithair.advertised', true) IS DISTINCT FROM pg_current_xact_id()::text THEN
    PERFORM lithair.advertise();
  END IF;
  first_position := lithair.draw();
  transaction_id := current_setting('lithair.transaction')::bigint;
  recorded_at := clock_timestamp();
  IF p_draw_all THEN
    SELECT array_agg(CASE WHEN n = 1 THEN first_position ELSE nextval('lithair.position'::regclass) END) INTO positions
      FROM generate_series(1, p_count) n;
    -- Nobody drew in between, nearly always: then the first number says it all.
    IF positions[p_count] - positions[1] = p_count - 1 THEN
      positions := positions[1:1];
    END IF;
  END IF;
END $$
