"""The programs that ``python -m benchmarks.restore_parity`` runs, one process for each framework."""
