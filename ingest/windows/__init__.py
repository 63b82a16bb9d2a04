"""The input frames of a forecast, and their way from one grid to another."""
