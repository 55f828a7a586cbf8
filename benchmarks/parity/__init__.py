"""What ``python -m benchmarks.restore_parity`` runs, each framework in a process of its own."""
