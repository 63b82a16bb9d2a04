"""What an operator sees: counts, ages and log lines of all processes."""
