"""One implementation for a blocking client and one of asyncio: an operation is a coroutine that its owner runs.

    class Places(...):
        @Operation
        async def point(self, lat: float, lon: float) -> PointOut: ...

Of a `Blocking` owner `point(...)` returns the result, of a `NonBlocking` one it is awaited. The coroutine of a blocking
owner waits in calls that block and never for an event loop, so that one step completes it.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from functools import wraps
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

P = ParamSpec("P")
T = TypeVar("T")


class Blocking:
    """Base of classes whose operations return their result."""


class NonBlocking:
    """Base of classes whose operations are awaited."""


def finished(work: Awaitable[T]) -> T:
    """Return the result of a coroutine that does not wait for an event loop.

    Raises:
        RuntimeError: it does.
    """
    steps = work.__await__()
    try:
        next(steps)
    except StopIteration as end:
        result: T = end.value
        return result
    raise RuntimeError("expected a coroutine that completes at once, got one that waits for an event loop")


class Operation(Generic[P, T]):
    """A method that blocks or is awaited, as its owner."""

    def __init__(self, function: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]) -> None:
        self._function = function

    @overload
    def __get__(self, owner: None, kind: type) -> Callable[..., Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, owner: Blocking, kind: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, owner: NonBlocking, kind: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, owner: object, kind: type) -> Callable[..., Any]:
        """Return the method of its owner, or the function itself of the class."""
        if owner is None:
            return self._function

        @wraps(self._function)
        def bound(*args: P.args, **kwargs: P.kwargs) -> T | Coroutine[Any, Any, T]:
            work = self._function(owner, *args, **kwargs)
            return finished(work) if isinstance(owner, Blocking) else work

        return bound


class Stream(Generic[P, T]):
    """A method that yields, in a `for` or an `async for`, as its owner."""

    def __init__(self, function: Callable[Concatenate[Any, P], AsyncGenerator[T, None]]) -> None:
        self._function = function

    @overload
    def __get__(self, owner: None, kind: type) -> Callable[..., AsyncGenerator[T, None]]: ...
    @overload
    def __get__(self, owner: Blocking, kind: type) -> Callable[P, Generator[T, None, None]]: ...
    @overload
    def __get__(self, owner: NonBlocking, kind: type) -> Callable[P, AsyncGenerator[T, None]]: ...
    def __get__(self, owner: object, kind: type) -> Callable[..., Any]:
        """Return the method of its owner, or the function itself of the class."""
        if owner is None:
            return self._function

        @wraps(self._function)
        def bound(*args: P.args, **kwargs: P.kwargs) -> Generator[T, None, None] | AsyncGenerator[T, None]:
            items = self._function(owner, *args, **kwargs)
            return _drained(items) if isinstance(owner, Blocking) else items

        return bound


def _drained(items: AsyncGenerator[T, None]) -> Generator[T, None, None]:
    try:
        while True:
            try:
                item = finished(anext(items))
            except StopAsyncIteration:
                return
            yield item
    finally:
        finished(items.aclose())
