-- The identity of an event whose writer gave none: a UUID (version 8) made of the store's namespace and the position,
-- so that it need not be stored.
CREATE OR REPLACE FUNCTION lithair.event_id(p_position bigint) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT ('6c697468-6169-8{{namespace3}}-8000-' || lpad(to_hex(p_position), 12, '0'))::uuid $$
