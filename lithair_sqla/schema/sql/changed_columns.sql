-- The columns of two images of a row that differ, compared by their text: what a guard falls back to when a row changed in
-- a column that it was not generated for.
CREATE OR REPLACE FUNCTION lithair.changed_columns(p_new jsonb, p_old jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE
AS $$
  SELECT coalesce(jsonb_object_agg(n.key, n.value), '{}')
    FROM jsonb_each(p_new) n LEFT JOIN jsonb_each(p_old) o ON o.key = n.key
   WHERE n.value::text IS DISTINCT FROM o.value::text
$$
