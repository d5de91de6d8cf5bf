-- Append events that change no row to streams that are there, in the order given; the caller has locked their rows, and
-- may have held its own plans to something that would not do here.
--
--   p_notes  [{"n": name, "k": key, "t": type, "p": payload, "v": schema version, "i": event id, "c": causation id}]
CREATE OR REPLACE FUNCTION lithair.append_notes(p_tenant int, p_node int, p_notes jsonb) RETURNS void
LANGUAGE plpgsql
SET join_collapse_limit = 8
SET enable_seqscan = on
SET enable_hashjoin = on
SET enable_mergejoin = on
AS $$
DECLARE
  context jsonb := nullif(current_setting('lithair.context', true), '')::jsonb;
  streams json;
  reserved record;
  missing text;
BEGIN
  SELECT json_agg(json_build_object('n', w.n, 'k', w.k, 'c', w.c, 'e', -2) ORDER BY w.place) INTO streams
    FROM (SELECT n.n, n.k, count(*) AS c, min(n.place) AS place
            FROM ROWS FROM (jsonb_to_recordset(p_notes) AS (n text, k text)) WITH ORDINALITY AS n (n, k, place)
           GROUP BY n.n, n.k) w;
  SELECT * INTO reserved FROM lithair.reserve(p_tenant, streams, jsonb_array_length(p_notes));
  SELECT format('%s(%s)', streams->(b.place::int - 1)->>'n', streams->(b.place::int - 1)->>'k') INTO missing
    FROM unnest(reserved.bases) WITH ORDINALITY b (base, place) WHERE b.base = 0 LIMIT 1;
  IF missing IS NOT NULL THEN
    RAISE EXCEPTION 'stream % does not exist, so nothing can be noted in it: the row was there before its guard, and adopt() gives it its stream; or there is no such row', missing
      USING ERRCODE = 'LT303';
  END IF;
  INSERT INTO lithair.events (position, stream_id, version, transaction_id, recorded_at, tenant_id, node_id, schema_version,
      kind, type, event_id, correlation_id, causation_id, actor, data, payload, meta)
  SELECT coalesce(reserved.positions[n.place], reserved.first_position + n.place - 1), reserved.ids[w.place],
      reserved.bases[w.place] + row_number() OVER (PARTITION BY w.place ORDER BY n.place), reserved.transaction_id,
      reserved.recorded_at, p_tenant, p_node, n.v, 'n', n.t, n.i, (context->>'correlation_id')::uuid,
      coalesce(n.c, (context->>'causation_id')::uuid), coalesce(context->>'actor', session_user), '{}', n.p,
      nullif(coalesce(nullif(current_setting('lithair.origin', true), '')::jsonb, '{}') || coalesce(context->'meta', '{}'), '{}')
    FROM ROWS FROM (jsonb_to_recordset(p_notes) AS (n text, k text, t text, p jsonb, v smallint, i uuid, c uuid))
        WITH ORDINALITY AS n (n, k, t, p, v, i, c, place)
    JOIN ROWS FROM (json_to_recordset(streams) AS (n text, k text)) WITH ORDINALITY AS w (n, k, place)
      ON w.n = n.n AND w.k = n.k;
END $$
