"""GET /models: what forecasts can be asked of. PUT /models/aliases/{alias}: which version that is from now on."""

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
    """Each model with its card: training data, years, scores, licence. A request asks for a name or NAME@VERSION."""
    registry = service.registry
    names = sorted({*registry.names(), service.settings.model})
    aliases = [AliasOut.of(alias) for alias in registry.aliases().values()]
    return ModelsOut(models=[_info(service, name) for name in names], aliases=aliases)


@router.put(
    "/models/aliases/{alias}",
    summary="Switch or roll back an alias",
    responses=documented(401, 403, 404, 422),
    dependencies=[Depends(admin)],
)
def switch_alias(
    alias: Annotated[str, Path(max_length=100, description="default, production, canary, ...", examples=["canary"])],
    body: AliasIn,
    service: ServiceDep,
) -> AliasOut:
    """The version is loaded and run first; one that does not run is refused, and the alias stays.

    API and workers follow with their next request or task; nothing is started anew.
    """
    return AliasOut.of(switched(service, alias, body.name, body.version))


def switched(service: NowcastService, alias: str, name: str, version: str | None) -> Alias:
    """Let an alias mean a version that runs.

    Raises:
        UnknownNameError: no such model or version.
        InputError: the version does not load or run, or the alias is no name.
    """
    registry = service.registry
    target = registry.version(name, version) if version else registry.find(name)
    if target.reference == service.settings.model:
        raise InputError(f"{name} is a folder in a setting; a registered model was due")
    try:
        service.predictor.warm(target.reference)
    except UnavailableError as err:
        raise refused(target.reference, err) from err
    return registry.set_alias(alias, target)


def known_model(service: NowcastService, name: str) -> str:
    """The name, if a request may use it: a model, NAME@VERSION, an alias, a baseline, or the model of the settings.

    Raises:
        UnknownNameError: it is none; the message lists the near ones.
    """
    if name != service.settings.model:
        service.registry.find(name)
    return name


def scored_model(service: NowcastService, name: str) -> str:
    """The name under which forecasts are scored: a model's own, whatever alias or version it is asked by.

    Raises:
        UnknownNameError: it is none; the message lists the near ones.
    """
    if name == service.predictor.forecaster(service.settings.model).name:
        return name
    known_model(service, name)
    return service.registry.find(name).name


def _info(service: NowcastService, name: str) -> ModelInfoOut:
    found = service.registry.find(name)
    loaded = service.predictor.loaded(name) or (service.predictor.forecaster(name) if found.folder is None else None)
    told: Mapping[str, Any] = loaded.card if loaded else found.card
    return ModelInfoOut(
        name=name,
        version=loaded.version if loaded else told.get("version", found.version),
        default=name == service.settings.model,
        baseline=name in BASELINES,
        cadence_minutes=loaded.cadence_minutes if loaded else told.get("cadence_minutes"),
        pixel_m=loaded.pixel_m if loaded else told.get("pixel_m"),
        input_steps=loaded.input_steps if loaded else told.get("input_steps"),
        card=dict(told),
        versions=[ModelVersionOut.of(one) for one in service.registry.versions(found.name)],
    )
