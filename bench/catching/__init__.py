"""What catching errors in loops costs: make bench-catch."""
