-- Lock the rows that some streams of one name belong to, in the order of the table's key: the guard's own order (row,
-- then stream) and a unit of work's, so that an event which changes no row cannot deadlock with one that does. The
-- statement was made from the table's shape when its guard was. A stream name without a table has no row to lock.
CREATE OR REPLACE FUNCTION lithair.lock_rows(p_name text, p_keys text[]) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
  statement text;
BEGIN
  SELECT s.row_lock INTO statement FROM lithair.schemas s WHERE s.name = p_name AND s.relation IS NOT NULL
   ORDER BY s.schema_version DESC LIMIT 1;
  IF statement IS NOT NULL THEN
    EXECUTE statement USING p_keys;
  END IF;
END $$
