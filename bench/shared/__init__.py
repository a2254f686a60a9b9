"""What the benchmarks have in common: the cluster, pgbench, how figures and progress are printed."""
