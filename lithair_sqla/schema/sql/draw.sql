-- Draw the next position in a transaction that has advertised; the first one drawn becomes the transaction's id.
--
-- Now and then it looks whether the log's next leaves are there. At the beginning of a leaf every draw looks whether that
-- one is: more writers than it has such positions cannot be on their way at once, so none passes them unseen.
CREATE OR REPLACE FUNCTION lithair.draw() RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
  drawn bigint := nextval('lithair.position'::regclass);
BEGIN
  IF coalesce(current_setting('lithair.transaction', true), '') = '' THEN
    PERFORM set_config('lithair.transaction', drawn::text, true);
  END IF;
  IF drawn % {{check_every}} = 0 OR (drawn % {{width}} < 8192 AND drawn >= {{width}}) THEN
    PERFORM lithair.extend_log(p_from => drawn, p_through => drawn);
  END IF;
  RETURN drawn;
END $$
