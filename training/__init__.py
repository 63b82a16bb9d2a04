"""Makes checkpoints: data sets, losses, schedules and the Lightning module."""
