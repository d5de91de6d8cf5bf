-- Fold events into state: objects merged in the order they are given, later keys over earlier ones.
CREATE OR REPLACE AGGREGATE lithair.merge(jsonb) (SFUNC = jsonb_concat, STYPE = jsonb, INITCOND = '{}')
