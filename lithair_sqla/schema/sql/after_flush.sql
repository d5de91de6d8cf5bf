-- What a session knows beside its rows, in one call after a flush: expectations checked, the flush's own events given
-- their names and payloads, notes appended. Only events of the calling transaction can be touched.
--
--   p_request {"expect": [{"n": name, "k": key, "e": version, "m": mark}],
--              "events": [{"s": [[name, key], …], "t": type, "p": payload, "m": mark, "w": reach, "i": event id,
--                          "c": causation id, "v": schema version}]}
--   A mark is a position: only events after it count, of a stream's newest versions as many as the reach says. An event
--   with a reach is a named call: the first change of its streams after its mark is called so, further ones are linked
--   to it as their cause. One without a reach, or whose change came to nothing, becomes a note in its first stream.
--
-- Rows are locked before their streams, in the order of their keys. Plans are held to indexes and to the order in which
-- the joins are written: one made by statistics of an empty log would be kept when it is not (1,000 names: 22 ms, not 1 s).
CREATE OR REPLACE FUNCTION lithair.after_flush(p_tenant int, p_node int, p_request jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET join_collapse_limit = 1
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
DECLARE
  own bigint;
  place record;
  conflicts jsonb := '[]';
  stream bigint;
  before bigint;
  named bigint[];
  notes jsonb;
BEGIN
  own := CASE WHEN current_setting('lithair.advertised', true) = pg_current_xact_id()::text
    THEN nullif(current_setting('lithair.transaction', true), '')::bigint END;

  IF p_request ? 'expect' THEN
    FOR place IN SELECT e.n, array_agg(e.k) AS keys FROM jsonb_to_recordset(p_request->'expect') AS e (n text, k text)
                  GROUP BY e.n ORDER BY e.n COLLATE "C" LOOP
      PERFORM lithair.lock_rows(place.n, place.keys);
    END LOOP;
    FOR place IN SELECT e.n, e.k, e.e, greatest(own, e.m + 1) AS low
                   FROM jsonb_to_recordset(p_request->'expect') AS e (n text, k text, e bigint, m bigint)
                  ORDER BY e.n COLLATE "C", e.k COLLATE "C" LOOP
      SELECT s.id, s.version INTO stream, before FROM lithair.streams s
       WHERE s.tenant_id = p_tenant AND s.name = place.n AND s.key = place.k FOR NO KEY UPDATE;
      -- What this transaction added stands at the stream's end, which nobody else can have added to meanwhile.
      WHILE own IS NOT NULL AND EXISTS (SELECT FROM lithair.events v WHERE v.stream_id = stream AND v.version = before
          AND v.position >= place.low AND lithair.is_own(v.xmin)) LOOP
        before := before - 1;
      END LOOP;
      before := coalesce(before, 0);
      IF before <> place.e THEN
        conflicts := conflicts || jsonb_build_object('tenant', p_tenant, 'name', place.n, 'key', place.k,
          'expected', place.e, 'actual', before);
      END IF;
    END LOOP;
    IF conflicts <> '[]' THEN
      RAISE EXCEPTION 'stream version conflict' USING ERRCODE = 'LT301', DETAIL = conflicts::text,
        CONSTRAINT = 'lithair_stream_version';
    END IF;
  END IF;

  IF own IS NOT NULL AND p_request @? '$.events[*].w' THEN
    WITH changes AS MATERIALIZED (
      SELECT c.place, c.t, c.p, c.i, c.c, v.position, row_number() OVER changed AS rank,
          first_value(v.position) OVER changed AS first
        FROM ROWS FROM (jsonb_to_recordset(p_request->'events') AS (s jsonb, t text, p jsonb, m bigint, w int, i uuid, c uuid))
          WITH ORDINALITY AS c (s, t, p, m, w, i, c, place)
        CROSS JOIN LATERAL jsonb_array_elements(c.s) WITH ORDINALITY w (value, rank)
        JOIN lithair.streams s ON s.tenant_id = p_tenant AND s.name = w.value->>0 AND s.key = w.value->>1
        JOIN lithair.events v ON v.stream_id = s.id AND v.version > s.version - c.w AND v.position >= greatest(own, c.m + 1)
       WHERE v.kind IN ('c', 'u', 'd') AND v.payload IS NULL AND lithair.is_own(v.xmin)
      WINDOW changed AS (PARTITION BY c.place ORDER BY w.rank, v.version)
    ), firsts AS (
      UPDATE lithair.events v SET type = h.t, payload = h.p, event_id = h.i, causation_id = coalesce(h.c, v.causation_id)
        FROM changes h WHERE h.rank = 1 AND v.position = h.position
      RETURNING h.place
    ), others AS (
      UPDATE lithair.events v SET causation_id = coalesce(h.i, lithair.event_id(h.first))
        FROM changes h WHERE h.rank > 1 AND v.position = h.position
    )
    SELECT array_agg(f.place) INTO named FROM firsts f;
  END IF;

  SELECT jsonb_agg(jsonb_build_object('n', e.s->0->>0, 'k', e.s->0->>1, 't', e.t, 'p', e.p, 'v', e.v, 'i', e.i, 'c', e.c) ORDER BY e.place)
    INTO notes
    FROM ROWS FROM (jsonb_to_recordset(p_request->'events') AS (s jsonb, t text, p jsonb, v smallint, i uuid, c uuid))
      WITH ORDINALITY AS e (s, t, p, v, i, c, place)
   WHERE e.place NOT IN (SELECT unnest(named));
  IF notes IS NOT NULL THEN
    FOR place IN SELECT e.n, array_agg(DISTINCT e.k) AS keys FROM jsonb_to_recordset(notes) AS e (n text, k text)
                  GROUP BY e.n ORDER BY e.n COLLATE "C" LOOP
      PERFORM lithair.lock_rows(place.n, place.keys);
    END LOOP;
    PERFORM lithair.append_notes(p_tenant, p_node, notes);
  END IF;
END $$
