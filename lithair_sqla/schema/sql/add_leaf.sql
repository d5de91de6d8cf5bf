-- Make the leaf of the log that holds one number's range of positions, built aside and attached under SHARE UPDATE
-- EXCLUSIVE (the CHECK spares the scan). Answers whether it had to be made.
CREATE OR REPLACE FUNCTION lithair.add_leaf(p_number bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  leaf text := '{{leaf}}' || lpad(p_number::text, 6, '0');
  low bigint := p_number * {{width}};
  high bigint := (p_number + 1) * {{width}};
  bound text;
BEGIN
  SELECT pg_get_expr(c.relpartbound, c.oid) INTO bound FROM pg_class c
   WHERE c.oid = to_regclass(format('%I.%I', '{{parts}}', leaf)) AND c.relispartition;
  IF bound = format('FOR VALUES FROM (%L) TO (%L)', low, high) THEN
    RETURN false;
  ELSIF bound IS NOT NULL THEN
    RAISE EXCEPTION 'the partitions of % were made with another width than {{width}}: partition % holds %',
        'lithair.events'::regclass, leaf, lower(bound)
      USING ERRCODE = 'LT210', HINT = 'Set StorageConfig(partition_width=…) to the width that the log was begun with.';
  END IF;
  EXECUTE format(
    'CREATE TABLE %1$I.%2$I (LIKE %8$s INCLUDING DEFAULTS INCLUDING STORAGE INCLUDING COMPRESSION,
       CONSTRAINT %3$I PRIMARY KEY (position), CONSTRAINT %4$I UNIQUE (stream_id, version),
       CONSTRAINT %5$I CHECK (position >= %6$s AND position < %7$s))',
    '{{parts}}', leaf, leaf || '_pk', leaf || '_version', leaf || '_range', low, high, 'lithair.events'::regclass);
  -- Over time, to find an instant's events; over transactions, to find those that straddle a moment (see moment.sql).
  EXECUTE format('CREATE INDEX %1$I ON %2$I.%3$I USING brin (recorded_at, transaction_id, position) WITH (autosummarize = on)',
    leaf || '_time', '{{parts}}', leaf);
  EXECUTE format('ALTER TABLE %s ATTACH PARTITION %I.%I FOR VALUES FROM (%s) TO (%s)',
    'lithair.events'::regclass, '{{parts}}', leaf, low, high);
  EXECUTE format('ALTER TABLE %I.%I DROP CONSTRAINT %I', '{{parts}}', leaf, leaf || '_range');
  RETURN true;
END $$
