"""GET /models: what forecasts can be asked of."""

from fastapi import APIRouter

from core.registry import Registry
from service.api.backend import ServiceDep
from service.api.errors import documented
from service.api.listings import ModelInfoOut, ModelsOut
from service.nowcast import BASELINES, NowcastService

router = APIRouter(tags=["models"])


@router.get("/models", summary="Models and baselines", responses=documented())
def read_models(service: ServiceDep) -> ModelsOut:
    """Each model with its card: training data, years, scores and licence."""
    return ModelsOut(models=[_info(service, name) for name in model_names(service).names()])


def model_names(service: NowcastService) -> Registry[str]:
    """The names that a request may use: shipped models, baselines and the model of the settings, but no folder."""
    from models import list_forecasters  # here: it imports torch, which the API's first answers do not wait for

    names: Registry[str] = Registry("model")
    for name in sorted({*list_forecasters(), *BASELINES, service.settings.model}):
        names.register(name)(name)
    return names


def known_model(service: NowcastService, name: str) -> str:
    """The name, if it is one.

    Raises:
        UnknownNameError: it is none; the message lists the near ones.
    """
    return model_names(service).get(name)


def scored_model(service: NowcastService, name: str) -> str:
    """The name under which forecasts are scored: as `known_model`, or that of the checkpoint folder in the settings.

    Raises:
        UnknownNameError: it is none.
    """
    return name if name == service.predictor.forecaster(service.settings.model).name else known_model(service, name)


def _info(service: NowcastService, name: str) -> ModelInfoOut:
    forecaster = service.predictor.forecaster(name)
    return ModelInfoOut(
        name=name,
        version=forecaster.version,
        default=name == service.settings.model,
        baseline=name in BASELINES,
        cadence_minutes=forecaster.cadence_minutes,
        pixel_m=forecaster.pixel_m,
        input_steps=forecaster.input_steps,
        card=dict(forecaster.card),
    )
