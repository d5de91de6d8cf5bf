-- Keep the state that a caller folded for a stream without a table. The position must be that of the version's event: a
-- snapshot of something else is refused. Streams of tables get theirs from their guard.
CREATE OR REPLACE FUNCTION lithair.save_snapshot(
  p_tenant int, p_name text, p_key text, p_version bigint, p_state jsonb, p_schema_version smallint, p_fingerprint text, p_keep int)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  stream lithair.streams;
  at_position bigint;
BEGIN
  IF EXISTS (SELECT FROM lithair.schemas s WHERE s.name = p_name AND s.relation IS NOT NULL) THEN
    RAISE EXCEPTION 'the streams of % belong to a table: its guard takes their snapshots', p_name USING ERRCODE = 'LT400';
  END IF;
  SELECT * INTO stream FROM lithair.streams s
   WHERE s.tenant_id = p_tenant AND s.name = p_name AND s.key = p_key FOR NO KEY UPDATE;
  SELECT e.position INTO at_position FROM lithair.events e
   WHERE e.stream_id = stream.id AND e.version = p_version AND e.position >= stream.first_position;
  IF at_position IS NULL THEN
    RAISE EXCEPTION 'stream %(%) has no version %', p_name, p_key, p_version USING ERRCODE = 'LT303';
  END IF;
  PERFORM lithair.take_snapshot(stream.id, p_version, at_position, p_state, p_schema_version, p_fingerprint, p_keep);
  RETURN at_position;
END $$
