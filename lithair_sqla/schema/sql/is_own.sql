-- Whether a visible row was written by the transaction that asks, open and released savepoints included: nobody else's
-- row can be visible while its transaction is in progress. xmin has 32 bits and is widened from the current id.
CREATE OR REPLACE FUNCTION lithair.is_own(p_xmin xid) RETURNS boolean
LANGUAGE sql STABLE
AS $$
  SELECT coalesce(pg_xact_status((CASE WHEN w.near > w.now THEN w.near - 4294967296 ELSE w.near END)::text::xid8) = 'in progress', false)
    FROM (SELECT pg_current_xact_id()::text::bigint AS now,
            (pg_current_xact_id()::text::bigint & ~4294967295::bigint) | p_xmin::text::bigint AS near) w
$$
