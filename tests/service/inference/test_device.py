"""A device that is out of memory or lost: the CPU makes the forecast, with a note."""

import time

import numpy as np
import pytest
import torch

import service.inference.warm
from core.errors import ForecastError
from models.baselines import Persistence
from models.device import device_failure
from service.inference.predictor import Predictor
from tests.service.api_support import fill, running, service_at
from tests.service.fakes import FakeForecaster, fields_of, whole

OUT_OF_MEMORY = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
GONE = torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
RATES = np.full((5, 30, 30), 1.0, np.float32)


class OnGpu(FakeForecaster):
    """A model on a device that fails on demand."""

    def __init__(self) -> None:
        super().__init__("default", "7", input_steps=5, cadence_minutes=30, pixel_m=7258.0)
        self.fails: Exception | None = None
        self.calls = 0

    def fields(self, rate_mmh_THW, lead_steps):
        self.calls += 1
        if self.fails:
            raise self.fails
        return fields_of(np.repeat(rate_mmh_THW[-1:], lead_steps, axis=0) * np.float32(2))


class OnCpu(OnGpu):
    def fields(self, rate_mmh_THW, lead_steps):
        return fields_of(np.repeat(rate_mmh_THW[-1:], lead_steps, axis=0) * np.float32(3))


@pytest.fixture
def gpu():
    return OnGpu()


@pytest.fixture
def predictor(gpu):
    return Predictor(lambda name: gpu if name == "default" else Persistence(), on_cpu=lambda _: OnCpu())


@pytest.mark.parametrize(("error", "word"), [(OUT_OF_MEMORY, "out of memory"), (GONE, "gone")])
def test_the_cpu_makes_the_forecast_with_a_note(predictor, gpu, error, word):
    assert predictor.predict("default", RATES, 2, 30, take=whole).notes == ()
    gpu.fails = error
    prediction = predictor.predict("default", RATES, 2, 30, take=whole)
    assert (prediction.method, prediction.result.rate_mmh_LHW[0, 0, 0]) == ("default", 3.0)
    assert len(prediction.notes) == 1
    assert f"ran on the CPU: the device is {word}" in prediction.notes[0]
    assert word in predictor.trouble


def test_a_lack_of_memory_passes_and_a_lost_device_does_not(predictor, gpu, monkeypatch):
    gpu.fails = OUT_OF_MEMORY
    predictor.predict("default", RATES, 2, 30, take=whole)
    gpu.fails = None
    assert predictor.predict("default", RATES, 2, 30, take=whole).result.rate_mmh_LHW[0, 0, 0] == 3.0, (
        "not tried again at once"
    )
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + service.inference.warm.TRY_DEVICE_AGAIN_S + 1)
    prediction = predictor.predict("default", RATES, 2, 30, take=whole)
    assert (prediction.result.rate_mmh_LHW[0, 0, 0], prediction.notes, predictor.trouble) == (2.0, (), None)
    gpu.fails = GONE
    predictor.predict("default", RATES, 2, 30, take=whole)
    gpu.fails, calls = None, gpu.calls
    monkeypatch.setattr(time, "monotonic", lambda: now + 1e6)
    assert predictor.predict("default", RATES, 2, 30, take=whole).result.rate_mmh_LHW[0, 0, 0] == 3.0
    assert gpu.calls == calls


def test_a_model_that_does_not_fit_at_loading_is_loaded_on_the_cpu():
    def load(name):
        raise OUT_OF_MEMORY

    predictor = Predictor(load, on_cpu=lambda _: OnCpu())
    predictor.warm("default")
    assert "ran on the CPU" in predictor.predict("default", RATES, 2, 30, take=whole).notes[0]


def test_a_missing_device_counts_as_lost():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    predictor = Predictor.on_device("cuda")
    predictor.warm("default")
    assert "this machine has no GPU" in (predictor.trouble or "")


def test_when_the_cpu_fails_too_the_baselines_follow(gpu):
    class Broken(OnGpu):
        def forecast(self, *_, **__):
            raise ForecastError("not finite")

    gpu.fails = GONE

    def load(name, model):
        return model if name == "default" else Persistence()

    predictor = Predictor(lambda name: load(name, gpu), on_cpu=lambda name: load(name, Broken()))
    assert predictor.predict("default", RATES, 2, 30, take=whole).method == "persistence"


def test_a_model_failure_is_not_a_device_failure(predictor, gpu):
    gpu.fails = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    assert predictor.predict("default", RATES, 2, 30, take=whole).method == "persistence"
    assert predictor.trouble is None


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (OUT_OF_MEMORY, "out of memory"),
        (RuntimeError("CUDA error: out of memory"), "out of memory"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), "gone"),
        (RuntimeError("CUDA error: device-side assert triggered"), "gone"),
        (GONE, "gone"),
        (MemoryError(), None),
        (ValueError("CUDA error in words of a value"), None),
    ],
)
def test_failures_of_the_device_are_recognised(error, failure):
    assert device_failure(error) == failure


def test_readyz_and_the_answer_report_it(tmp_path, gpu):
    service = service_at(tmp_path)
    service.predictor.__init__(  # type: ignore[misc]
        lambda name: gpu if name == "default" else Persistence(), on_cpu=lambda _: OnCpu()
    )
    fill(service)
    with running(service) as client:
        gpu.fails = GONE
        answer = client.post("/nowcast", json={"verify": False}).json()
        assert answer["status"] == "degraded"
        assert answer["method"] == "default"
        assert "ran on the CPU: the device is gone" in answer["notes"][-1]
        assert "the device is gone" in client.get("/readyz").json()["checks"]["device"]
