"""The worker's name on the command line: `celery -A service.worker worker` runs tasks, `... beat` sends them.

Importing it registers the tasks and the handlers of a worker's signals; the web process therefore does not.
"""

from service.tasks import forecasts as forecasts
from service.tasks import jobs as jobs
from service.tasks import signals as signals
from service.tasks.queue import queue as queue
