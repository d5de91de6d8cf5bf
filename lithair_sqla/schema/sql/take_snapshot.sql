-- Keep a stream's state at a version, and the newest few of its snapshots.
CREATE OR REPLACE FUNCTION lithair.take_snapshot(
  p_stream bigint, p_version bigint, p_position bigint, p_state jsonb, p_schema_version smallint, p_fingerprint text, p_keep int)
RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
  INSERT INTO lithair.snapshots (stream_id, version, position, state, schema_version, fingerprint, size_bytes)
  VALUES (p_stream, p_version, p_position, p_state, p_schema_version, p_fingerprint, pg_column_size(p_state))
  ON CONFLICT (stream_id, version) DO UPDATE
    SET state = excluded.state, schema_version = excluded.schema_version, fingerprint = excluded.fingerprint,
        size_bytes = excluded.size_bytes, created_at = clock_timestamp();
  UPDATE lithair.streams SET snapshot_version = p_version, snapshot_position = p_position
   WHERE id = p_stream AND coalesce(snapshot_version, 0) <= p_version;
  DELETE FROM lithair.snapshots WHERE stream_id = p_stream AND version <= (
    SELECT s.version FROM lithair.snapshots s WHERE s.stream_id = p_stream ORDER BY s.version DESC OFFSET p_keep LIMIT 1);
END $$
