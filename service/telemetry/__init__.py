"""Metrics of every process: what is counted, and how the counts of all processes are summed."""
