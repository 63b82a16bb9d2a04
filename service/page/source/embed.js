// The widget: the forecast at one place, for a frame of another site. /embed?lat=&lon=&lang=&theme=&name=

import { ageOf } from "./age.js";
import { failureOf, get, receipt, relative } from "./api.js";
import { $, element } from "./dom.js";
import { bars, sentences } from "./place.js";
import { fetchPoint } from "./point.js";
import { creditWords } from "./translated.js";
import { Words } from "./words.js";

const REFRESH_MS = 60_000;
const AGAIN_MS = 15_000; // after a request that failed
const NUMBER = /^-?\d+(\.\d+)?$/;

const asked = new URLSearchParams(location.search);
const number = (name) => (NUMBER.test(asked.get(name) || "") ? Number(asked.get(name)) : null);
const place = { lat: number("lat"), lon: number("lon") };
const words = new Words(asked.get("lang") || navigator.language.slice(0, 2), asked.get("tz") === "utc");

async function show() {
  let wait = REFRESH_MS;
  try {
    const forecast = await get("nowcast/latest");
    const point = await fetchPoint(forecast.links.point, place);
    fill(forecast, point, await get(relative(forecast.links.map)));
  } catch (error) {
    $("status").textContent = words.text(failureOf(error));
    wait = AGAIN_MS;
  }
  setTimeout(show, wait);
}

function fill(forecast, point, { attribution }) {
  const own = words.isUtc ? words : words.inZone(point.time_zone);
  $("place-words").replaceChildren(...sentences(point, own).map((text) => element("p", {}, text)));
  $("bars").innerHTML = point.radar_coverage === "no coverage" ? "" : bars(point, own);
  const replayed = forecast.weather === "replayed" ? "replayBanner" : "";
  const warnings = [ageOf(forecast, receipt(forecast), null).stale ? "staleBanner" : "", forecast.invented ? "inventedBanner" : replayed, forecast.status === "degraded" ? "incomplete" : ""].filter(Boolean);
  $("status").textContent = warnings.map((name) => words.text(name)).join(" ");
  const scan = forecast.reference_time;
  $("scan-time").textContent = `${words.text("scan")} ${own.isToday(scan) ? "" : own.day(scan)} ${own.clock(scan)} ${own.zoneName(scan)}`;
  $("credit").textContent = creditWords(attribution, own);
}

document.documentElement.lang = words.language;
document.documentElement.dataset.theme = ["dark", "light"].includes(asked.get("theme")) ? asked.get("theme") : "";
document.title = words.text("title");
$("open").textContent = words.text("openPage");
$("open").href = `./#lat=${place.lat}&lon=${place.lon}`;
if (place.lat === null || place.lon === null) $("status").textContent = words.text("notAPlace");
else {
  $("place-name").textContent = asked.get("name") || `${words.number(place.lat, 2)}, ${words.number(place.lon, 2)}`;
  show();
}
