"""The one error tree; a caller knows from the class alone what happens next.

NowcastError
├── InputError            what the user sent is wrong: 422, never retried
│   ├── FrameError            not a radar frame that we can read: 422
│   ├── UnknownNameError      no such model, cell, product, data set: 404
│   ├── NotAcceptableError    no such output format: 406
│   ├── ConflictError         frames that do not make one window: 409
│   ├── TooLargeError         over a size limit: 413
│   └── MediaTypeError        a request body of another kind: 415
├── AccessError           who asks did not say who it is: 401
│   └── ForbiddenError        a key that does not reach so far: 403
├── GoneError             who asked went away: nobody reads the answer, 499 in the counts
├── NoDataError           nothing stored there (yet): 404
├── UnavailableError      a part is not answering now: retried, then 503
│   └── BusyError             more work than is taken on now: 429
├── ConfigError           a wrong setting: stops the start
└── ForecastError         the model failed: a baseline goes out instead
"""

from typing import ClassVar


class NowcastError(Exception):
    """Base of every error that this project raises on purpose; its text says what came and what was due."""

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"


class InputError(NowcastError):
    """The input is at fault; sending it again gives the same answer."""

    status = 422
    title = "Input not usable"


class FrameError(InputError):
    """Bytes that are no radar frame of a supported format and product."""

    title = "Not a readable radar frame"


class UnknownNameError(InputError):
    """A name that no registry holds; the message lists the near ones."""

    status = 404
    title = "Unknown name"


class NotAcceptableError(InputError):
    """The answer does not exist in the format that was asked for."""

    status = 406
    title = "Format not available"


class ConflictError(InputError):
    """Frames that are each fine but do not make one window (times, grids, products)."""

    status = 409
    title = "Frames do not fit together"


class TooLargeError(InputError):
    """More bytes, frames or cells than the limit."""

    status = 413
    title = "Too large"


class MediaTypeError(InputError):
    """A request body of a kind that this operation does not take."""

    status = 415
    title = "Unsupported media type"


class AccessError(NowcastError):
    """No API key, or none that is valid."""

    status = 401
    title = "API key required"


class ForbiddenError(AccessError):
    """An API key whose scope is too small."""

    status = 403
    title = "Not allowed"


class GoneError(NowcastError):
    """Who asked does not wait any more; nothing is made for it."""

    status = 499
    title = "Client went away"


class NoDataError(NowcastError):
    """What was asked for is not stored (yet)."""

    status = 404
    title = "No data"


class UnavailableError(NowcastError):
    """A part of the system does not answer now; the same call may succeed later."""

    status = 503
    title = "Temporarily unavailable"


class BusyError(UnavailableError):
    """More work came than is taken on now; the same request may succeed later."""

    status = 429
    title = "Too many requests"


class ConfigError(NowcastError):
    """A setting or command-line value that cannot work."""

    title = "Configuration error"


class ForecastError(NowcastError):
    """The model failed or gave values that are not finite."""

    title = "Forecast failed"
