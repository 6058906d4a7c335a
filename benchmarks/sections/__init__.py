"""What is measured: one module per row of the table, each with ``measure(bench)``."""
