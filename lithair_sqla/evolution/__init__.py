"""Shapes that change: the Alembic plugin, upcasters, and the record of what every event's shape was."""
