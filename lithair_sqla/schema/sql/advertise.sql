-- Say, before this transaction draws its first position, below which number it will draw none: a shared advisory lock
-- whose key is the sequence's next value, held until the transaction ends (or the savepoint is rolled back).
-- Returns that number, a lower bound of every position the transaction will draw.
--
-- The flag holds the transaction's id, so that a setting which outlived its transaction does not count; it is undone
-- by ROLLBACK TO SAVEPOINT exactly as the lock is. What every event of the transaction shares beside its context (the
-- application's name, the role it has taken) is put together here, once.
--
-- Plain expressions all of it: a query more costs a transaction of one row 25 µs.
CREATE OR REPLACE FUNCTION lithair.advertise() RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  -- A fresh sequence has no last value, and its next draw is its first.
  upcoming bigint := coalesce(pg_sequence_last_value('lithair.position'::regclass) + 1, 1);
  origin jsonb;
  done boolean;
BEGIN
  done := pg_advisory_xact_lock_shared(({{namespace}}::bigint << 48) | upcoming) IS NULL;
  IF current_setting('application_name') <> '' OR current_setting('role') <> 'none' THEN
    origin := jsonb_strip_nulls(jsonb_build_object('application', nullif(current_setting('application_name'), ''),
      'role', nullif(nullif(current_setting('role'), 'none'), session_user)));
  END IF;
  done := set_config('lithair.advertised', pg_current_xact_id()::text, true)
    || set_config('lithair.transaction', '', true)
    || set_config('lithair.origin', coalesce(nullif(origin::text, '{}'), ''), true) IS NULL;
  RETURN upcoming;
END $$
