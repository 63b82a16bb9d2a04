"""Counts, ages and log lines of every process."""
