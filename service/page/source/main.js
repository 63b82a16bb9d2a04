// The page: fetches the newest forecast, shows it on the map and at a place, and says how old and how good it is.

import { readAddress, writeAddress } from "./address.js";
import { get, relative } from "./api.js";
import { $, element } from "./dom.js";
import { framesOf, loadingOrder, nowIndex, sameTime, Screen } from "./frames.js";
import { RainMap } from "./map.js";
import { bars, sentences } from "./place.js";
import { drawScores, showScores } from "./scores.js";
import { findPlaces, nearestPlace } from "./search.js";
import { Words } from "./words.js";

const REFRESH_MS = 15_000;
const STEP_MS = 300;
const HOLD_STEPS = 4; // the last picture stays a little longer
const AT_A_TIME = 2; // frames that load together: a browser has six connections to a host, and a place needs one
const RATE = "rainfall_rate";
const PROBABILITY = "probability_of_exceedance_";

const opened = readAddress(location.hash);
const stored = (name) => { try { return localStorage.getItem(name); } catch { return null; } };
const keep = (name, value) => { try { localStorage.setItem(name, value); } catch { /* private mode: not kept */ } };

let words = new Words(stored("language") || navigator.language.slice(0, 2), stored("zone") === "utc");
const state = { forecast: null, legend: null, scans: [], frames: [], layer: opened.layer || RATE, place: opened.place, point: null,
  fetchedAt: 0, failure: "", ready: null, isAsking: false, hasMotion: stored("motion") === "on", timer: 0, held: 0, hasGrid: false, places: null };
const screen = new Screen();
const map = new RainMap("map", { onState: (key, value) => { screen.mark(key, value); draw(); }, onClick: ({ lat, lng }) => choosePlace({ lat, lon: lng }), onView: () => { loadMore(); writeLink(); } });

/* ---------- the newest forecast ---------- */

async function refresh() {
  await look();
  setTimeout(refresh, REFRESH_MS);
}

async function look() {
  try {
    const forecast = await get("nowcast/latest");
    const isNew = !state.forecast || state.forecast.forecast_id !== forecast.forecast_id;
    if (isNew) await fetchParts(forecast);
    state.fetchedAt = performance.now();
    state.failure = "";
    state.forecast = forecast;
    await showForecast(isNew);
  } catch (error) {
    await waitOrWarn(error);
  }
}

async function fetchParts(forecast) {
  const start = new Date(Date.parse(forecast.reference_time) - 2 * 3_600_000).toISOString();
  const scans = get(`scans?product=${encodeURIComponent(forecast.product)}&start=${start}&end=${new Date(forecast.reference_time).toISOString()}`);
  const legend = get(relative(forecast.links.map));
  state.legend = await legend;
  state.scans = (await scans).scans.map((scan) => scan.valid_time);
}

async function readiness() {
  try {
    return await get("readyz");
  } catch (error) {
    return { checks: {}, detail: error.detail };
  }
}

async function waitOrWarn(error) {
  const name = error.status === 404 ? "waiting" : error.status === 503 || error.status === 429 ? "starting" : "silent";
  if (!error.status && !(error instanceof TypeError)) console.error(error);
  if (state.forecast) {
    state.failure = `${words.text(name)}. ${words.text("older")}`;
    return showAge();
  }
  $("waiting-title").textContent = words.text(name);
  if (name === "silent") return ($("waiting-text").textContent = words.text("silentText"));
  const [ready, scans] = [await readiness(), await get("scans?limit=1").catch(() => null)];
  $("waiting-text").textContent = words.text("waitingText", { scans: scans ? scans.count : 0 });
  const checks = Object.entries(ready.checks).filter(([, value]) => value !== "ok").map(([part, value]) => `${part}: ${value}`);
  $("waiting-why").textContent = ready.detail || checks.join("; ");
}

