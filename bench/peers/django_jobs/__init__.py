"""The Django application that tracks the table jobs."""
