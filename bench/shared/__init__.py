"""What the benchmarks have in common: the cluster, pgbench, rounds, memory, how figures and progress are printed."""
