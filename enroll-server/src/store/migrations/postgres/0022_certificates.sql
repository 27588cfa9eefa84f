-- Rows of PostgreSQL have no order by their keys, so there is nothing to change: see the step for SQLite.
SELECT 1;
