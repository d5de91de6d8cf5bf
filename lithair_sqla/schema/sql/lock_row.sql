-- Lock the row that a stream belongs to, in the guard's own order (row, then stream), so that an event which changes no
-- row cannot deadlock with one that does. A stream name without a table has no row to lock.
CREATE OR REPLACE FUNCTION lithair.lock_row(p_name text, p_key text) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
  shape lithair.schemas;
  keys text[];
BEGIN
  SELECT * INTO shape FROM lithair.schemas s WHERE s.name = p_name AND s.relation IS NOT NULL
   ORDER BY s.schema_version DESC LIMIT 1;
  IF shape.relation IS NULL THEN
    RETURN;
  END IF;
  SELECT array_agg(format('t.%I = (%s)::%s', c.value->>'name',
      CASE WHEN c.keys = 1 THEN '$1' ELSE format('($1::jsonb)->>%s', c.place) END, c.value->>'type') ORDER BY c.place)
    INTO keys
    FROM (SELECT value, (value->>'key')::int AS place, count(*) OVER () AS keys
            FROM jsonb_array_elements(shape.columns) WHERE value ? 'key') c;
  EXECUTE format('SELECT 1 FROM %s t WHERE %s FOR NO KEY UPDATE', shape.relation, array_to_string(keys, ' AND ')) USING p_key;
END $$
