"""Files and folders are taken as `str | Path` by every function that Python code is meant to call."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
import pytest
import torch

from core import cf, files
from ingest import export, synthetic
from ingest.archive import build, fetch, settings
from ingest.archive import inspect as archive_inspect
from ingest.readers import read_frames
from ingest.store.live import Store
from models import build_model, load_forecaster
from models.checkpoint import load_model, load_network, read_card, save_model
from models.convert.command import convert_file
from models.predict import predict
from service.client.client import Client
from service.client.forecast import Forecast
from service.inference.registry import ModelRegistry
from training import frame_rows, run
from training.config import resolve
from training.datasets import build_dataset
from training.report.command import write_report

PUBLIC: list[Callable[..., Any]] = [
    *(cf.write_dataset, files.write_atomically, files.write_bytes_atomically),
    *(read_frames, export.export_odim, synthetic.write_weather, Store.__init__),
    *(build.build_archive, fetch.fetch_dataset, archive_inspect.inspect_archive, archive_inspect.draw),
    *(settings.archive_settings, load_forecaster, load_model, load_network, read_card, save_model, predict),
    *(convert_file, Client.upload, Forecast.save, Forecast.plot, ModelRegistry.add),
    *(resolve, run.train, build_dataset, write_report, frame_rows.draw_rain),
]


def leaves(hint: Any) -> set[Any]:
    """The types of a union, those of a sequence's items with them."""
    parts = () if get_origin(hint) is Callable else get_args(hint)
    return {hint} if not parts else {leaf for part in parts for leaf in leaves(part)}


@pytest.mark.parametrize("function", PUBLIC, ids=lambda function: f"{function.__module__}.{function.__qualname__}")
def test_every_path_may_be_a_text(function):
    hints = get_type_hints(function)
    given = {name: leaves(hints[name]) for name in inspect.signature(function).parameters if name in hints}
    assert [name for name, kinds in given.items() if Path in kinds and str not in kinds] == []


def test_texts_do_what_paths_do(tmp_path):
    folder = tmp_path / "checkpoint"
    architecture: dict[str, Any] = {"name": "convlstm", "options": {"hidden_channels": 2, "num_layers": 2}}
    card = {"architecture": architecture, "transform": {"name": "identity"}, "version": "1"}
    model = build_model("convlstm", **architecture["options"])
    save_model(str(folder), model, {**card, "input_steps": 2, "cadence_minutes": 5, "pixel_m": 1000.0})
    frames_BTCHW = torch.rand(1, 2, 1, 8, 8)
    torch.testing.assert_close(load_model(str(folder))(frames_BTCHW, lead_steps=1), model(frames_BTCHW, lead_steps=1))
    rate_mmh_THW = np.zeros((5, 8, 8), np.float32)
    by_text, by_path = (load_forecaster(one).forecast(rate_mmh_THW, 1).rate_mmh_LHW for one in (str(folder), folder))
    np.testing.assert_array_equal(by_text, by_path)
