-- Make the leaves that the next positions will need, some ahead; answers how many were made.
--
-- Called at start-up, by operators, and as a last resort by a writer now and then: so it waits for nobody. Whoever finds
-- the lock taken, the log in use by an outer query (55006) or a lock time-out leaves the work to a later call.
CREATE OR REPLACE FUNCTION lithair.extend_log(p_ahead int DEFAULT {{ahead}}) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s'
AS $$
DECLARE
  last bigint;
  made int := 0;
BEGIN
  SELECT last_value INTO last FROM lithair.position;
  IF NOT pg_try_advisory_xact_lock(({{namespace}}::bigint << 48) | ((1::bigint << 48) - 1)) THEN
    RETURN 0;
  END IF;
  FOR number IN last / {{width}} .. last / {{width}} + p_ahead LOOP
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
