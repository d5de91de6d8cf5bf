-- Write one event for a stream whose row is locked and whose version is already counted: the guard's rare roads
-- (baseline, key change) and everything else that is not worth a statement of its own.
CREATE OR REPLACE FUNCTION lithair.log_event(
  p_tenant int, p_stream bigint, p_version bigint, p_kind "char", p_type text, p_schema_version smallint, p_data jsonb,
  p_payload jsonb, p_meta jsonb, p_node int) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
  drawn bigint := lithair.draw();
  context jsonb := nullif(current_setting('lithair.context', true), '')::jsonb;
BEGIN
  INSERT INTO lithair.events (position, stream_id, version, transaction_id, recorded_at, tenant_id, node_id, schema_version,
      kind, type, correlation_id, causation_id, actor, data, payload, meta)
  VALUES (drawn, p_stream, p_version, current_setting('lithair.transaction')::bigint, clock_timestamp(), p_tenant, p_node, p_schema_version,
      p_kind, p_type, (context->>'correlation_id')::uuid, (context->>'causation_id')::uuid,
      coalesce(context->>'actor', session_user), p_data, p_payload,
      nullif(coalesce(nullif(current_setting('lithair.origin', true), '')::jsonb, '{}')
        || coalesce(context->'meta', '{}') || coalesce(p_meta, '{}'), '{}'));
  RETURN drawn;
END $$
