"""Calls of models wait in a bounded queue, go together where they are alike, and give up when their time is over."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from core.errors import BusyError, ForecastError
from models import Forecaster, build_model
from service.inference.batch import Batching, Lane
from service.inference.predictor import Predictor
from service.inference.request_scope import request_scope
from tests.service.fakes import FakeForecaster, whole
from tests.waiting import PATIENCE_S, wait_until


class Gate:
    """A model that waits until it may continue, and records its batches."""

    def __init__(self) -> None:
        self.may_go = threading.Event()
        self.begun = threading.Semaphore(0)
        self.batches: list[list[int]] = []

    def __call__(self, kind, given):
        self.batches.append(list(given))
        self.begun.release()
        assert self.may_go.wait(PATIENCE_S)
        return [ForecastError("odd") if number % 2 else number * 10 for number in given]


@pytest.fixture
def gate():
    made = Gate()
    yield made
    made.may_go.set()


def test_calls_of_one_kind_are_batched_in_order(gate):
    lane = Lane(gate, Batching(size=3, wait_s=0, queue_size=10))
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(lane.call, "a", 0)
        assert gate.begun.acquire(timeout=PATIENCE_S)
        rest = []
        for kind, number in (("a", 2), ("b", 4), ("a", 6), ("a", 8), ("a", 10)):
            rest.append(pool.submit(lane.call, kind, number))
            wait_until(lambda: len(lane._waiting) == len(rest), "waiting requests")
        gate.may_go.set()
        assert [each.result(20) for each in (first, *rest)] == [0, 20, 40, 60, 80, 100]
    assert gate.batches == [[0], [2, 6, 8], [4], [10]]


def test_the_first_call_waits_briefly_for_others(gate):
    gate.may_go.set()
    lane = Lane(gate, Batching(size=2, wait_s=20, queue_size=10))
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(lane.call, "a", number) for number in (2, 4)]
        assert sorted(each.result(10) for each in both) == [20, 40]
    assert [sorted(batch) for batch in gate.batches] == [[2, 4]]


def test_each_call_receives_its_own_error(gate):
    gate.may_go.set()
    lane = Lane(gate, Batching(size=2, wait_s=20, queue_size=10))
    with ThreadPoolExecutor(2) as pool:
        good, bad = pool.submit(lane.call, "a", 2), pool.submit(lane.call, "a", 3)
        assert good.result(10) == 20
        with pytest.raises(ForecastError, match="odd"):
            bad.result(10)


def test_a_full_queue_refuses_and_late_calls_are_not_run(gate):
    lane = Lane(gate, Batching(queue_size=2))
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(lane.call, "a", 0)
        assert gate.begun.acquire(timeout=PATIENCE_S)
        with request_scope(limit_s=0.05), pytest.raises(BusyError, match="not free within"):
            lane.call("a", 100)
        waiting = [pool.submit(lane.call, "a", number) for number in (2, 4)]
        wait_until(lambda: len(lane._waiting) == 2, "waiting requests")
        with pytest.raises(BusyError, match="queue of the model is full"):
            lane.call("a", 6)
        gate.may_go.set()
        assert [each.result(20) for each in (first, *waiting)] == [0, 20, 40]
    assert [100] not in gate.batches
    assert [6] not in gate.batches


def test_a_model_s_own_timeout_is_its_error():
    def slow(kind, given):
        raise TimeoutError("the model's own")

    with pytest.raises(TimeoutError, match="own"):
        Lane(slow, Batching()).call("a", 1)


def test_the_thread_survives_whatever_a_model_raises():
    def wrong(kind, given):
        raise SystemExit if given[0] else ValueError("no")

    lane = Lane(wrong, Batching())
    with pytest.raises(RuntimeError, match="SystemExit"):
        lane.call("a", 1)
    with pytest.raises(ValueError, match="no"):
        lane.call("a", 0)


@pytest.fixture(scope="module")
def network() -> Forecaster:
    return Forecaster.from_model(build_model("ms-convlstm", hidden_channels=8), device="cpu", precision="float32")


def test_a_batch_of_a_network_equals_single_forecasts(network):
    rng = np.random.default_rng(0)
    rates_BTHW = rng.gamma(0.3, 3, (3, 5, 40, 36)).astype(np.float32)
    rates_BTHW[1, :, :9] = np.nan
    together = np.stack([fields.rate_mmh_LHW for fields in network.forecast_batch(rates_BTHW, 4)])
    alone = np.stack([network.forecast(rate_THW, 4).rate_mmh_LHW for rate_THW in rates_BTHW])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(np.isnan(together), np.isnan(alone))


def test_concurrent_forecasts_of_one_shape_share_a_call(network):
    calls = []
    gate = threading.Event()

    class Counting(FakeForecaster):
        def __init__(self):
            super().__init__("counting", "1", input_steps=5, cadence_minutes=30, pixel_m=7258.0)

        def fields(self, rate_mmh_THW, lead_steps):
            calls.append(1)
            assert gate.wait(PATIENCE_S)
            return network.forecast(rate_mmh_THW, lead_steps)

        def forecast_batch(self, rate_mmh_BTHW, lead_steps=5, **given):
            calls.append(len(rate_mmh_BTHW))
            return network.forecast_batch(rate_mmh_BTHW, lead_steps, **given)

    predictor = Predictor(lambda _: Counting(), batching=Batching(size=8, wait_s=0))
    rng = np.random.default_rng(1)
    rates = [rng.gamma(0.3, 3, (5, 32, 32)).astype(np.float32) for _ in range(5)]
    rates[3] = np.full_like(rates[3], np.nan)
    lane = predictor._engine._lane
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(predictor.predict, "default", rates[0], 3, 30, take=whole)
        wait_until(lambda: calls == [1], "first call")
        rest = [pool.submit(predictor.predict, "default", rate, 3, 30, take=whole) for rate in rates[1:]]
        wait_until(lambda: len(lane._waiting) == 4, "waiting requests")
        gate.set()
        made = [each.result(30) for each in (first, *rest)]
    assert calls == [1, 4]
    for prediction, rate in zip(made, rates, strict=True):
        alone = network.forecast(rate, 3).rate_mmh_LHW
        np.testing.assert_allclose(prediction.result.rate_mmh_LHW, alone, rtol=1e-4, atol=1e-4)


def test_one_bad_input_of_a_batch_harms_no_other(network):
    rng = np.random.default_rng(2)
    rates = [rng.gamma(0.3, 3, (5, 32, 32)).astype(np.float32) for _ in range(3)]
    rates[1][0, 0, 0] = -1
    predictor = Predictor(lambda _: network, batching=Batching(size=3, wait_s=20))
    with ThreadPoolExecutor(3) as pool:
        made = [pool.submit(predictor.predict, "default", rate, 3, 30, take=whole) for rate in rates]
        assert "below 0" in str(made[1].exception(30))
        assert [made[n].result(30).notes for n in (0, 2)] == [(), ()]
