"""From SQL statements, or hand-picked tables and restrictions, to the slice of a MySQL database that they need.

The package takes plain values (SQL text, default schema, session context) and works without any recording.
"""
