"""What a purge costs: make bench-purge."""
