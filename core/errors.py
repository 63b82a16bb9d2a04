"""The error tree: the class of an error determines how it is handled.

NowcastError
├── InputError                  invalid input: 422, never retried
│   ├── FrameError                  not a readable radar frame: 422
│   ├── UnknownNameError            unknown model, cell, product or data set: 404
│   ├── NotAcceptableError          no such output format: 406
│   ├── ConflictError               frames that do not form one window: 409
│   ├── TooLargeError               over a size limit: 413
│   └── MediaTypeError              unsupported type of request body: 415
├── AuthenticationError         no valid credentials: 401
│   └── PermissionDeniedError       the API key lacks the required scope: 403
├── ClientDisconnectedError     the client closed the connection: logged as 499
├── NoDataError                 not stored (yet): 404
├── UnavailableError            a component does not respond: retried, then 503
│   └── BusyError                   over the admission limit: 429
├── ConfigError                 invalid setting: stops the start
└── ForecastError               the model failed: the fallback is sent instead
"""

from typing import ClassVar, Final

MAX_SHOWN: Final = 80
"""Characters of a wrong value that a message shows."""


def shown(value: object) -> str:
    """Return a wrong value as messages show it: its `repr`, cut to `MAX_SHOWN` characters."""
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


class NowcastError(Exception):
    """Base of the errors of this project; the message names what was expected and what was found."""

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"


class InputError(NowcastError):
    """Invalid input; repeating the request gives the same answer."""

    status = 422
    title = "Input not usable"


class FrameError(InputError):
    """Bytes that are not a radar frame of a supported format and product."""

    title = "Not a readable radar frame"


class UnknownNameError(InputError):
    """A name that no registry holds; the message lists similar names."""

    status = 404
    title = "Unknown name"


class NotAcceptableError(InputError):
    """None of the requested output formats is available."""

    status = 406
    title = "Format not available"


class ConflictError(InputError):
    """Valid frames that do not form one window (times, grids, products)."""

    status = 409
    title = "Frames do not fit together"


class TooLargeError(InputError):
    """More bytes, frames or grid cells than the limit."""

    status = 413
    title = "Too large"


class MediaTypeError(InputError):
    """A request body whose media type this operation does not accept."""

    status = 415
    title = "Unsupported media type"


class AuthenticationError(NowcastError):
    """No valid credentials were sent."""

    status = 401
    title = "API key required"


class PermissionDeniedError(AuthenticationError):
    """The API key lacks the required scope."""

    status = 403
    title = "Not allowed"


class ClientDisconnectedError(NowcastError):
    """The client closed the connection; its work is dropped."""

    status = 499
    title = "Client disconnected"


class NoDataError(NowcastError):
    """The requested data are not stored (yet)."""

    status = 404
    title = "No data"


class UnavailableError(NowcastError):
    """A component does not respond now; the same call may succeed later.

    Args:
        text: what does not respond.
        private: what a driver or the system says of it (hosts, ports, paths): part of the message, which logs have, and
            not of `public`, which clients are sent.
    """

    status = 503
    title = "Temporarily unavailable"

    def __init__(self, text: str = "", *, private: str = "") -> None:
        super().__init__(f"{text}: {private}" if private else text)
        self.public = text


class BusyError(UnavailableError):
    """More work than the admission limit; the same request may succeed later."""

    status = 429
    title = "Too many requests"


class ConfigError(NowcastError):
    """An invalid setting or command-line value."""

    title = "Configuration error"


class ForecastError(NowcastError):
    """The model failed or returned values that are not finite."""

    title = "Forecast failed"
