"""`python -m service.watchdog`: check that a worker completes a synthetic task; exit status 0 or 1.

Made for the health check of a worker's container.
"""

from time import monotonic, sleep
from typing import Annotated, Any, Final

import typer
from celery.states import READY_STATES

from service.tasks.queue import BEAT, own_queue, queue
from service.tasks.watchdog import QUEUE_ERRORS, send_heartbeat

POLL_S: Final = 0.1


def main(
    worker_name: Annotated[str | None, typer.Option("--worker", help="one worker, as celery@HOST; else any")] = None,
    within_s: Annotated[float, typer.Option(min=1, help="seconds in which it has to be completed")] = 60.0,
) -> None:
    """Send a synthetic task and wait until a worker has completed it."""
    queue_name = own_queue(worker_name) if worker_name else BEAT
    try:
        state = _state_of_one(queue, queue_name, within_s)
    except QUEUE_ERRORS as err:
        typer.echo(f"the queue does not answer: {type(err).__name__}", err=True)
        raise typer.Exit(1) from None
    if state == "FAILURE":
        typer.echo(f"a synthetic task failed in the queue {queue_name}", err=True)
        raise typer.Exit(1)
    if state != "SUCCESS":
        typer.echo(f"no synthetic task was completed within {within_s:g} s of the queue {queue_name}", err=True)
        raise typer.Exit(1)
    typer.echo("completed")


def _state_of_one(app: Any, queue_name: str, within_s: float) -> str:
    """Return the state of a new synthetic task when it has ended, or after `within_s`."""
    ends_at = monotonic() + within_s
    app.backend.client.ping()  # fails quickly, while Celery itself would retry for long
    task_id = send_heartbeat(app, "healthcheck", queue_name, within_s, ignore_result=False)
    while (state := str(app.backend.get_task_meta(task_id)["status"])) not in READY_STATES and monotonic() < ends_at:
        sleep(POLL_S)
    return state


if __name__ == "__main__":
    typer.run(main)
