"""The app on a port of this machine, for clients that speak HTTP themselves."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from service.app import create_app
from service.forecasts.nowcast import NowcastService
from tests.waiting import PATIENCE_S, wait_until


@contextmanager
def served(service: NowcastService) -> Iterator[str]:
    """Gives the address, such as http://127.0.0.1:4711, with a warm model behind it."""
    app = create_app(service)
    with socket.create_server(("127.0.0.1", 0)) as port:
        server = uvicorn.Server(
            uvicorn.Config(
                app, log_level="warning", proxy_headers=False, ws="none", lifespan="on", timeout_graceful_shutdown=1
            )
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [port]}, daemon=True)
        thread.start()
        wait_until(lambda: server.started, "server")
        assert app.state.backend.wait_warm(timeout_s=PATIENCE_S)
        try:
            yield f"http://127.0.0.1:{port.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(PATIENCE_S)
