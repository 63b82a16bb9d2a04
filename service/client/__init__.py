"""Client of the REST interface: `Client().latest().plot("rain.png")`; it imports neither torch nor the server."""

from service.client.client import AsyncClient as AsyncClient
from service.client.client import Client as Client
from service.client.connection import ServiceError as ServiceError
from service.client.forecast import AsyncForecast as AsyncForecast
from service.client.forecast import Forecast as Forecast
from service.schemas.rules import QuietHours as QuietHours
from service.schemas.rules import RuleIn as RuleIn
