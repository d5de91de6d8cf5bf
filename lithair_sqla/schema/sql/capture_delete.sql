-- Log that a row has left its key, away from the guard's hot road: an old key after a key change, a row under TRUNCATE.
-- A row that had no stream yet gets its baseline first.
CREATE OR REPLACE FUNCTION lithair.capture_delete(
  p_tenant int, p_name text, p_key text, p_type text, p_schema_version smallint, p_row jsonb, p_meta jsonb, p_node int)
RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
  stream bigint;
  at_version bigint;
  found_status smallint;
BEGIN
  IF current_setting('lithair.advertised', true) IS DISTINCT FROM pg_current_xact_id()::text THEN
    PERFORM lithair.advertise();
  END IF;
  INSERT INTO lithair.streams AS s (tenant_id, name, key, version, first_position, status)
  VALUES (p_tenant, p_name, p_key, 1, (SELECT last_value FROM lithair.position), 1)
  ON CONFLICT (tenant_id, name, key) DO UPDATE
    SET version = s.version + 1, status = CASE s.status WHEN 0 THEN 1 ELSE 3 END
  RETURNING s.id, s.version, s.status INTO stream, at_version, found_status;
  IF at_version = 1 OR found_status = 3 THEN
    PERFORM lithair.log_event(p_tenant, stream, at_version, 'b', p_name || 'Baseline', p_schema_version, p_row, NULL, NULL, p_node);
    UPDATE lithair.streams SET version = version + 1, status = 1 WHERE id = stream RETURNING version INTO at_version;
  END IF;
  PERFORM lithair.log_event(p_tenant, stream, at_version, 'd', p_type, p_schema_version, '{}', NULL, p_meta, p_node);
END $$
