// The part of the address after "#": place, view, time, layer and (of the archive) forecast, so that a link shows the same.

const NUMBER = /^-?\d+(\.\d+)?$/;

const RUN = /^[0-9a-f-]{36}$/;

export function readAddress(hash) {
  const found = new URLSearchParams(hash.replace(/^#/, ""));
  const number = (name) => (NUMBER.test(found.get(name) || "") ? Number(found.get(name)) : null);
  const place = number("lat") !== null && number("lon") !== null ? { lat: number("lat"), lon: number("lon") } : null;
  const [lat, lon, zoom] = (found.get("view") || "").split(",").map((part) => (NUMBER.test(part) ? Number(part) : NaN));
  const time = found.get("time");
  return {
    place: place && Math.abs(place.lat) <= 90 && Math.abs(place.lon) <= 180 ? place : null,
    view: Number.isFinite(lat + lon + zoom) && Math.abs(lat) <= 85 ? { lat, lon, zoom } : null,
    time: time && !Number.isNaN(Date.parse(time)) ? time : null,
    layer: found.get("layer"),
    run: RUN.test(found.get("run") || "") ? found.get("run") : null,
  };
}

export function writeAddress({ place, view, time, layer, run }) {
  const parts = [];
  if (place) parts.push(`lat=${place.lat.toFixed(4)}`, `lon=${place.lon.toFixed(4)}`);
  if (view) parts.push(`view=${view.lat.toFixed(3)},${view.lon.toFixed(3)},${view.zoom}`);
  if (time) parts.push(`time=${time}`);
  if (layer && layer !== "rainfall_rate") parts.push(`layer=${layer}`);
  if (run) parts.push(`run=${run}`);
  return `#${parts.join("&")}`;
}

const MOST_OF_A_DAY = 300; // forecasts at a cadence of five minutes, and a few made again

// The request of the forecasts of a day, which begins at midnight of the reader's zone, or of UTC.
export const dayQuery = (day, model, words) => `verification/archive?day=${day}&tz=${encodeURIComponent(words.zoneId)}&model=${encodeURIComponent(model)}&limit=${MOST_OF_A_DAY}`;
