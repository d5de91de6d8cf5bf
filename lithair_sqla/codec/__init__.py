"""Values and bytes: how a column's value stands in the log, without a connection in sight."""
