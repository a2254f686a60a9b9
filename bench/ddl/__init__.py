"""What DDL costs that is about no watched table, beside a database without the extension."""
