"""What stands in the database: tables, partitions, functions, guards; made, checked and kept up to date."""
