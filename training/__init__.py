"""Training and evaluation of models: data sets, losses, schedules, the Lightning modules, scores and reports."""
