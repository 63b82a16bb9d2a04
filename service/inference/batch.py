"""The one thread that runs models: calls wait in a bounded queue, and those of one kind go together.

One thread, since torch keeps a team of threads and its scratch memory for every thread that calls it.
"""

import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from core.errors import BusyError, ClientDisconnectedError
from service.inference.request_scope import DISCONNECTED, current_scope

Given = TypeVar("Given")
Made = TypeVar("Made")


@dataclass(frozen=True)
class Batching:
    """What goes together.

    Attributes:
        size: calls that are made as one.
        wait_s: so long the first of them waits for more, where `size` is above 1.
        queue_size: calls that wait; the next one is refused.
    """

    size: int = 1
    wait_s: float = 0.005
    queue_size: int = 32


@dataclass
class QueuedCall(Generic[Given, Made]):
    """One call that waits."""

    kind: Hashable
    given: Given
    give_up_at: float | None
    came_at: float = field(default_factory=time.monotonic)
    made: "Future[Made]" = field(default_factory=Future)

    @property
    def is_late(self) -> bool:
        """Nobody waits for it any more."""
        return self.give_up_at is not None and time.monotonic() > self.give_up_at


class Lane(Generic[Given, Made]):
    """Runs calls in the order of their coming, in a thread of its own that begins with the first.

    Args:
        run: makes several calls of one kind: what each gives, or its error. It runs in the lane's thread.
        batching: the bounds.
        waited: told how long each call waited, in seconds.
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
        """What the model makes of it.

        Raises:
            BusyError: the queue is full, or the request's time is over.
            ClientDisconnectedError: who asked left before it was begun.
        """
        scope = current_scope()
        call: QueuedCall[Given, Made] = QueuedCall(kind, given, scope.wait_until)
        left_s = scope.remaining_s("the model was called")
        with self._changed:
            if len(self._waiting) >= self._batching.queue_size:
                raise BusyError(f"{len(self._waiting)} forecasts wait for the model already; ask again later")
            self._waiting.append(call)
            self._begin()
            self._changed.notify_all()
        try:
            with scope.client.on_disconnect(call.made.cancel):
                return call.made.result(left_s)
        except CancelledError as err:
            raise ClientDisconnectedError(DISCONNECTED) from err
        except FutureTimeoutError as err:
            if call.made.done():  # the model's own
                raise
            raise BusyError(f"the model was not free within {left_s:.0f} s; ask again later") from err
        finally:
            if call.made.cancel():  # nobody waits for it: its place is free at once
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
                self._waited(time.monotonic() - call.came_at)
            self._make(calls)
            del calls  # the last inputs and results are not held until the next call comes

    def _make(self, calls: Sequence[QueuedCall[Given, Made]]) -> None:
        try:
            made = self._run(calls[0].kind, [call.given for call in calls])
        except BaseException as err:  # the thread lives on, whatever a model raises
            made = [err if isinstance(err, Exception) else RuntimeError(repr(err))] * len(calls)
        for call, result in zip(calls, made, strict=True):
            if isinstance(result, Exception):
                call.made.set_exception(result)
            else:
                call.made.set_result(result)

    def _next(self) -> list[QueuedCall[Given, Made]]:
        """The oldest call and those that go with it, taken off the queue; waits for it."""
        with self._changed:
            while True:
                self._waiting = [call for call in self._waiting if not call.is_late]
                if not self._waiting:
                    self._changed.wait()
                    continue
                first = self._waiting[0]
                chosen = [call for call in self._waiting if call.kind == first.kind][: self._batching.size]
                left_s = first.came_at + self._batching.wait_s - time.monotonic()
                if len(chosen) < self._batching.size and left_s > 0:
                    self._changed.wait(left_s)
                    continue
                chosen = [call for call in chosen if call.made.set_running_or_notify_cancel()]
                self._waiting = [call for call in self._waiting if not call.made.running()]
                if chosen:
                    return chosen
