"""One forecast compared with other packages, on the same fields, from mm/h to mm/h."""

from functools import partial
from importlib.metadata import version

import torch

from benchmarks.page import BENCHMARKS, Row, Section
from benchmarks.peers import PEERS, Peer
from benchmarks.setting import BenchmarkSetting
from benchmarks.sides import forecast_macs, our_forecaster, rain_mmh
from benchmarks.timing import compare
from models import Forecaster, build_model, load_forecaster
from models.cost import count_parameters, measure_work

OURS = "ms-convlstm"
DEFAULT = "guided"


@BENCHMARKS.register("peers")
def peers(setting: BenchmarkSetting) -> Section:
    """Time every installed peer; list the others."""
    rows, skipped = [_our_row(setting)], []
    forecasters = {OURS: our_forecaster(OURS, setting), DEFAULT: load_forecaster(DEFAULT, device=setting.device)}
    for name, build in PEERS.items():
        try:
            peer = build(setting)
        except ImportError as err:
            skipped.append(f"{name}: not installed ({err}); `pip install --no-deps -r benchmarks/peers.txt`")
            continue
        rows.append(_row(name, peer, forecasters, setting))
    text = (
        f"One forecast of {setting.height}x{setting.width}, {setting.lead_steps} fields out, batch 1. Networks have "
        f"untrained weights, except `default`, the shipped checkpoint. `{OURS}` has {setting.hidden_channels} "
        "channels and six layers. Ours in its default precision, the others as their packages run them (float32). A "
        "network that does less work is faster: compare the seconds with the multiply-accumulates. What they forecast "
        "is compared in the model cards, not here."
    )
    return Section("Other packages", text, rows, skipped=skipped)


def _row(name: str, peer: Peer, forecasters: dict[str, Forecaster], setting: BenchmarkSetting) -> Row:
    rate_mmh_THW = rain_mmh(setting.height, setting.width, max(setting.input_steps, peer.frames))
    theirs = partial(peer.forecaster.forecast, rate_mmh_THW, setting.lead_steps)
    row: Row = {"peer": f"{name} {version(peer.package)}", "what": peer.what, "frames seen": peer.frames}
    for label, forecaster in forecasters.items():
        ours = partial(forecaster.forecast, rate_mmh_THW, setting.lead_steps)
        result = compare(name, (label, ours), (name, theirs), runs=2 * setting.runs + 1)
        row |= {"seconds": result.theirs_s, f"{label}, s": result.ours_s, f"{label}, times faster": result.ratio}
    return row | _counts(peer, setting) | {"pairs": result.runs}


def _counts(peer: Peer, setting: BenchmarkSetting) -> Row:
    if peer.network is None:
        return {}
    shape = (1, peer.frames, 1, setting.height, setting.width)
    work = measure_work(peer.network, torch.zeros(shape, device=setting.device), setting.lead_steps)
    return {"parameters, M": count_parameters(peer.network) / 1e6, "GMAC": work.total / 1e9}


def _our_row(setting: BenchmarkSetting) -> Row:
    model = build_model(OURS, hidden_channels=setting.hidden_channels)
    macs = forecast_macs(model, (1, *setting.shape[1:]), setting.lead_steps)
    return {
        "peer": f"({OURS}, ours)",
        "what": f"{setting.hidden_channels} channels, six layers",
        "frames seen": setting.input_steps,
        "parameters, M": count_parameters(model) / 1e6,
        "GMAC": macs / 1e9,
    }
