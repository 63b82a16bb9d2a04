// The page: fetches the newest forecast, shows it on the map and at a place, and says how old and how good it is.

import { writeAddress } from "./address.js";
import { failureOf, get, plainLink, receipt, relative } from "./api.js";
import { startArchive, translateArchive } from "./archive.js";
import { $ } from "./dom.js";
import { CAME } from "./frames.js";
import { byName, showLayers } from "./layers.js";
import { RainMap } from "./map.js";
import { keepForecast, startWorker } from "./offline.js";
import { clearPoint, isAsking, showBars, showPoint, showRecord } from "./placecard.js";
import { showNotify, startNotify } from "./push.js";
import { places, startSearch } from "./searchbox.js";
import { keep, opened, RATE, state, stored } from "./shared.js";
import { drawScores, showScores } from "./skillpanel.js";
import { draw, loadMore, screen, setFrames, show, showPlay, showTicks, startTimeline, stop, togglePlay, wantedTime } from "./timeline.js";
import { showAge, showFacts, showNotice } from "./trust.js";
import { readiness, showWaiting } from "./waiting.js";
import { Words } from "./words.js";

const REFRESH_MS = 15_000;
const MINUTE_MS = 60_000;
const ARROWS_KM = 60;
const LAND_MS = 5000; // at the latest the coast is fetched then, on a line so slow that no rain is there

let seen = () => {};
const firstPicture = new Promise((done) => { seen = done; });
const map = new RainMap("map", {
  onState: (key, value) => { if (value) seen(); screen.mark(key, value); draw(); },
  onClick: ({ lat, lng }) => choosePlace({ lat, lon: lng }),
  onView: () => { loadMore(); writeLink(); },
});
startTimeline({ map, onTime: showBars, isBusy: isAsking });
let hasMotion = stored("motion") === "on";

/* ---------- the newest forecast, or one of the archive ---------- */

async function refresh() {
  await look();
  setTimeout(refresh, REFRESH_MS);
}

async function look() {
  const { run } = state;
  try {
    const forecast = await get(`nowcast/${run || "latest"}`);
    const isNew = !state.forecast || state.forecast.forecast_id !== forecast.forecast_id || state.shownRun !== run;
    const parts = isNew ? await fetchParts(forecast) : {};
    if (run !== state.run) return; // another forecast was chosen meanwhile
    Object.assign(state, parts, { receipt: receipt(forecast), failure: "", forecast, shownRun: run });
    await showForecast(isNew);
  } catch (error) {
    if (run && run === state.run && error.status === 404) return showRun(null); // deleted since: an old link shows the newest
    if (run === state.run) await waitOrWarn(error);
  }
}

// Scans of the two hours before, and of the forecast's own times: an archived forecast is shown beside what was observed.
async function fetchParts(forecast) {
  const at = Date.parse(forecast.reference_time);
  const last = forecast.leads.length ? forecast.leads[forecast.leads.length - 1].lead_minutes : 0;
  const [start, end] = [-120, last].map((minutes) => new Date(at + minutes * MINUTE_MS).toISOString());
  const scans = get(`scans?product=${encodeURIComponent(forecast.product)}&start=${start}&end=${end}`);
  const layers = get(`tiles?run=${forecast.forecast_id}`).catch(() => ({ layers: [] }));
  const legend = get(relative(forecast.links.map));
  return { legend: await legend, scans: (await scans).scans.map((scan) => scan.valid_time), layers: byName((await layers).layers) };
}

async function waitOrWarn(error) {
  const name = failureOf(error);
  if (!error.status && !["TypeError", "TimeoutError"].includes(error.name)) console.error(error);
  if (!state.forecast) return showWaiting(name);
  state.failure = `${state.words.text(name)}. ${state.words.text("older")}`;
  showTime();
}

async function showForecast(isNew) {
  $("waiting").hidden = true;
  $("forecast").hidden = $("age").hidden = false;
  showFacts();
  showTime();
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
    if (!state.run) keepForecast(state.forecast.forecast_id);
  } else if (!state.point && !isAsking()) showPoint(); // its request has failed
  const scores = isNew ? showScores().then(showRecord) : null; // they change with each scan, as the forecast does
  await Promise.allSettled([scores, readiness().then((ready) => { state.ready = ready; showNotice(); showTime(); map.resize(); })]);
}

// Show the age, and name the newest scan otherwise once it is too old or of the archive, and when it is no longer.
function showTime() {
  const wasOld = state.isOld;
  showAge();
  if (state.isOld === wasOld || !screen.frames.length) return;
  showTicks();
  draw();
}

// Show a forecast of the archive; without an id the newest.
async function showRun(id) {
  Object.assign(state, { run: id || null, point: null });
  if (!id && state.layer === CAME) state.layer = RATE;
  await look();
  writeLink();
  map.resize();
}

async function showMotion() {
  $("motion").setAttribute("aria-pressed", hasMotion);
  const link = hasMotion && state.forecast && state.forecast.links.motion;
  const found = link ? await get(`${plainLink(link)}?every_km=${ARROWS_KM}`).catch(() => null) : null;
  map.showMotion(found ? found.vectors : []);
}

