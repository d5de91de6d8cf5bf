-- Open a batch of events written by a statement of the owner's own: advertise, and draw one position as the
-- transaction's id where it has none yet.
CREATE OR REPLACE FUNCTION lithair.begin_batch() RETURNS bigint
LANGUAGE plpgsql
AS $$
BEGIN
  IF current_setting('lithair.advertised', true) IS DISTINCT FROM pg_current_xact_id()::text THEN
    PERFORM lithair.advertise();
  END IF;
  IF coalesce(current_setting('lithair.transaction', true), '') = '' THEN
    PERFORM lithair.draw();
  END IF;
  RETURN current_setting('lithair.transaction')::bigint;
END $$
