-- Let this transaction write a table's rows from the log without logging them again. The guard believes the setting only
-- together with the checkpoint's holder, which nobody but the library's owner can write.
CREATE OR REPLACE FUNCTION lithair.begin_replay(p_table regclass) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  INSERT INTO lithair.checkpoints AS c (name, holder)
  VALUES ('replay:' || p_table::oid::text, pg_current_xact_id()::text::bigint)
  ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, updated_at = clock_timestamp();
  PERFORM set_config('lithair.replay', '1', true);
END $$
