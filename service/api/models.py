"""GET /models: the models that can forecast. PUT /models/aliases/{alias}: the version that an alias refers to."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path

from core.errors import InputError, UnavailableError
from service.api.access import admin
from service.api.backend import ServiceDep
from service.api.errors import documented
from service.forecasts.nowcast import NowcastService
from service.inference.registry import Alias, refused
from service.schemas.listings import AliasIn, AliasOut, ModelInfoOut, ModelsOut, ModelVersionOut
from verification.baselines import BASELINES

router = APIRouter(tags=["models"])


@router.get("/models", summary="Models, versions, aliases and baselines", responses=documented())
def read_models(service: ServiceDep) -> ModelsOut:
    """Return each model with its card: training data, years, scores, licence.

    A request selects a model by its name or as NAME@VERSION.
    """
    registry = service.registry
    names = sorted({*registry.names(), service.settings.model})
    aliases = [AliasOut.of(alias) for alias in registry.aliases().values()]
    return ModelsOut(models=[_info(service, name) for name in names], aliases=aliases)


@router.put(
    "/models/aliases/{alias}",
    summary="Switch an alias to a version",
    responses=documented(401, 403, 404, 422),
    dependencies=[Depends(admin)],
)
def switch_alias(
    alias: Annotated[str, Path(max_length=100, description="default, production, canary, ...", examples=["canary"])],
    body: AliasIn,
    service: ServiceDep,
) -> AliasOut:
    """Load and run the version, then switch the alias; if the version fails, the alias stays.

    API processes and workers use it from their next request or task on, without a restart.
    """
    return AliasOut.of(switched(service, alias, body.name, body.version))


def switched(service: NowcastService, alias: str, name: str, version: str | None) -> Alias:
    """Switch an alias to a version after a test run.

    Raises:
        UnknownNameError: no such model or version.
        InputError: the version does not load or run, or the alias is not a valid name.
    """
    registry = service.registry
    target = registry.version(name, version) if version else registry.find(name)
    if target.reference == service.settings.model:
        raise InputError(f"expected a registered model, got {name}, which is a folder in a setting")
    try:
        service.predictor.warm(target.reference)
    except UnavailableError as err:
        raise refused(target.reference, err) from err
    return registry.set_alias(alias, target)


def known_model(service: NowcastService, name: str) -> str:
    """Return the name if requests may use it: a model, NAME@VERSION, an alias, a baseline, or the configured model.

    Raises:
        UnknownNameError: unknown; the message lists similar names.
    """
    if name != service.settings.model:
        service.registry.find(name)
    return name


def scored_model(service: NowcastService, name: str) -> str:
    """Return the name under which a model's forecasts are scored: its own, whichever alias or version was requested.

    Raises:
        UnknownNameError: unknown; the message lists similar names.
    """
    if name == service.predictor.forecaster(service.settings.model).name:
        return name
    known_model(service, name)
    return service.registry.find(name).name


def _info(service: NowcastService, name: str) -> ModelInfoOut:
    found = service.registry.find(name)
    loaded = service.predictor.loaded(name) or (service.predictor.forecaster(name) if found.folder is None else None)
    card: Mapping[str, Any] = loaded.card if loaded else found.card
    return ModelInfoOut(
        name=name,
        version=loaded.version if loaded else card.get("version", found.version),
        default=name == service.settings.model,
        baseline=name in BASELINES,
        cadence_minutes=loaded.cadence_minutes if loaded else card.get("cadence_minutes"),
        pixel_m=loaded.pixel_m if loaded else card.get("pixel_m"),
        input_steps=loaded.input_steps if loaded else card.get("input_steps"),
        card=dict(card),
        versions=[ModelVersionOut.of(one) for one in service.registry.versions(found.name)],
    )
