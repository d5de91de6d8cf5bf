-- The highest position below which nothing can still appear: the last one drawn, or the one below the lowest that a
-- running transaction advertised. The sequence is read first and the locks second, each by a statement of its own; rows
-- are read by a later statement still, whose snapshot sees everything up to the answer.
CREATE OR REPLACE FUNCTION lithair.horizon() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  drawn bigint;
  lowest bigint;
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' OR pg_is_in_recovery() THEN
    RAISE EXCEPTION 'reading the log in order needs READ COMMITTED on the primary' USING ERRCODE = 'LT305';
  END IF;
  SELECT CASE WHEN is_called THEN last_value ELSE 0 END INTO drawn FROM lithair.position;
  SELECT min(((classid::bigint & 65535) << 32) | objid::bigint) INTO lowest
    FROM pg_locks
   WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND (classid::bigint >> 16) = {{namespace}}
     AND database = (SELECT oid FROM pg_database WHERE datname = current_database());
  RETURN least(drawn, lowest - 1);
END $$
