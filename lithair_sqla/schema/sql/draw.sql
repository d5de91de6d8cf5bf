-- Draw the next position in a transaction that has advertised; the first one drawn becomes the transaction's id.
-- Now and then it looks whether the log's next leaves are there, so that no write ever fails for lack of one.
CREATE OR REPLACE FUNCTION lithair.draw() RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
  drawn bigint := nextval('lithair.position'::regclass);
BEGIN
  IF coalesce(current_setting('lithair.transaction', true), '') = '' THEN
    PERFORM set_config('lithair.transaction', drawn::text, true);
  END IF;
  IF drawn % {{check_every}} = 0 THEN
    PERFORM lithair.extend_log();
  END IF;
  RETURN drawn;
END $$
