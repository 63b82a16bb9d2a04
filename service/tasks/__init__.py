"""Everything of Celery: the queue, the schedule, the tasks and the watchdog."""
