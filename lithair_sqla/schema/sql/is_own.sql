-- Whether a visible row was written by the transaction that asks, open and released savepoints included: nobody else's
-- row can be visible while its transaction is in progress. xmin has 32 bits; it is widened to the nearest id of 64, on
-- either side of the current one: a savepoint's own id is above its transaction's.
CREATE OR REPLACE FUNCTION lithair.is_own(p_xmin xid) RETURNS boolean
LANGUAGE sql STABLE
AS $$
  SELECT w.low >= 3 AND w.wide > 0 AND coalesce(pg_xact_status(w.wide::text::xid8) = 'in progress', false)
    FROM (SELECT x.low, x.now + ((x.low - x.now + 2147483648) & 4294967295) - 2147483648 AS wide
            FROM (SELECT pg_current_xact_id()::text::bigint AS now, p_xmin::text::bigint AS low) x) w
$$
