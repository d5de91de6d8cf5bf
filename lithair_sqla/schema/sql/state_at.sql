-- The state of one stream at a moment (a position, and the transactions left out of it): the newest usable snapshot and
-- the events after it; NULL where there was no row. A stream's events of one transaction stand together, since it holds
-- the stream's lock: what is left out is always the end.
--
-- A function, and not part of the statement that asks, so that its plans are made once a connection and each call looks
-- into the partitions between two known positions only.
CREATE OR REPLACE FUNCTION lithair.state_at(
  p_stream bigint, p_first bigint, p_snapshot bigint, p_fingerprint text, p_moment bigint, p_left_out bigint[])
RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
DECLARE
  low bigint := p_first;
  base bigint := 0;
  state jsonb := '{}';
  tail jsonb;
  newest bigint;
  deleted bigint;
BEGIN
  IF p_first > p_moment THEN
    RETURN NULL;
  END IF;
  IF p_snapshot IS NOT NULL THEN
    SELECT n.position, n.version, n.state INTO low, base, state FROM lithair.snapshots n
     WHERE n.stream_id = p_stream AND n.position <= p_moment AND n.fingerprint = p_fingerprint AND n.state IS NOT NULL
       AND (p_left_out = '{}' OR NOT EXISTS (
         SELECT FROM lithair.events e WHERE e.position = n.position AND e.transaction_id = ANY (p_left_out)))
     ORDER BY n.version DESC LIMIT 1;
    IF NOT FOUND THEN
      low := p_first;
      base := 0;
      state := '{}';
    END IF;
  END IF;
  SELECT lithair.merge(e.data), max(e.version), max(e.version) FILTER (WHERE e.kind = 'd') INTO tail, newest, deleted
    FROM (SELECT e.data, e.version, e.kind FROM lithair.events e
           WHERE e.stream_id = p_stream AND e.version > base AND e.position BETWEEN low AND p_moment
             AND e.kind <> 'n' AND e.transaction_id <> ALL (p_left_out)
           ORDER BY e.version) e;
  IF newest IS NULL THEN
    RETURN CASE WHEN base > 0 THEN state END;
  ELSIF deleted = newest THEN
    RETURN NULL;
  END IF;
  RETURN state || tail;
END $$
