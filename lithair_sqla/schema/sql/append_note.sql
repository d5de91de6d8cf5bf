-- Append an event that changes no row to the stream of one that is there.
CREATE OR REPLACE FUNCTION lithair.append_note(
  p_tenant int, p_node int, p_name text, p_key text, p_type text, p_schema_version smallint, p_payload jsonb,
  p_event_id uuid, p_causation_id uuid) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
  stream bigint;
  at_version bigint;
  drawn bigint;
BEGIN
  PERFORM lithair.lock_row(p_name, p_key);
  UPDATE lithair.streams s SET version = s.version + 1
   WHERE s.tenant_id = p_tenant AND s.name = p_name AND s.key = p_key RETURNING s.id, s.version INTO stream, at_version;
  IF stream IS NULL THEN
    RAISE EXCEPTION 'stream %(%) does not exist, so nothing can be noted in it', p_name, p_key
      USING ERRCODE = 'LT303', HINT = 'Rows that were there before their guard get their streams by adopt().';
  END IF;
  IF current_setting('lithair.advertised', true) IS DISTINCT FROM pg_current_xact_id()::text THEN
    PERFORM lithair.advertise();
  END IF;
  drawn := lithair.log_event(p_tenant, stream, at_version, 'n', p_type, p_schema_version, '{}', p_payload, NULL, p_node);
  IF p_event_id IS NOT NULL OR p_causation_id IS NOT NULL THEN
    UPDATE lithair.events e SET event_id = p_event_id, causation_id = coalesce(p_causation_id, e.causation_id) WHERE e.position = drawn;
  END IF;
END $$
