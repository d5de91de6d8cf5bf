-- Take the idempotency key of a command with its first write; a second use is refused and told where the first one's
-- events begin.
CREATE OR REPLACE FUNCTION lithair.claim_command(p_tenant int, p_key text, p_ttl interval) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  earlier record;
BEGIN
  SELECT c.positions, c.versions INTO earlier FROM lithair.claim(p_tenant, p_key, NULL, p_ttl) c;
  IF current_setting('lithair.advertised', true) = pg_current_xact_id()::text
      AND earlier.positions[1]::text = current_setting('lithair.transaction', true) THEN
    RETURN;  -- this very transaction has taken it already
  END IF;
  IF earlier.positions IS NOT NULL THEN
    RAISE EXCEPTION 'idempotency key % was used before', p_key USING ERRCODE = 'LT302', DETAIL = jsonb_build_object('key', p_key,
      'positions', (SELECT coalesce(jsonb_agg(e.position ORDER BY e.position), '[]') FROM lithair.events e
                     WHERE e.transaction_id = earlier.positions[1]
                       AND e.position BETWEEN earlier.positions[1] AND earlier.positions[1] + 10000))::text;
  END IF;
  UPDATE lithair.idempotency i SET positions = ARRAY[lithair.begin_batch()], versions = '{}'
   WHERE i.tenant_id = p_tenant AND i.key = p_key;
END $$
