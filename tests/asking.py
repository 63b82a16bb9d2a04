"""Requests to a service under test that wait as long as a busy machine needs; httpx2 itself waits for five seconds."""

from functools import partial
from typing import Final

import httpx2

from tests.waiting import PATIENCE_S

get: Final = partial(httpx2.get, timeout=PATIENCE_S)
post: Final = partial(httpx2.post, timeout=PATIENCE_S)
