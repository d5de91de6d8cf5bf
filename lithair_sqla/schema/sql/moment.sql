-- What a moment is in the log: the position up to which it reaches, and the transactions that were still writing there
-- (they have events on both sides of it) and are left out whole.
--
--   p_position  a position; with p_whole, that of an event whose transaction is to be in: the transaction's last
--   p_time      an instant, or p_ago, a time before now: the last position recorded by then. Writers draw a position
--               first and stamp it a moment later, so instants and positions can be out of order by as much: the search
--               goes on for p_skew beyond the instant.
--   reached     the position
--   settled     whether the answer is final: no transaction that is running now can still add an event before it.
--               Known only where the horizon is (READ COMMITTED, on the primary); elsewhere false.
--   last        the last position drawn; a greater one is a moment in the future
--   now         the database's clock
--   known       whether p_position (with p_whole) has an event
--
-- Who straddles? An event after the moment whose transaction began at or before it. Transactions are known by their first
-- position, and each leaf has a BRIN over both: ranges of pages before the moment, and those after it that hold no such
-- old transaction, are passed over. So what is read are the straddlers' own events and their neighbours, however long
-- ago the moment is.
CREATE OR REPLACE FUNCTION lithair.moment(
  p_position bigint, p_whole boolean, p_time timestamptz, p_ago interval, p_skew interval,
  OUT reached bigint, OUT left_out bigint[], OUT settled boolean, OUT last bigint, OUT now timestamptz, OUT known boolean)
LANGUAGE plpgsql
SET enable_seqscan = off
AS $$
DECLARE
  horizon bigint;
  instant timestamptz;
  beyond bigint;
  writer bigint;
BEGIN
  now := clock_timestamp();
  IF current_setting('transaction_isolation') = 'read committed' AND NOT pg_is_in_recovery() THEN
    horizon := lithair.horizon();
  END IF;
  SELECT CASE WHEN s.is_called THEN s.last_value ELSE 0 END INTO last FROM lithair.position s;
  reached := p_position;
  known := true;
  IF p_position IS NULL THEN
    instant := coalesce(p_time, now - p_ago);
    beyond := lithair.position_at(instant + p_skew);
    SELECT e.position INTO reached FROM lithair.events e
     WHERE e.position <= beyond AND e.recorded_at <= instant ORDER BY e.position DESC LIMIT 1;
    reached := coalesce(reached, 0);
    -- Final once nobody is writing, or once an event later than any inversion stands below the horizon.
    settled := coalesce(
      (horizon >= last AND instant <= now)
      OR EXISTS (SELECT FROM lithair.events e WHERE e.position > beyond AND e.position <= horizon), false);
  ELSE
    IF p_whole THEN
      SELECT e.transaction_id INTO writer FROM lithair.events e WHERE e.position = p_position;
      known := writer IS NOT NULL;
      -- OFFSET 0 keeps the planner from walking back from the log's end in search of the greatest.
      SELECT coalesce(max(own.position), p_position) INTO reached FROM (
        SELECT e.position FROM lithair.events e WHERE e.position >= p_position AND e.transaction_id = writer OFFSET 0) own;
    END IF;
    settled := coalesce(reached <= horizon, false);
  END IF;
  -- Planned anew each time: a plan for any moment would walk through everything after this one.
  EXECUTE $query$
    SELECT coalesce(array_agg(DISTINCT e.transaction_id), '{}') FROM lithair.events e
     WHERE e.position > $1 AND e.transaction_id <= $1 $query$
    INTO left_out USING reached;
END $$