/* ---------- a place ---------- */

async function choosePlace(place, { move = false } = {}) {
  state.place = place;
  clearPoint();
  map.mark(place);
  if (move && place) map.goTo(place);
  writeLink();
  showNotify();
  await showPoint();
}

function locate() {
  const failed = () => { clearPoint(); $("pick").hidden = false; $("pick").textContent = state.words.text("noLocation"); };
  if (!navigator.geolocation) return failed();
  navigator.geolocation.getCurrentPosition(({ coords }) => choosePlace({ lat: coords.latitude, lon: coords.longitude }, { move: true }).then(() => $("place").focus({ preventScroll: true })), failed, { timeout: 10_000 });
}

/* ---------- address, language, zone, theme ---------- */

function writeLink() {
  if (!state.hasGrid) return;
  history.replaceState(null, "", writeAddress({ place: state.place, view: map.view(), time: wantedTime(), layer: state.layer, run: state.run }));
}

async function share() {
  writeLink();
  await navigator.clipboard?.writeText(location.href).catch(() => {});
  $("share").textContent = state.words.text("copied");
  setTimeout(() => ($("share").textContent = state.words.text("share")), 2000);
}

function translate() {
  const { words } = state;
  document.documentElement.lang = words.language;
  document.title = words.text("title");
  for (const node of document.querySelectorAll("[data-text]")) node.textContent = words.text(node.dataset.text);
  for (const node of document.querySelectorAll("[data-label]")) node.setAttribute("aria-label", words.text(node.dataset.label));
  for (const option of $("period").options) option.textContent = words.text(Number(option.value) > 24 ? "ofDays" : "ofDay", { days: option.value / 24 });
  $("search").placeholder = words.text("search");
  $("zone").textContent = words.isUtc ? "UTC" : words.text("local");
  $("zone").setAttribute("aria-label", words.text("switchZone", { zone: words.text(words.isUtc ? "local" : "utc") }));
  $("language").textContent = words.language === "de" ? "EN" : "DE";
  $("language").setAttribute("aria-label", words.text("switchLanguage"));
  $("manifest").href = words.language === "de" ? "page/manifest.de.webmanifest" : "page/manifest.webmanifest";
  map.translate(words.text("zoomIn"), words.text("zoomOut"), words.language);
  translateArchive();
  showPlay();
  if (!state.forecast) return;
  showLayers();
  showFacts();
  showAge();
  showTicks();
  drawScores();
  showPoint();
  showNotify();
  draw();
}

function speak(language, isUtc) {
  state.words = new Words(language, isUtc);
  keep("language", state.words.language);
  keep("zone", isUtc ? "utc" : "local");
  translate();
  if (!state.forecast) look();
}

const isDark = () => (document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";

function useTheme(name) {
  document.documentElement.dataset.theme = name || "";
  $("theme").setAttribute("aria-pressed", isDark());
  map.recolour();
}

/* ---------- start ---------- */

$("play").addEventListener("click", togglePlay);
$("slider").addEventListener("input", () => { stop(); show(Number($("slider").value)); });
$("slider").addEventListener("change", writeLink);
$("what").addEventListener("change", () => { state.layer = $("what").value; setFrames(); writeLink(); });
$("motion").addEventListener("click", () => { hasMotion = !hasMotion; keep("motion", hasMotion ? "on" : "off"); showMotion(); });
for (const id of ["threshold", "other-score"]) $(id).addEventListener("change", drawScores);
$("period").addEventListener("change", () => showScores().then(showRecord));
$("search").addEventListener("focus", () => places().then((all) => map.setPlaces(all)));
$("locate").addEventListener("click", locate);
$("share").addEventListener("click", share);
$("close").addEventListener("click", () => { choosePlace(null); $("map").focus({ preventScroll: true }); });
$("language").addEventListener("click", () => speak(state.words.language === "de" ? "en" : "de", state.words.isUtc));
$("zone").addEventListener("click", () => speak(state.words.language, !state.words.isUtc));
$("theme").addEventListener("click", () => { const name = isDark() ? "light" : "dark"; keep("theme", name); useTheme(name); });
$("menu").addEventListener("click", () => $("menu").setAttribute("aria-expanded", String($("switches").classList.toggle("open"))));
$("newest").addEventListener("click", () => showRun(null));
startSearch((place) => choosePlace(place, { move: true }).then(() => $("place").focus({ preventScroll: true })));
startArchive(showRun);
startNotify();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => useTheme(stored("theme")));
setInterval(showTime, 1000);
useTheme(stored("theme"));
translate();
refresh().then(async () => {
  if (state.forecast) await Promise.race([firstPicture, new Promise((done) => { setTimeout(done, LAND_MS); })]);
  await map.showLand(); // after the first rain: the coast is the larger file
  map.setPlaces(await places());
  if (state.place && !state.place.name) showPoint();
  showNotify();
  startWorker();
});
for (const name of ["online", "offline"]) addEventListener(name, look);
document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
if (window.EventSource) new EventSource("events").addEventListener("forecast", look); // reconnects automatically