async function showForecast(isNew) {
  $("waiting").hidden = true;
  $("forecast").hidden = $("age").hidden = false;
  showFacts();
  showAge();
  if (isNew) {
    if (!state.hasGrid) {
      map.resize();
      map.showGrid(state.forecast.grid, state.legend.outline_lon_lat, opened.view || (opened.place && { ...opened.place, zoom: 8 }));
      map.mark(state.place);
      state.hasGrid = true;
    }
    showLayers();
    setFrames();
    showMotion();
    showPoint();
  }
  await Promise.allSettled([showScores(state.forecast), readiness().then((ready) => { state.ready = ready; showNotice(); })]);
}

/* ---------- frames ---------- */

function setFrames() {
  const before = screen.frames[screen.wanted];
  const wasNow = !before || screen.wanted === nowIndex(screen.frames);
  state.frames = framesOf(state.forecast, state.scans, state.layer);
  const asked = before ? (wasNow ? null : before.time) : opened.time;
  const wanted = asked ? sameTime(state.frames, asked) : nowIndex(state.frames);
  screen.reset(state.frames, wanted);
  const keys = new Set(state.frames.map((frame) => frame.key));
  map.forget((key) => keys.has(key));
  $("slider").max = state.frames.length - 1;
  showTicks();
  show(wanted);
}

function show(index) {
  screen.want(index);
  $("slider").value = screen.wanted;
  draw();
  loadMore();
}

// Load the wanted frame first, then the others, a few at a time.
function loadMore() {
  if (!state.hasGrid || state.isAsking) return;
  let loading = 0;
  for (const index of loadingOrder(screen.frames.length, screen.wanted)) {
    const frame = screen.frames[index];
    if (screen.stateOf(frame)) continue;
    map.load(frame);
    if (!screen.stateOf(frame) && ++loading >= AT_A_TIME) return;
  }
}

let drawn = 0;
function draw() {
  cancelAnimationFrame(drawn);
  drawn = requestAnimationFrame(() => {
    const frame = screen.shown;
    map.reveal(frame);
    $("stage").classList.toggle("loading", screen.isLoading);
    const wanted = screen.frames[screen.wanted];
    $("loading").hidden = !screen.isLoading;
    if (screen.isLoading) $("loading").textContent = words.text("loading", { time: words.clock(wanted.time) });
    if (frame) showLabel(frame);
    loadMore();
  });
}

function showLabel(frame) {
  const time = words.clock(frame.time);
  const isForecast = frame.kind === "forecast";
  $("label").className = `label ${frame.kind}`;
  $("kind").textContent = words.text(frame.kind);
  $("when").textContent = `${time} ${words.zoneName(frame.time)}`;
  $("offset").textContent = frame.lead === 0 ? words.text("now") : `${frame.lead > 0 ? "+" : "−"}${Math.abs(frame.lead)} min`;
  const isMissing = frame.tiles === null;
  const failed = screen.stateOf(frame) === "failed";
  $("absent").hidden = !(isMissing || failed);
  if (isMissing || failed) $("absent").textContent = words.text(isMissing ? "noScan" : "missing", { time });
  showLegend(isForecast && state.layer !== RATE);
  $("slider").setAttribute("aria-valuetext", `${$("kind").textContent} ${$("when").textContent} ${$("offset").textContent}`);
  if (state.shownBars !== frame.time) showBars(frame.time);
}

function showTicks() {
  const last = state.frames.length - 1;
  const now = nowIndex(state.frames);
  $("track").style.setProperty("--now", `${(100 * now) / last}%`);
  const ticks = state.frames.flatMap((frame, index) => (frame.lead % 30 === 0 && index !== now ? [[index, words.clock(frame.time)]] : []));
  const tick = (index, text, name) => element("span", { class: `${name}${state.frames[index].lead % 60 === 0 ? "" : " half"}`, style: `left:${(100 * index) / last}%` }, text);
  $("ticks").replaceChildren(...ticks.map(([index, text]) => tick(index, text, "tick")), tick(now, words.text("now"), "tick now"));
}

function play() {
  stop();
  state.held = 0;
  state.timer = setInterval(() => {
    if (screen.isLoading) return;
    const last = screen.wanted === screen.frames.length - 1;
    if (last && state.held++ < HOLD_STEPS) return;
    state.held = 0;
    show(last ? 0 : screen.wanted + 1);
  }, STEP_MS);
  showPlay();
}

