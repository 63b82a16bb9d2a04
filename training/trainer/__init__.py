"""One training run: data, losses, schedules, the Lightning modules and checkpoints."""
