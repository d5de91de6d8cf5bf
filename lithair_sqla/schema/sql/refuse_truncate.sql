-- TRUNCATE fires no row trigger, so what it removes would be missing from the log.
CREATE OR REPLACE FUNCTION lithair.refuse_truncate() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RAISE EXCEPTION 'TRUNCATE of %.% refused: the table is event-sourced and its rows'' deletes would be missing from the log', tg_table_schema, tg_table_name
    USING ERRCODE = 'LT400', HINT = 'Use DELETE, or declare Persistence(truncate="capture") to write one delete event a row.';
END $$
