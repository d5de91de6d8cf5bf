-- What a session knows beside its rows, in one call after a flush: expectations checked, the flush's own events given
-- their names and payloads, notes appended. Only events of the calling transaction can be touched.
--
--   p_request {"expect": [{"n": name, "k": key, "e": version, "m": mark}],
--              "calls": [{"s": [[name, key], …], "t": type, "p": payload, "m": mark, "i": event id, "c": causation id,
--                          "v": schema version, "note": the flush changed nothing of it}],
--              "notes": [{"n": name, "k": key, "t": type, "p": payload, "v": schema version}]}
--   A mark is a position: only events after it count. A call names the newest event of its streams; one that
--   finds none becomes a note.
CREATE OR REPLACE FUNCTION lithair.after_flush(p_tenant int, p_node int, p_request jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  item jsonb;
  candidate jsonb;
  stream lithair.streams;
  first_own bigint;
  own bigint;
  found_position bigint;
  conflicts jsonb := '[]';
BEGIN
  own := CASE WHEN current_setting('lithair.advertised', true) = pg_current_xact_id()::text
    THEN nullif(current_setting('lithair.transaction', true), '')::bigint END;
  FOR item IN SELECT e.value FROM jsonb_array_elements(p_request->'expect') e ORDER BY e.value->>'n', e.value->>'k' LOOP
    PERFORM lithair.lock_row(item->>'n', item->>'k');
    SELECT * INTO stream FROM lithair.streams s
     WHERE s.tenant_id = p_tenant AND s.name = item->>'n' AND s.key = item->>'k' FOR NO KEY UPDATE;
    SELECT min(e.version) INTO first_own FROM lithair.events e
     WHERE own IS NOT NULL AND e.stream_id = stream.id AND e.position >= greatest(own, (item->>'m')::bigint + 1) AND lithair.is_own(e.xmin);
    IF coalesce(first_own - 1, stream.version, 0) <> (item->>'e')::bigint THEN
      conflicts := conflicts || jsonb_build_object('name', item->>'n', 'key', item->>'k', 'expected', (item->>'e')::bigint,
        'actual', coalesce(first_own - 1, stream.version, 0));
    END IF;
  END LOOP;
  IF conflicts <> '[]' THEN
    RAISE EXCEPTION 'stream version conflict' USING ERRCODE = 'LT301', DETAIL = conflicts::text, CONSTRAINT = 'lithair_stream_version';
  END IF;

  FOR item IN SELECT c.value FROM jsonb_array_elements(p_request->'calls') c LOOP
    found_position := NULL;
    IF own IS NOT NULL AND NOT (item->>'note')::boolean THEN
      FOR candidate IN SELECT s.value FROM jsonb_array_elements(item->'s') s LOOP
        SELECT e.position INTO found_position
          FROM lithair.streams s JOIN lithair.events e ON e.stream_id = s.id AND e.version > s.version - 16
         WHERE s.tenant_id = p_tenant AND s.name = candidate->>0 AND s.key = candidate->>1
           AND e.position >= greatest(own, (item->>'m')::bigint + 1) AND e.kind <> 'n' AND e.payload IS NULL AND lithair.is_own(e.xmin)
         ORDER BY e.version DESC LIMIT 1;
        EXIT WHEN found_position IS NOT NULL;
      END LOOP;
    END IF;
    IF found_position IS NOT NULL THEN
      UPDATE lithair.events e SET type = item->>'t', payload = item->'p', event_id = (item->>'i')::uuid,
          causation_id = coalesce((item->>'c')::uuid, e.causation_id)
       WHERE e.position = found_position;
    ELSE
      candidate := item->'s'->0;
      PERFORM lithair.append_note(p_tenant, p_node, candidate->>0, candidate->>1, item->>'t', (item->>'v')::smallint, item->'p',
        (item->>'i')::uuid, (item->>'c')::uuid);
    END IF;
  END LOOP;

  FOR item IN SELECT n.value FROM jsonb_array_elements(p_request->'notes') n LOOP
    PERFORM lithair.append_note(p_tenant, p_node, item->>'n', item->>'k', item->>'t', (item->>'v')::smallint, item->'p', NULL, NULL);
  END LOOP;
END $$
