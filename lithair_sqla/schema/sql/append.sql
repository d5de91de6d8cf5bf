-- Append events to streams: lock and bump the streams in key order, compare versions, advertise, draw positions in the
-- caller's order. One statement for any number of streams and events; all of it happens or none.
--
--   p_streams  [{"n": name, "k": key, "c": count of events, "e": expected}]  each stream once; e: a version, -1 must exist, -2 any
--   p_events   [{"s": 1-based stream, "o": 1-based place in its events, "k": kind, "t": type, "v": schema version,
--                "d": data, "p": payload, "m": meta, "i": event id}]
--   p_context  {"actor", "correlation_id", "causation_id", "node_id", "meta"}
--   p_key      idempotency key, taken first: a second use waits for the first and answers with its events
CREATE OR REPLACE FUNCTION lithair.append(
  p_tenant int, p_streams json, p_events jsonb, p_context jsonb DEFAULT '{}', p_key text DEFAULT NULL,
  p_digest text DEFAULT NULL, p_key_ttl interval DEFAULT '7 days',
  OUT positions bigint[], OUT versions bigint[], OUT duplicate boolean)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  reserved record;
  written record;
  guarded int[];
BEGIN
  duplicate := false;
  SELECT array_agg(w.place) INTO guarded
    FROM ROWS FROM (json_to_recordset(p_streams) AS (n text)) WITH ORDINALITY AS w (n, place)
   WHERE EXISTS (SELECT FROM lithair.schemas s WHERE s.name = w.n AND s.relation IS NOT NULL);
  IF guarded IS NOT NULL AND EXISTS (
      SELECT FROM jsonb_to_recordset(p_events) AS e (s int, k "char") WHERE e.k <> 'n' AND e.s = ANY (guarded)) THEN
    RAISE EXCEPTION 'the streams of % belong to a table: only its guard writes events that change a row', p_streams->(guarded[1] - 1)->>'n'
      USING ERRCODE = 'LT400', HINT = 'Write to the table, or append a note (kind n).';
  END IF;
  IF p_key IS NOT NULL THEN
    SELECT c.positions, c.versions INTO positions, versions FROM lithair.claim(p_tenant, p_key, p_digest, p_key_ttl) c;
    IF positions IS NOT NULL THEN
      duplicate := true;
      RETURN;
    END IF;
  END IF;
  SELECT * INTO reserved FROM lithair.reserve(p_tenant, p_streams, jsonb_array_length(p_events));
  WITH inserted AS (
    INSERT INTO lithair.events AS w (position, stream_id, version, transaction_id, recorded_at, tenant_id, node_id, schema_version,
        kind, type, event_id, correlation_id, causation_id, actor, data, payload, meta)
    SELECT coalesce(reserved.positions[e.place], reserved.first_position + e.place - 1),
        reserved.ids[e.s], reserved.bases[e.s] + e.o, reserved.transaction_id, reserved.recorded_at, p_tenant,
        (p_context->>'node_id')::int, e.v, e.k, e.t, e.i, (p_context->>'correlation_id')::uuid,
        (p_context->>'causation_id')::uuid, coalesce(p_context->>'actor', session_user), e.d, e.p,
        CASE WHEN p_context ? 'meta' THEN (p_context->'meta') || coalesce(e.m, '{}') ELSE e.m END
      FROM ROWS FROM (jsonb_to_recordset(p_events) AS (s int, o int, k "char", t text, v smallint, d jsonb, p jsonb, m jsonb, i uuid))
        WITH ORDINALITY AS e (s, o, k, t, v, d, p, m, i, place)
    RETURNING w.position, w.version, w.kind)
  SELECT array_agg(i.position) AS positions, array_agg(i.version) AS versions, bool_or(i.kind = 'd') AS ended
    INTO written FROM inserted i;
  positions := written.positions;
  versions := written.versions;
  IF written.ended OR reserved.reopened THEN
    UPDATE lithair.streams s SET status = (last.k = 'd')::int
      FROM (SELECT DISTINCT ON (e.s) e.s, e.k FROM jsonb_to_recordset(p_events) AS e (s int, o int, k "char") WHERE e.k <> 'n'
             ORDER BY e.s, e.o DESC) last
     WHERE s.id = reserved.ids[last.s] AND s.status <> (last.k = 'd')::int;
  END IF;
  IF p_key IS NOT NULL THEN
    UPDATE lithair.idempotency i SET positions = written.positions, versions = written.versions
     WHERE i.tenant_id = p_tenant AND i.key = p_key;
  END IF;
END $$
