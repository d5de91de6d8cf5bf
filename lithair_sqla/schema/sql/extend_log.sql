-- Make the leaves that the next positions will need, some ahead; answers how many were made.
--
-- Called at start-up, by operators, and now and then by a writer, with the positions it has drawn (p_from to p_through): it
-- waits for nobody. Whoever finds the lock taken, the log in use by an outer query (55006) or a lock time-out leaves the
-- work to a later call. Only a writer whose own positions have no leaf yet waits for the transaction that makes it, and
-- makes it if that one is rolled back: the last resort before a failed write.
CREATE OR REPLACE FUNCTION lithair.extend_log(
  p_ahead int DEFAULT {{ahead}}, p_from bigint DEFAULT NULL, p_through bigint DEFAULT NULL) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s'
AS $$
DECLARE
  key CONSTANT bigint := ({{namespace}}::bigint << 48) | ((1::bigint << 48) - 1);
  last bigint;
  made int := 0;
BEGIN
  IF EXISTS (SELECT FROM generate_series(p_from / {{width}}, p_through / {{width}}) n
      WHERE to_regclass(format('%I.%I', '{{parts}}', '{{leaf}}' || lpad(n::text, 6, '0'))) IS NULL) THEN
    PERFORM set_config('lock_timeout', '0', true);
    PERFORM pg_advisory_xact_lock(key);
  ELSIF (p_from - 1) / {{check_every}} = p_through / {{check_every}} OR NOT pg_try_advisory_xact_lock(key) THEN
    RETURN 0;
  END IF;
  SELECT greatest(last_value, p_through) INTO last FROM lithair.position;
  FOR number IN coalesce(p_from, last) / {{width}} .. last / {{width}} + p_ahead LOOP
    BEGIN
      IF lithair.add_leaf(number) THEN
        made := made + 1;
      END IF;
    EXCEPTION WHEN object_in_use OR lock_not_available OR duplicate_table THEN
      RETURN made;
    END;
  END LOOP;
  RETURN made;
END $$
