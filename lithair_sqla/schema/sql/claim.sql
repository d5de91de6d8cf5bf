-- Take an idempotency key, or answer with the events of its first use. A key in use by a running transaction makes the
-- second wait for it; an expired one is free again; the same key with other content is refused.
CREATE OR REPLACE FUNCTION lithair.claim(p_tenant int, p_key text, p_digest text, p_ttl interval,
  OUT positions bigint[], OUT versions bigint[])
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  found_digest text;
BEGIN
  INSERT INTO lithair.idempotency AS i (tenant_id, key, digest, positions, versions, expires_at)
  VALUES (p_tenant, p_key, p_digest, '{}', '{}', clock_timestamp() + p_ttl)
  ON CONFLICT (tenant_id, key) DO UPDATE
    SET digest = excluded.digest, positions = '{}', versions = '{}', expires_at = excluded.expires_at, created_at = clock_timestamp()
    WHERE i.expires_at < clock_timestamp();
  IF FOUND THEN
    RETURN;
  END IF;
  SELECT i.positions, i.versions, i.digest INTO positions, versions, found_digest
    FROM lithair.idempotency i WHERE i.tenant_id = p_tenant AND i.key = p_key;
  IF found_digest IS DISTINCT FROM p_digest THEN
    RAISE EXCEPTION 'idempotency key % was used for another command', p_key
      USING ERRCODE = 'LT302', DETAIL = jsonb_build_object('key', p_key, 'positions', positions)::text;
  END IF;
END $$
