-- Take the idempotency key of a command with its first write; a second use is refused and told the events of the first.
-- A key in use by a running transaction makes the second wait for it; an expired one is free again.
--
--   p_command  tells one command's flushes from another's with the same key, which is refused though it comes in the
--              same transaction. It stands in the digest.
--
-- Positions of a command's key are those of the transaction's first event and of the first that can be the command's.
CREATE OR REPLACE FUNCTION lithair.claim_command(p_tenant int, p_key text, p_command text, p_ttl interval) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  earlier lithair.idempotency;
  transaction bigint;
BEGIN
  INSERT INTO lithair.idempotency AS i (tenant_id, key, digest, positions, versions, expires_at)
  VALUES (p_tenant, p_key, p_command, '{}', '{}', clock_timestamp() + p_ttl)
  ON CONFLICT (tenant_id, key) DO UPDATE
    SET digest = excluded.digest, positions = '{}', versions = '{}', expires_at = excluded.expires_at, created_at = clock_timestamp()
    WHERE i.expires_at < clock_timestamp();
  IF FOUND THEN
    transaction := lithair.begin_batch();
    UPDATE lithair.idempotency i SET positions = ARRAY[transaction, (SELECT last_value FROM lithair.position)]
     WHERE i.tenant_id = p_tenant AND i.key = p_key;
    RETURN;
  END IF;
  SELECT * INTO earlier FROM lithair.idempotency i WHERE i.tenant_id = p_tenant AND i.key = p_key;
  IF earlier.digest = p_command AND current_setting('lithair.advertised', true) = pg_current_xact_id()::text
      AND earlier.positions[1]::text = current_setting('lithair.transaction', true) THEN
    RETURN;  -- the same command goes on: what it had told was taken back with a savepoint
  END IF;
  RAISE EXCEPTION 'idempotency key % was used before', p_key USING ERRCODE = 'LT302', DETAIL = jsonb_build_object('key', p_key,
    'positions', CASE WHEN earlier.versions = '{}' THEN
      (SELECT coalesce(jsonb_agg(e.position ORDER BY e.position), '[]')
         FROM (SELECT e.position FROM lithair.events e
                WHERE e.transaction_id = earlier.positions[1] AND e.position BETWEEN earlier.positions[2] + 1 AND earlier.positions[2] + 10000
                ORDER BY e.position LIMIT 100) e)
      ELSE to_jsonb(earlier.positions[:100]) END)::text;
END $$
