// The card of the chosen place: sentences, bars, how often such a statement has been right.

import { $, sayAll } from "./dom.js";
import { fetchPoint } from "./point.js";
import { bars, likeliest, sentences, statedRain } from "./place.js";
import { nearestPlace } from "./search.js";
import { state } from "./shared.js";
import { rainTimesWords, recordWords } from "./skill.js";

let asking = 0;
let barsTime = null; // of the frame on the map: its bar is marked
export const isAsking = () => asking > 0;

export async function showPoint() {
  $("pick").hidden = Boolean(state.place);
  $("place-box").hidden = !state.place;
  if (!state.place || !state.forecast) return;
  const { place, forecast } = state;
  $("place-name").textContent = nameOf(place);
  asking += 1; // no further pictures until the answer is there
  const point = await fetchPoint(forecast.links.point, place).catch(() => null);
  asking -= 1;
  if (state.place !== place || state.forecast.forecast_id !== forecast.forecast_id) return;
  if (point) fillPoint((state.point = point));
  else if (state.point?.forecast_id !== forecast.forecast_id) {
    clearPoint(); // what it said is of another forecast
    sayAll("place-words", [["first", state.words.text("silent")]]);
  }
}

export function clearPoint() {
  state.point = null;
  for (const id of ["place-words", "bars", "bars-words", "place-record", "start-record"]) $(id).replaceChildren();
}

// Times of the card are those of the place, or UTC.
const placeWords = () => (state.words.isUtc ? state.words : state.words.inZone(state.point.time_zone));

function fillPoint(point) {
  const words = placeWords();
  sayAll("place-words", sentences(point, words).map((text, index) => [index ? "" : "first", text]));
  showRecord();
  showBars();
}

export function showRecord() {
  if (!state.point || !state.place) return;
  const best = likeliest(state.point);
  $("place-record").textContent = best && state.record ? recordWords(state.record, best, placeWords()) : "";
  $("start-record").textContent = rainTimesWords(state.rainTimes, statedRain(state.point), placeWords());
}

export function showBars(time = barsTime) {
  barsTime = time;
  if (!state.point || !state.place) return;
  const words = placeWords();
  const has = state.point.radar_coverage !== "no coverage";
  $("bars").innerHTML = has ? bars(state.point, words, time) : "";
  const threshold = state.forecast.probability_thresholds_mmh[0];
  const hasBand = state.point.series.some((row) => typeof row.q90 === "number");
  const zone = words.isUtc || words.hasReadersClock(state.forecast.reference_time) ? [] : [words.text("placeTime", { zone: words.timeZone })];
  $("bars-words").textContent = has
    ? [`${words.text("bars")} (${words.text("perHour")})`, ...(hasBand ? [words.text("band")] : []), ...(threshold ? [words.text("lowerBars", { mmh: words.plain(threshold) })] : []), ...zone].join(" · ")
    : "";
}

export function nameOf({ lat, lon, name }) {
  if (name) return name;
  const found = nearestPlace(state.places || [], lat, lon, state.words.language);
  if (!found) return `${state.words.number(lat, 3)}, ${state.words.number(lon, 3)}`;
  return found.km < 3 ? found.name : state.words.text("from", { km: Math.round(found.km), name: found.name });
}
