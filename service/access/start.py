"""Check before the start whether the service may listen on its address, with the reason in one line."""

import sys
from pathlib import Path
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.errors import ConfigError
from core.settings import Settings
from service.access.callers import is_loopback
from service.access.keybook import KeyBook

SOCKET: Final = "a socket of another program"


def check_start(settings: Settings, host: str | None = None) -> None:
    """Refuse to listen beyond this machine without a key.

    Args:
        settings: of the service.
        host: where it will listen; None is uvicorn's own command line, else the setting.

    Raises:
        ConfigError: there is no key, and the setting that allows it is not set.
    """
    host = host or uvicorn_host(sys.argv) or settings.host
    if is_loopback(host) or settings.allow_no_keys or KeyBook.from_settings(settings).has_valid():
        return
    raise ConfigError(
        f"the service would listen on {host}, which is not this machine alone, and there is no API key; make one with "
        "`python -m service.keys create NAME --scope forecast`, or set NOWCAST_ALLOW_NO_KEYS=true (only GET works then)"
    )


def with_local_access(settings: Settings, *, embedded: bool) -> Settings:
    """Return the settings with a decision whether this machine needs no API key.

    A proxy on this machine that states no client makes every request look like one of this machine. So only a service
    that is started as one tree for this machine lets it in without a key, unless the setting says so.

    Args:
        settings: of the service.
        embedded: whether `service.run` starts it.
    """
    if settings.local_without_key is not None:
        return settings
    is_alone = embedded and not settings.trusted_proxies and settings.public_url is None
    return settings.model_copy(update={"local_without_key": is_alone})


def local_access_text(settings: Settings) -> str:
    """Return the line that a start prints about access from this machine."""
    if settings.local_without_key:
        return (
            "programs of this machine may make forecasts without an API key: set NOWCAST_LOCAL_WITHOUT_KEY=false "
            "where a proxy on this machine passes on requests of others"
        )
    return (
        "programs of this machine need an API key to make forecasts, as all others; without a proxy on it "
        "NOWCAST_LOCAL_WITHOUT_KEY=true lets them in"
    )


def uvicorn_host(argv: list[str]) -> str | None:
    """Return the host of a `uvicorn ...` command, as uvicorn reads its arguments; None for other programs."""
    program = Path(argv[0])
    if "uvicorn" not in (program.stem, program.parent.name):
        return None
    from uvicorn import main

    command: Any = main  # a click command
    options = command.make_context("uvicorn", list(argv[1:]), resilient_parsing=True).params
    if options.get("uds") or options.get("fd") is not None:
        return SOCKET
    host: str = options.get("host") or "127.0.0.1"
    return host


class StartInOneLine:
    """Middleware that reports a failed start without a traceback where the reason is a setting."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of the server."""
        if scope["type"] != "lifespan":
            await self.app(scope, receive, send)
            return
        failures: list[Message] = []

        async def hold_failure(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                failures.append(message)
            else:
                await send(message)

        try:
            await self.app(scope, receive, hold_failure)
        except ConfigError as err:
            await send({"type": "lifespan.startup.failed", "message": f"cannot start: {err}"})
            raise
        except BaseException:
            for message in failures:
                await send(message)
            raise
