"""Real clients of other services' interfaces: `python clients.py NAME URL LAT LON`, in their own environment.

Prints what the client understood, as JSON.
"""

import asyncio
import datetime
import importlib.util
import json
import sys
import tempfile
from pathlib import Path
from typing import Any


def pymetno(url: str, lat: float, lon: float) -> Any:
    """PyMetno, of Home Assistant."""
    import aiohttp
    from metno import MetWeatherData

    async def read() -> Any:
        async with aiohttp.ClientSession() as session:
            place = {"lat": lat, "lon": lon, "msl": 90}
            data = MetWeatherData(place, session, f"{url}/weatherapi/nowcast/2.0/complete")
            return {"fetched": await data.fetching_data(), "current": data.get_current_weather()}

    return asyncio.run(read())


def metno_locationforecast(url: str, lat: float, lon: float) -> Any:
    """metno-locationforecast, which keeps what it has until `Expires` and asks with `If-Modified-Since`."""
    import requests
    from metno_locationforecast import Forecast, Place

    received = requests.get

    def with_capitals(*args: Any, **options: Any) -> requests.Response:
        """The names of headers as a proxy may write them: this client knows `Last-Modified`, not `last-modified`."""
        answer = received(*args, **options)
        answer.headers.update({name.title(): answer.headers.pop(name) for name in list(answer.headers)})
        return answer

    requests.get = with_capitals

    with tempfile.TemporaryDirectory() as folder:
        place = Place("here", lat, lon, 90)
        forecast = Forecast(place, "tests/1.0", "complete", folder, f"{url}/weatherapi/nowcast/2.0/")
        first = forecast.update()
        again = forecast.update()
        forecast.data.expires = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
        later = forecast.update()
        intervals = forecast.data.intervals
    rates = [one.variables["precipitation_rate"] for one in intervals if "precipitation_rate" in one.variables]
    return {
        "updates": [first, again, later],
        "times": [one.start_time.isoformat() for one in intervals],
        "rates": [one.value for one in rates],
        "units": rates[0].units,
        "hour": intervals[0].variables["precipitation_amount"].value,
        "symbol": intervals[0].symbol_code,
    }


def open_meteo(url: str, lat: float, lon: float) -> Any:
    """open-meteo, of Home Assistant; its host is ours."""
    import aiohttp
    from open_meteo import HourlyParameters, OpenMeteo, OpenMeteoError
    from yarl import URL

    class Ours:
        """A session of aiohttp that asks our host."""

        def __init__(self, session: aiohttp.ClientSession) -> None:
            self.get = lambda address, **options: session.get(
                URL(address).with_scheme("http").with_host(str(URL(url).host)).with_port(URL(url).port), **options
            )

    wanted = [HourlyParameters.PRECIPITATION, HourlyParameters.PRECIPITATION_PROBABILITY]

    async def read() -> Any:
        async with aiohttp.ClientSession() as session:
            client = OpenMeteo(session=Ours(session))
            found = await client.forecast(latitude=lat, longitude=lon, minutely_15=wanted)
            try:
                await client.forecast(latitude=lat, longitude=lon, minutely_15=[HourlyParameters.SNOWFALL])
                error = ""
            except OpenMeteoError as err:
                error = str(err)
            block = found.minutely_15
            assert block is not None
            return {
                "times": [time.isoformat() for time in block.time],
                "depths": block.precipitation,
                "chances": block.precipitation_probability,
                "place": [found.latitude, found.longitude],
                "error": error,
            }

    return asyncio.run(read())


def openmeteo_requests(url: str, lat: float, lon: float) -> Any:
    """openmeteo-requests, which asks for FlatBuffers alone."""
    import openmeteo_requests as package

    client = package.Client()
    try:
        client.weather_api(
            f"{url}/v1/forecast", params={"latitude": lat, "longitude": lon, "minutely_15": "precipitation"}
        )
    except package.OpenMeteoRequestsError as err:
        return {"error": str(err)}
    return {"error": ""}


def brightsky(url: str, lat: float, lon: float) -> Any:
    """The documents that Bright Sky's own server declares."""
    import requests

    found = importlib.util.find_spec("brightsky")
    assert found is not None
    assert found.submodule_search_locations
    path = Path(found.submodule_search_locations[0]) / "web" / "models.py"
    spec = importlib.util.spec_from_file_location("models", path)
    assert spec is not None
    assert spec.loader is not None
    models = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(models)
    answer = requests.get(f"{url}/radar", params={"lat": lat, "lon": lon, "distance": 60_000}, timeout=60)
    radar = models.RadarResponse.model_validate_json(answer.content)
    return {
        "records": [[one.timestamp.isoformat(), len(one.precipitation_5)] for one in radar.radar],
        "bbox": radar.bbox,
        "position": radar.latlon_position,
    }


if __name__ == "__main__":
    name, url, lat, lon = sys.argv[1:]
    print(json.dumps(globals()[name](url, float(lat), float(lon)), default=str))
