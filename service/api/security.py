"""How API keys are told in the OpenAPI document."""

from collections.abc import Mapping
from typing import Any, Final

SAFE: Final = ("get", "head", "options")
OPEN: Final = ("/livez", "/readyz", "/metrics")
ADMINISTRATION: Final = ("/models/aliases/{alias}",)
SCHEMES: Final[Mapping[str, Any]] = {
    "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "of `service.keys create`"},
    "Bearer": {"type": "http", "scheme": "bearer", "description": "the same key"},
}
KEYS: Final[tuple[dict[str, list[str]], ...]] = ({"ApiKey": []}, {"Bearer": []})


def describe_security(schema: dict[str, Any], words: Mapping[int, str]) -> None:
    """Say of each operation whether a key is needed, and how it is refused; on this machine and for GET none is."""
    schema["components"]["securitySchemes"] = dict(SCHEMES)
    for path, operations in schema["paths"].items():
        if path in OPEN:
            continue
        for verb, operation in operations.items():
            operation["security"] = [*KEYS] if path in ADMINISTRATION else [{}, *KEYS]
            for status in (401, 429) if verb in SAFE else (401, 403, 429):
                operation["responses"].setdefault(str(status), {"description": words[status]})
