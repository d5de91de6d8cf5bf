-- The log as a person reads it: one row an event, in the words of the stored event.
CREATE OR REPLACE VIEW lithair.event_log AS
SELECT coalesce(e.event_id, lithair.event_id(e.position)) AS event_id, s.key AS aggregate_id, s.name AS stream_name,
    e.type AS event_type, e.schema_version AS event_version, e.version AS sequence_number,
    e.data AS event_data,
    jsonb_build_object('user_id', e.actor, 'correlation_id', e.correlation_id, 'causation_id', e.causation_id,
      'node_id', e.node_id, 'checksum', e.checksum) || coalesce(e.meta, '{}') AS metadata,
    e.recorded_at AS created_at, NULL::timestamptz AS applied_at,
    e.position, e.kind, e.payload, e.transaction_id, e.tenant_id
  FROM lithair.events e JOIN lithair.streams s ON s.id = e.stream_id
