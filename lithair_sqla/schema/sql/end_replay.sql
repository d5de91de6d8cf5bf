-- Take back what begin_replay gave, in the same transaction: nobody else ever sees the checkpoint.
CREATE OR REPLACE FUNCTION lithair.end_replay(p_table regclass) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  DELETE FROM lithair.checkpoints WHERE name = 'replay:' || p_table::oid::text;
  PERFORM set_config('lithair.replay', '', true);
END $$
