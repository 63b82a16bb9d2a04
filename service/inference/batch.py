"""The one thread that runs models: calls wait in a bounded queue, and calls of one kind are run as a batch.

One thread, since torch keeps a pool of threads and its scratch memory for every thread that calls it.
"""

import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from core.errors import BusyError, ClientDisconnectedError, ForecastError
from service.inference.request_scope import DISCONNECTED, current_scope

Given = TypeVar("Given")
Made = TypeVar("Made")


@dataclass(frozen=True)
class Batching:
    """Limits of a batch: size, wait time, queue length.

    Attributes:
        size: most calls that are run as one.
        wait_s: longest time that the first call waits for others, where `size` is above 1.
        queue_size: most calls that wait; the next one is refused.
    """

    size: int = 1
    wait_s: float = 0.005
    queue_size: int = 32


@dataclass
class QueuedCall(Generic[Given, Made]):
    """One call that waits in the queue for the models' thread."""

    kind: Hashable
    given: Given
    give_up_at: float | None
    queued_at: float = field(default_factory=time.monotonic)
    made: "Future[Made]" = field(default_factory=Future)

    @property
    def is_late(self) -> bool:
        """Return whether its deadline has passed, so that its result would be discarded."""
        return self.give_up_at is not None and time.monotonic() > self.give_up_at


class Lane(Generic[Given, Made]):
    """Runs calls in the order of their arrival, in a thread of its own that starts with the first call.

    Args:
        run: computes several calls of one kind; returns for each its result or its error. It runs in the lane's thread.
        batching: limits of a batch and of the queue.
        waited: receives the time in seconds that each call waited.
    """

    def __init__(
        self,
        run: Callable[[Hashable, Sequence[Given]], Sequence[Made | Exception]],
        batching: Batching,
        waited: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._run, self._batching, self._waited = run, batching, waited
        self._waiting: list[QueuedCall[Given, Made]] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def call(self, kind: Hashable, given: Given) -> Made:
        """Return the model's result for one input, after waiting in the queue.

        Raises:
            BusyError: the queue is full, or the request's deadline has passed.
            ClientDisconnectedError: the client disconnected before the call was started.
            ForecastError: the time that the scope gives a model has passed.
        """
        scope = current_scope()
        call: QueuedCall[Given, Made] = QueuedCall(kind, given, scope.give_up_at)
        left_s = scope.remaining_s("the model was called")
        if scope.model_until is not None and scope.give_up_at == scope.model_until:
            left_s = max(0.0, scope.model_until - time.monotonic())
        with self._changed:
            if len(self._waiting) >= self._batching.queue_size:
                raise BusyError(f"the queue of the model is full ({len(self._waiting)} forecasts wait); retry later")
            self._waiting.append(call)
            self._begin()
            self._changed.notify_all()
        try:
            with scope.client.on_disconnect(call.made.cancel):
                return call.made.result(left_s)
        except CancelledError as err:
            raise ClientDisconnectedError(DISCONNECTED) from err
        except FutureTimeoutError as err:
            if call.made.done():  # a timeout that the model itself raised
                raise
            what = "had not finished" if call.made.running() else "was not free"
            if scope.give_up_at == scope.model_until:
                raise ForecastError(f"the model {what} within {left_s:.0f} s (NOWCAST_TASK_LIMIT_S)") from err
            raise BusyError(f"the model {what} within {left_s:.0f} s (NOWCAST_REQUEST_LIMIT_S); retry later") from err
        finally:
            if call.made.cancel():  # its client no longer waits: the place in the queue is free at once
                with self._changed:
                    self._waiting = [other for other in self._waiting if other is not call]

    def _begin(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._serve, name="models", daemon=True)
            self._thread.start()

    def _serve(self) -> None:
        while True:
            calls = self._next()
            for call in calls:
                self._waited(time.monotonic() - call.queued_at)
            self._make(calls)
            del calls  # frees the last inputs and results before the next call arrives

    def _make(self, calls: Sequence[QueuedCall[Given, Made]]) -> None:
        try:
            made = self._run(calls[0].kind, [call.given for call in calls])
        except BaseException as err:  # the thread survives whatever a model raises
            made = [err if isinstance(err, Exception) else RuntimeError(repr(err))] * len(calls)
        for call, result in zip(calls, made, strict=True):
            if isinstance(result, Exception):
                call.made.set_exception(result)
            else:
                call.made.set_result(result)

    def _next(self) -> list[QueuedCall[Given, Made]]:
        """Wait for a call, then take the oldest and those that can be batched with it off the queue."""
        with self._changed:
            while True:
                self._waiting = [call for call in self._waiting if not call.is_late]
                if not self._waiting:
                    self._changed.wait()
                    continue
                first = self._waiting[0]
                chosen = [call for call in self._waiting if call.kind == first.kind][: self._batching.size]
                left_s = first.queued_at + self._batching.wait_s - time.monotonic()
                if len(chosen) < self._batching.size and left_s > 0:
                    self._changed.wait(left_s)
                    continue
                chosen = [call for call in chosen if call.made.set_running_or_notify_cancel()]
                self._waiting = [call for call in self._waiting if not call.made.running()]
                if chosen:
                    return chosen