function stop() {
  clearInterval(state.timer);
  state.timer = 0;
  showPlay();
}

function showPlay() {
  $("play").textContent = state.timer ? "❚❚" : "▶";
  $("play").setAttribute("aria-label", words.text(state.timer ? "pause" : "play"));
}

/* ---------- layers and legend ---------- */

function showLayers() {
  const layers = [[RATE, words.text("rate")], ...state.forecast.probability_thresholds_mmh.map((mmh) => [`${PROBABILITY}${mmh}`, words.text("probability", { mmh: words.plain(mmh) })])];
  if (!layers.some(([name]) => name === state.layer)) state.layer = RATE;
  $("what").replaceChildren(...layers.map(([value, text]) => element("option", { value }, text)));
  $("what").value = state.layer;
}

function showLegend(asProbability) {
  const classes = asProbability
    ? state.legend.probability_legend.map((step) => [step.colour, `${Math.round(100 * step.from_probability)} %`, ""])
    : state.legend.legend.map((step) => [step.colour, words.plain(step.from_mmh), wordOf(step.from_mmh)]);
  const steps = classes.map(([colour, text, word]) => element("li", {}, element("i", { style: `background:${colour}` }), element("span", {}, text), element("small", {}, word)));
  const signs = [["no-radar", "noRadar"], ["inflow", "inflow"]].map(([name, text]) => element("li", { class: `sign ${name}` }, element("i"), element("span", {}, words.text(text))));
  $("legend-title").textContent = words.text(asProbability ? "legendProbability" : "legendTitle");
  $("legend").replaceChildren(...steps, ...signs);
}

// Light, moderate and heavy by the German weather service's classes of the rate: below 2.5, to 10, from 10 mm/h.
const wordOf = (mmh) => (mmh === 0.1 ? words.text("light") : mmh === 2 ? words.text("moderate") : mmh === 10 ? words.text("heavy") : "");

const ARROWS_KM = 60;

async function showMotion() {
  $("motion").setAttribute("aria-pressed", state.hasMotion);
  const link = state.hasMotion && state.forecast && state.forecast.links.motion;
  const found = link ? await get(`${relative(link).replace(/\{.*\}$/, "")}?every_km=${ARROWS_KM}`).catch(() => null) : null;
  map.showMotion(found ? found.vectors : []);
}

/* ---------- a place ---------- */

async function choosePlace(place, { move = false } = {}) {
  state.place = place;
  state.point = null;
  for (const id of ["place-words", "bars", "bars-words"]) $(id).replaceChildren();
  map.mark(place);
  if (move && place) map.goTo(place);
  writeLink();
  await showPoint();
}

async function showPoint() {
  $("pick").hidden = Boolean(state.place);
  $("place-box").hidden = !state.place;
  if (!state.place || !state.forecast) return;
  const { lat, lon, name } = state.place;
  $("place-name").textContent = name || nearest(lat, lon);
  const path = relative(state.forecast.links.point).replace(/\{.*\}$/, "");
  state.isAsking = true; // no further pictures until the answer is there
  const point = await get(`${path}?lat=${lat.toFixed(4)}&lon=${lon.toFixed(4)}`).catch(() => null);
  state.isAsking = false;
  loadMore();
  if (!point || !state.place || state.place.lat !== lat || state.place.lon !== lon) return;
  state.point = point;
  $("place-words").replaceChildren(...sentences(point, words).map((text, index) => element("p", { class: index ? "" : "first" }, text)));
  showBars(screen.shown && screen.shown.time);
}

function showBars(time) {
  state.shownBars = time;
  if (!state.point || !state.place) return;
  const has = state.point.radar_coverage !== "no coverage";
  $("bars").innerHTML = has ? bars(state.point, words, time) : "";
  const threshold = state.forecast.probability_thresholds_mmh[0];
  const hasBand = state.point.series.some((row) => typeof row.q90 === "number");
  $("bars-words").textContent = has ? [`${words.text("bars")} (${words.text("perHour")})`, ...(hasBand ? [words.text("band")] : []), ...(threshold ? [words.text("probability", { mmh: words.plain(threshold) })] : [])].join(" · ") : "";
}

