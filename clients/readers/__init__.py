"""Programs that read the log as its users' programs do, and compare what they read with what was written."""
