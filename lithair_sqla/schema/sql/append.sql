-- Append events to streams: lock and bump the streams in key order, compare versions, advertise, draw positions in the
-- caller's order. One statement for any number of streams and events; all of it happens or none.
--
--   p_streams  [{"n": name, "k": key, "c": count of events, "e": expected}]  each stream once; e: a version, -1 must exist, -2 any
--   p_events   [{"s": 1-based stream, "o": 1-based place in its events, "k": kind, "t": type, "v": schema version,
--                "d": data, "p": payload, "m": meta, "i": event id}]
--   p_context  {"actor", "correlation_id", "causation_id", "node_id", "meta"}
--   p_key      idempotency key, taken first: a second use waits for the first and answers with its events
CREATE OR REPLACE FUNCTION lithair.append(
  p_tenant int, p_streams jsonb, p_events jsonb, p_context jsonb DEFAULT '{}', p_key text DEFAULT NULL,
  p_digest text DEFAULT NULL, p_key_ttl interval DEFAULT '7 days',
  OUT positions bigint[], OUT versions bigint[], OUT duplicate boolean)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  reserved record;
BEGIN
  duplicate := false;
  IF p_key IS NOT NULL THEN
    SELECT c.positions, c.versions INTO positions, versions FROM lithair.claim(p_tenant, p_key, p_digest, p_key_ttl) c;
    IF positions IS NOT NULL THEN
      duplicate := true;
      RETURN;
    END IF;
  END IF;
  SELECT * INTO reserved FROM lithair.reserve(p_tenant, p_streams, jsonb_array_length(p_events), jsonb_path_exists(p_events, '$[*] ? (@.k != "n")'));
  WITH written AS (
    INSERT INTO lithair.events (position, stream_id, version, transaction_id, recorded_at, tenant_id, node_id, schema_version,
        kind, type, event_id, correlation_id, causation_id, actor, data, payload, meta)
    SELECT CASE WHEN e.place = 1 THEN reserved.first_position ELSE nextval('lithair.position'::regclass) END,
        reserved.ids[e.s], reserved.bases[e.s] + e.o, reserved.transaction_id, clock_timestamp(), p_tenant,
        (p_context->>'node_id')::int, e.v, e.k, e.t, e.i, (p_context->>'correlation_id')::uuid,
        (p_context->>'causation_id')::uuid, coalesce(p_context->>'actor', session_user), e.d, e.p,
        CASE WHEN p_context ? 'meta' THEN (p_context->'meta') || coalesce(e.m, '{}') ELSE e.m END
      FROM ROWS FROM (jsonb_to_recordset(p_events) AS (s int, o int, k "char", t text, v smallint, d jsonb, p jsonb, m jsonb, i uuid))
        WITH ORDINALITY AS e (s, o, k, t, v, d, p, m, i, place)
    RETURNING events.position, events.version)
  SELECT array_agg(w.position), array_agg(w.version) INTO positions, versions FROM written w;
  UPDATE lithair.streams s SET status = CASE WHEN last.k = 'd' THEN 1 ELSE 0 END
    FROM (SELECT DISTINCT ON (e.s) e.s, e.k FROM jsonb_to_recordset(p_events) AS e (s int, o int, k "char") WHERE e.k <> 'n'
           ORDER BY e.s, e.o DESC) last
   WHERE s.id = reserved.ids[last.s] AND s.status <> CASE WHEN last.k = 'd' THEN 1 ELSE 0 END
     AND (reserved.reopened OR last.k = 'd');
  IF p_key IS NOT NULL THEN
    UPDATE lithair.idempotency i SET positions = append.positions, versions = append.versions
     WHERE i.tenant_id = p_tenant AND i.key = p_key;
  END IF;
END $$