function nearest(lat, lon) {
  const found = nearestPlace(state.places || [], lat, lon);
  if (!found) return `${words.number(lat, 3)}, ${words.number(lon, 3)}`;
  return found.km < 3 ? found.name : words.text("from", { km: Math.round(found.km), name: found.name });
}

async function places() {
  state.places ||= await get("page/places.json");
  return state.places;
}

async function search() {
  const found = findPlaces(await places(), $("search").value);
  const items = found.map(([name, country, lat, lon]) => {
    const button = element("button", { type: "button", role: "option" }, name, element("small", {}, country));
    button.addEventListener("click", () => { closeSearch(); $("search").value = name; choosePlace({ lat, lon, name }, { move: true }); });
    return button;
  });
  const nothing = element("p", {}, words.text("nothing"));
  $("results").replaceChildren(...($("search").value.trim() ? (items.length ? items : [nothing]) : []));
  $("results").hidden = !$("search").value.trim();
  return items;
}

function closeSearch() {
  $("results").hidden = true;
}

function locate() {
  const failed = () => { $("place-words").replaceChildren(); $("pick").hidden = false; $("pick").textContent = words.text("noLocation"); };
  if (!navigator.geolocation) return failed();
  navigator.geolocation.getCurrentPosition(({ coords }) => choosePlace({ lat: coords.latitude, lon: coords.longitude }, { move: true }), failed, { timeout: 10_000 });
}

/* ---------- facts and age ---------- */

function showFacts() {
  const forecast = state.forecast;
  for (const [id, time] of [["reference", forecast.reference_time], ["issued", forecast.issued_at]]) {
    $(id).textContent = words.dayAndClock(time);
    $(id).dateTime = time;
  }
  $("model").textContent = forecast.model.name;
  $("version").textContent = forecast.model.version;
  const isFallback = forecast.method !== forecast.model.name;
  $("method").textContent = isFallback ? words.text("fallback", { method: forecast.method, model: forecast.model.name }) : words.text("theModel");
  $("method").classList.toggle("warned", isFallback);
  $("product").textContent = forecast.product;
  $("cells").textContent = words.text("every", { km: cellKm(), minutes: forecast.leads.length ? forecast.leads[0].lead_minutes : "–" });
  $("coverage").textContent = words.text("ofGrid", { percent: Math.round(100 * (forecast.leads.length ? forecast.leads[0].coverage : 0)) });
  $("missing").textContent = forecast.missing_radars.length ? forecast.missing_radars.join(", ") : words.text("none");
  $("missing").classList.toggle("warned", forecast.missing_radars.length > 0);
  $("notes-box").hidden = forecast.notes.length === 0;
  $("notes").replaceChildren(...forecast.notes.map((note) => element("li", {}, note)));
  $("file").href = relative(forecast.links.file);
  $("json").href = relative(forecast.links.self);
  $("source").textContent = state.legend ? state.legend.attribution : "";
  showNotice();
}

const cellKm = () => words.number(state.forecast.grid.pixel_x_m / 1000, state.forecast.grid.pixel_x_m % 1000 ? 1 : 0);

// What is not live radar, and what a replay is slowed down by, stands above the map at all times.
function showNotice() {
  const forecast = state.forecast;
  const checks = state.ready ? state.ready.checks : {};
  const isReplay = "replay" in checks;
  const kind = forecast.invented ? [words.text("inventedBanner"), ...(forecast.grid.pixel_x_m > 1000 ? [words.text("coarse", { km: cellKm() })] : [])] : isReplay ? [words.text("replayBanner")] : [];
  const pace = isReplay && checks.replay !== "ok" && !checks.replay.startsWith("waiting") ? [words.pace(checks.replay)] : [];
  const fallback = forecast.method !== forecast.model.name ? [words.text("fallback", { method: forecast.method, model: forecast.model.name })] : [];
  const text = [...kind, ...pace, ...fallback].join(" ");
  $("notice").hidden = !text;
  if ($("notice").textContent !== text) {
    $("notice").textContent = text;
    map.resize();
  }
}

