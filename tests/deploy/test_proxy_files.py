"""deploy/nginx and deploy/caddy agree with the service; tests/service/test_web_servers.py runs them."""

import re

import pytest

from core.settings import Settings
from service.api import events, rule_events
from tests.environments import ROOT

NGINX = (ROOT / "deploy" / "nginx" / "nowcast.conf").read_text("utf-8")
CADDY = (ROOT / "deploy" / "caddy" / "Caddyfile").read_text("utf-8")
MIB = 2**20


@pytest.mark.parametrize(("text", "limit"), [(NGINX, r"client_max_body_size (\d+)m;"), (CADDY, r"max_size (\d+)MiB")])
def test_the_service_itself_refuses_an_upload_that_is_too_large(text, limit):
    found = re.search(limit, text)
    assert found
    assert int(found[1]) * MIB > Settings().upload_max_bytes


@pytest.mark.parametrize("router", [events.router, rule_events.router])
def test_nginx_buffers_no_stream_of_events(router):
    unbuffered = [block for block in NGINX.split("location ")[1:] if "proxy_buffering off" in block]
    patterns = [block.partition("{")[0].removeprefix("~ ").strip() for block in unbuffered]
    for route in router.routes:
        assert any(re.match(pattern, route.path) for pattern in patterns), route.path
