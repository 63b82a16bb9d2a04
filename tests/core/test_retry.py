"""The policy of waits between attempts, on values worked out by hand."""

import pytest

from core.retry import RetryPolicy, retry_after_s

POLICY = RetryPolicy(2.0, 30.0, shortest_retry_after_s=0.5, longest_retry_after_s=60.0, jitter=lambda: 0.5)


def test_waits_double_up_to_the_longest() -> None:
    assert [POLICY.wait_s(failures) for failures in range(1, 8)] == [2, 4, 8, 16, 30, 30, 30]


def test_jitter_makes_waits_half_to_one_and_a_half_times_as_long() -> None:
    assert RetryPolicy(2.0, 30.0, jitter=lambda: 0.0).wait_s(2) == 2
    assert RetryPolicy(2.0, 30.0, jitter=lambda: 0.999).wait_s(2) == pytest.approx(6, rel=0.01)


@pytest.mark.parametrize(("asked_s", "wait_s"), [(0, 0.5), (7, 7), (600, 60)])
def test_the_server_decides_within_limits(asked_s: float, wait_s: float) -> None:
    assert POLICY.wait_s(4, asked_s) == wait_s


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("120", 120), (" 3 ", 3), ("Wed, 01 Jan 2020 16:08:00 GMT", 300), ("Wed, 01 Jan 2020 15:00:00 GMT", 0)]
    + [(text, None) for text in ("", "soon", "-5", "1.5", "²")],
)
def test_retry_after_is_a_number_or_a_date_by_the_servers_clock(text: str, seconds: float | None) -> None:
    headers = {"retry-after": text, "date": "Wed, 01 Jan 2020 16:03:00 GMT"}
    assert retry_after_s(headers) == seconds
    assert retry_after_s({}) is None