function showAge() {
  const forecast = state.forecast;
  if (!forecast) return;
  const age = forecast.data_age_s + (performance.now() - state.fetchedAt) / 1000;
  const stale = forecast.stale || age > forecast.stale_after_s;
  const status = stale ? "stale" : forecast.status;
  $("age").classList.toggle("stale", stale);
  $("age-value").textContent = words.text("age", { age: words.duration(age) });
  $("status").className = `chip ${status}`;
  $("status").textContent = words.text(status);
  const warning = [state.failure, stale ? words.text("staleBanner") : ""].filter(Boolean).join(" ");
  $("banner").hidden = !warning;
  if ($("banner").textContent !== warning) $("banner").textContent = warning; // unchanged text is not set again: a screen reader would repeat it every second
}

/* ---------- address, language, zone ---------- */

function writeLink() {
  if (!state.hasGrid) return;
  const frame = screen.frames[screen.wanted];
  const isNow = !frame || screen.wanted === nowIndex(screen.frames);
  history.replaceState(null, "", writeAddress({ place: state.place, view: map.view(), time: isNow ? null : frame.time, layer: state.layer }));
}

async function share() {
  writeLink();
  await navigator.clipboard?.writeText(location.href).catch(() => {});
  $("share").textContent = words.text("copied");
  setTimeout(() => ($("share").textContent = words.text("share")), 2000);
}

function translate() {
  document.documentElement.lang = words.language;
  document.title = words.text("title");
  for (const node of document.querySelectorAll("[data-text]")) node.textContent = words.text(node.dataset.text);
  for (const node of document.querySelectorAll("[data-label]")) node.setAttribute("aria-label", words.text(node.dataset.label));
  $("search").placeholder = words.text("search");
  $("zone").textContent = words.zoneName(new Date());
  $("zone").setAttribute("aria-label", words.text("switchZone", { zone: words.text(words.isUtc ? "local" : "utc") }));
  $("language").textContent = words.language === "de" ? "EN" : "DE";
  $("language").setAttribute("aria-label", words.text("switchLanguage"));
  showPlay();
  if (!state.forecast) return;
  showLayers();
  showFacts();
  showAge();
  showTicks();
  showPoint();
  draw();
}

function speak(language, isUtc) {
  words = new Words(language, isUtc);
  keep("language", words.language);
  keep("zone", words.isUtc ? "utc" : "local");
  translate();
}

/* ---------- start ---------- */

$("play").addEventListener("click", () => (state.timer ? stop() : play()));
$("slider").addEventListener("input", () => { stop(); show(Number($("slider").value)); });
$("slider").addEventListener("change", writeLink);
$("what").addEventListener("change", () => { state.layer = $("what").value; setFrames(); writeLink(); });
$("motion").addEventListener("click", () => { state.hasMotion = !state.hasMotion; keep("motion", state.hasMotion ? "on" : "off"); showMotion(); });
$("threshold").addEventListener("change", drawScores);
$("other-score").addEventListener("change", drawScores);
$("search").addEventListener("input", search);
$("search").addEventListener("focus", () => places().then((all) => map.setPlaces(all)));
$("search-form").addEventListener("submit", async (event) => { event.preventDefault(); (await search())[0]?.click(); });
$("search").addEventListener("keydown", (event) => { if (event.key === "Escape") closeSearch(); });
$("locate").addEventListener("click", locate);
$("share").addEventListener("click", share);
$("close").addEventListener("click", () => choosePlace(null));
$("language").addEventListener("click", () => speak(words.language === "de" ? "en" : "de", words.isUtc));
$("zone").addEventListener("click", () => speak(words.language, !words.isUtc));
document.addEventListener("click", (event) => { if (!$("search-form").contains(event.target)) closeSearch(); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => map.showLand());
setInterval(showAge, 1000);
translate();
refresh().then(async () => {
  await map.showLand(); // after the first rain: the coast is the larger file
  map.setPlaces(await places());
  if (state.place && !state.place.name) showPoint();
});
if (window.EventSource) new EventSource("events").addEventListener("forecast", look); // reconnects automatically
