"""The load of the points benchmark, at a small rate against the app behind a real uvicorn."""

import asyncio
from urllib.parse import urlsplit

from benchmarks.points import _path, _row, _tag, request_all
from tests.service.api_support import fill, service_at
from tests.service.live import served


def test_every_request_is_answered_and_its_validator_holds(tmp_path):
    service = service_at(tmp_path)
    fill(service)
    service.forecast_stored()
    paths = [_path(50 + number / 50, 9 + number / 50) for number in range(40)]
    with served(service) as address:
        port = urlsplit(address).port or 0
        fresh = asyncio.run(request_all(port, paths, (), rate_hz=400))
        again = asyncio.run(request_all(port, paths, [f"If-None-Match: {_tag(one)}" for one in fresh], rate_hz=400))
    assert [one.status for one in fresh] == [200] * 40
    assert [one.status for one in again] == [304] * 40
    row = _row("places", fresh, 200)
    assert (row["requests"], row["not 200"]) == (40, 0)
    assert all(one.wait_s > 0 for one in fresh)
