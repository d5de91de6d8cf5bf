-- The last crossing of an instant: a position such that the event at or before it was recorded by then and the next one
-- later. Binary search over the primary key, about thirty probes; recorded_at follows position but for the moments in
-- which several writers draw at once, so one instant may have several crossings, and this finds one of them.
CREATE OR REPLACE FUNCTION lithair.position_at(p_time timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  low bigint := 0;
  high bigint := coalesce((SELECT max(e.position) FROM lithair.events e), 0);
  middle bigint;
  found_position bigint;
  found_time timestamptz;
BEGIN
  WHILE low < high LOOP
    middle := low + (high - low) / 2;
    SELECT e.position, e.recorded_at INTO found_position, found_time
      FROM lithair.events e WHERE e.position > middle ORDER BY e.position LIMIT 1;
    IF found_time <= p_time THEN
      low := found_position;
    ELSE
      high := middle;
    END IF;
  END LOOP;
  RETURN low;
END $$
