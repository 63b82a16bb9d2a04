"use strict";

const REFRESH_MS = 15_000;
const FRAME_MS = 650;
const HOLD_FRAMES = 2; // the last picture stays a little longer
const CITY_TEXT_SHARE = 1 / 42; // of the picture's height, and at least
const CITY_TEXT_PX = 11;

const $ = (id) => document.getElementById(id);
const state = { forecast: null, pictures: [], images: [], frame: 0, timer: 0, map: null, fetchedAt: 0, failure: "", scores: { all: [], known: [] }, means: [], others: { all: new Map(), known: new Map() }, probabilityOf: "" };

/* ---------- requests ---------- */

async function get(path) {
  const response = await fetch(path, { cache: "no-cache", headers: { Accept: "application/json" } });
  if (!response.ok) throw Object.assign(new Error(`${path}: ${response.status}`), { status: response.status });
  return response.json();
}

// A link of an answer, relative to this page: behind a proxy links begin with the path of the page.
const BASE = new URL(".", document.baseURI).pathname;
const relative = (link) => link.slice(link.startsWith(BASE) ? BASE.length : 1);

// Every 15 seconds, and at once at an event for a new forecast.
async function refresh() {
  await look();
  setTimeout(refresh, REFRESH_MS);
}

async function look() {
  try {
    const forecast = await get("nowcast/latest");
    state.fetchedAt = performance.now();
    state.failure = "";
    const isNew = !state.forecast || state.forecast.forecast_id !== forecast.forecast_id;
    if (isNew) state.map = await get(relative(forecast.links.map));
    state.forecast = forecast;
    show(isNew);
    await showScores();
  } catch (error) {
    waitOrWarn(error);
  }
}

function waitOrWarn(error) {
  const words =
    error.status === 404
      ? ["Waiting for the first forecast", "Expected within about a minute. This page updates itself."]
      : error.status === 503
        ? ["The service is starting", "The model is loading. This page updates itself."]
        : ["The service does not respond", "This page tries again every 15 seconds."];
  if (state.forecast) {
    state.failure = `${words[0]}: this page shows an older forecast.`;
    showAge();
    return;
  }
  [$("waiting-title").textContent, $("waiting-text").textContent] = words;
}

/* ---------- words ---------- */

const two = (number) => String(number).padStart(2, "0");

function clock(iso) {
  const time = new Date(iso);
  return `${two(time.getUTCHours())}:${two(time.getUTCMinutes())}`;
}

function dayAndClock(iso) {
  return `${iso.slice(0, 10)} ${clock(iso)} UTC`;
}

function duration(seconds) {
  const minutes = Math.floor(seconds / 60);
  if (minutes < 1) return `${Math.floor(seconds)} s`;
  if (minutes < 90) return `${minutes} min ${two(Math.floor(seconds % 60))} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${two(minutes % 60)} min` : `${Math.floor(hours / 24)} days`;
}

function leadWords(minutes) {
  return minutes === 0 ? "newest" : `${minutes > 0 ? "+" : "−"}${Math.abs(minutes)} min`;
}

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/* ---------- the forecast ---------- */

function show(isNew) {
  $("waiting").hidden = true;
  $("forecast").hidden = $("age").hidden = false;
  showFacts();
  showAge();
  if (!isNew) return;
  const hadOne = state.pictures.length > 0;
  state.pictures = state.forecast.links.pictures;
  showChoice();
  loadImages();
  const newest = state.pictures.findLastIndex((picture) => picture.kind === "observed");
  document.documentElement.style.setProperty("--shape", `${state.map.width} / ${state.map.height}`);
  $("slider").max = state.pictures.length - 1;
  showOverlay();
  showStrips();
  showFrame(hadOne ? Math.min(state.frame, state.pictures.length - 1) : newest);
}

// What the forecast's pictures show: the rain rate, or the exceedance probability of a threshold, if the forecast has any.
function showChoice() {
  const probabilities = state.forecast.probability_thresholds_mmh.map((mmh) => [String(mmh), `probability of ≥ ${mmh} mm/h`]);
  if (!probabilities.some(([value]) => value === state.probabilityOf)) state.probabilityOf = "";
  $("what").parentElement.hidden = probabilities.length === 0;
  $("what").replaceChildren(...[["", "rain rate"], ...probabilities].map(([value, words]) => element("option", { value }, words)));
  $("what").value = state.probabilityOf;
}

function choose(probabilityOf) {
  state.probabilityOf = probabilityOf;
  loadImages();
  showStrips();
  showFrame(state.frame);
}

const isProbability = (picture) => state.probabilityOf !== "" && picture.kind === "forecast";

function address(picture) {
  return relative(picture.href) + (isProbability(picture) ? `?probability_of=${state.probabilityOf}` : "");
}

function loadImages() {
  state.images = state.pictures.map((picture) => {
    const image = new Image();
    if (picture.href) image.src = address(picture);
    return image;
  });
}

function showFacts() {
  const forecast = state.forecast;
  $("reference").textContent = dayAndClock(forecast.reference_time);
  $("reference").dateTime = forecast.reference_time;
  $("issued").textContent = dayAndClock(forecast.issued_at);
  $("issued").dateTime = forecast.issued_at;
  $("model").textContent = forecast.model.name;
  $("version").textContent = forecast.model.version;
  const isFallback = forecast.method !== forecast.model.name;
  $("method").textContent = isFallback ? `${forecast.method}, fallback for ${forecast.model.name}` : "the model";
  $("method").classList.toggle("warned", isFallback);
  $("product").textContent = forecast.product;
  const covered = forecast.leads.length ? forecast.leads[0].coverage : 0;
  $("coverage").textContent = `${Math.round(100 * covered)} % of the picture`;
  $("missing").textContent = forecast.missing_radars.length ? forecast.missing_radars.join(", ") : "none";
  $("missing").classList.toggle("warned", forecast.missing_radars.length > 0);
  $("notes-box").hidden = forecast.notes.length === 0;
  $("notes").replaceChildren(...forecast.notes.map((note) => element("li", {}, note)));
  $("invented").hidden = !forecast.invented;
  $("numbers").replaceChildren(...forecast.leads.map((lead) => element("tr", {}, element("th", { scope: "row" }, `${clock(lead.valid_time)} UTC`),
    element("td", {}, lead.max === null ? "–" : `${lead.max.toFixed(1)} mm/h`),
    element("td", {}, lead.wet_fraction === null ? "–" : `${(100 * lead.wet_fraction).toFixed(1)} %`))));
  $("file").href = relative(forecast.links.file);
  $("json").href = relative(forecast.links.self);
  $("source").textContent = state.map.attribution;
}

function showAge() {
  const forecast = state.forecast;
  if (!forecast) return;
  const age = forecast.data_age_s + (performance.now() - state.fetchedAt) / 1000;
  const stale = forecast.stale || age > forecast.stale_after_s;
  const status = stale ? "stale" : forecast.status;
  $("age").classList.toggle("stale", stale);
  $("age-value").textContent = `Radar data ${duration(age)} old`;
  $("status").className = `chip ${status}`;
  $("status").textContent = status;
  const warning = [state.failure, stale ? "The newest radar scan is too old: this does not show the current weather." : ""].filter(Boolean).join(" ");
  $("banner").hidden = !warning;
  if ($("banner").textContent !== warning) $("banner").textContent = warning; // unchanged text is not set again: a screen reader would repeat it every second
}

function showStrips() {
  $("strip-what").textContent = state.probabilityOf ? `: probability of ${state.probabilityOf} mm/h or more` : "";
  for (const [kind, id] of [["observed", "observed"], ["forecast", "predicted"]]) {
    $(id).replaceChildren(
      ...state.pictures.flatMap((picture, index) => (picture.kind === kind ? [thumbnail(picture, index)] : [])),
    );
  }
}

function thumbnail(picture, index) {
  const label = `${picture.kind}, ${clock(picture.valid_time)} UTC`;
  const image = picture.href
    ? element("img", { src: address(picture), alt: label, loading: "lazy" })
    : element("span", { class: "none" }, "no scan");
  const button = element("button", { type: "button", "data-index": index }, image,
    element("time", { datetime: picture.valid_time }, `${clock(picture.valid_time)}`),
    element("span", { class: "lead" }, leadWords(picture.lead_minutes)));
  button.addEventListener("click", () => { stop(); showFrame(index); });
  return element("li", {}, button);
}

function showFrame(index) {
  const picture = state.pictures[index];
  state.frame = index;
  $("slider").value = index;
  $("slider").setAttribute("aria-valuetext", `${picture.kind} ${clock(picture.valid_time)} UTC`);
  $("offset").textContent = leadWords(picture.lead_minutes);
  $("kind").textContent = picture.kind === "observed" ? "Observed" : "Forecast";
  $("when").textContent = `${clock(picture.valid_time)} UTC`;
  $("picture").classList.toggle("forecast", picture.kind === "forecast");
  $("absent").hidden = Boolean(picture.href);
  $("big").classList.toggle("empty", !picture.href);
  if (picture.href) $("big").src = state.images[index].src;
  $("big").alt = altText(picture);
  showLegend(isProbability(picture));
  for (const button of document.querySelectorAll(".strip button")) {
    button.setAttribute("aria-current", String(Number(button.dataset.index) === index));
  }
}

function altText(picture) {
  if (isProbability(picture)) return `Probability of ${state.probabilityOf} millimetres per hour or more at ${clock(picture.valid_time)} UTC`;
  const lead = state.forecast.leads.find((each) => picture.kind === "forecast" && each.lead_minutes === picture.lead_minutes);
  const most = lead && lead.max !== null ? `, at most ${lead.max.toFixed(1)} millimetres per hour` : "";
  return `Rain ${picture.kind} for ${clock(picture.valid_time)} UTC${most}`;
}

/* ---------- play ---------- */

function play() {
  stop();
  if (state.frame === state.pictures.length - 1) showFrame(0);
  let held = 0;
  state.timer = setInterval(() => {
    const last = state.frame === state.pictures.length - 1;
    if (last && held++ < HOLD_FRAMES) return;
    held = 0;
    showFrame(last ? 0 : state.frame + 1);
  }, FRAME_MS);
  $("play").textContent = "Pause";
  $("play").setAttribute("aria-pressed", "true");
}

function stop() {
  clearInterval(state.timer);
  state.timer = 0;
  $("play").textContent = "Play";
  $("play").setAttribute("aria-pressed", "false");
}

/* ---------- legend and map ---------- */

function showLegend(asPercent) {
  const classes = asPercent
    ? state.map.probability_legend.map((step) => [step.colour, `${Math.round(100 * step.from_probability)}\u202f%`])
    : state.map.legend.map((step) => [step.colour, String(step.from_mmh)]);
  const steps = classes.map(([colour, words]) => element("li", {}, element("i", { style: `background:${colour}` }), element("span", {}, words)));
  const missing = element("li", { class: "nodata" }, element("i", { style: `background:${state.map.no_data_colour}` }), element("span", {}, "no radar"));
  const dry = element("li", { class: "dry" }, element("i", { style: "background:#fff" }), element("span", {}, asPercent ? "less" : "dry"));
  $("legend-title").textContent = asPercent ? "probability" : "mm/h";
  $("legend").replaceChildren(missing, dry, ...steps);
}

function svg(name, attributes, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  return made;
}

function showOverlay() {
  const { width, height, cities, graticule } = state.map;
  const size = height * Math.max(CITY_TEXT_SHARE, CITY_TEXT_PX / ($("overlay").clientHeight || 500));
  $("overlay").setAttribute("viewBox", `0 0 ${width} ${height}`);
  const lines = graticule.map((line) => svg("path", { d: "M" + line.points.map((point) => point.join(" ")).join("L") }));
  const degrees = graticule.filter((line) => line.label_at).map((line) => {
    const [x, y] = line.label_at;
    return svg("text", { class: "degree", x, y, "font-size": size * 0.8, "stroke-width": size / 5, "text-anchor": line.anchor }, line.label);
  });
  const dots = cities.map((city) => svg("circle", { cx: city.x, cy: city.y, r: size / 4 }));
  const names = cities.map((city) => {
    const toTheLeft = city.x > width * 0.85;
    return svg("text", { x: city.x + (toTheLeft ? -size / 2 : size / 2), y: city.y - size / 4, "font-size": size, "stroke-width": size / 4,
      "text-anchor": toTheLeft ? "end" : "start" }, city.name);
  });
  $("overlay").replaceChildren(...lines, ...degrees, ...dots, ...names);
}

/* ---------- scores ---------- */

const MASKS = [["all", "All observed grid cells"], ["known", "Grid cells whose rain was observed at the start"]];

async function showScores() {
  const forecast = state.forecast;
  const today = await get(`verification?period_hours=24&model=${encodeURIComponent(forecast.model.name)}`);
  const own = forecast.verification && forecast.verification.kind === "this_forecast";
  const rows = today.scores.length ? today : forecast.verification || { scores: [], scores_known: [] };
  state.scores = { all: rows.scores, known: rows.scores_known };
  state.means = today.means;
  $("scores-of").textContent = today.scores.length
    ? "All forecasts of the last 24 hours, verified with radar observations"
    : own ? "This forecast, verified with radar observations" : "";
  $("schedule").textContent = scheduleWords(today.schedule, forecast.model.name);
  $("schedule").classList.toggle("warned", today.schedule.some((row) => row.missed > 0));
  const thresholds = [...new Set(rows.scores.map((row) => row.threshold_mmh))].sort((a, b) => a - b);
  const chosen = Number($("threshold").value || 0.5);
  $("threshold").replaceChildren(...thresholds.map((value) => element("option", { value }, `${value} mm/h`)));
  $("threshold").value = thresholds.includes(chosen) ? chosen : thresholds[0];
  state.others = { all: otherScores(rows.scores, today.values), known: otherScores(rows.scores_known, []) };
  const other = $("other-score").value;
  $("other-score").replaceChildren(element("option", { value: "" }, "none"), ...[...state.others.all.keys()].map((name) => element("option", { value: name }, name)));
  $("other-score").value = state.others.all.has(other) ? other : "";
  drawScores();
}

// A forecast that was not made has no scores; without its number an outage would not show.
function scheduleWords(schedule, model) {
  const row = schedule.find((each) => each.model === model);
  if (!row) return "";
  const missed = row.missed ? `${row.missed} of them were not made and have no scores` : "all of them were made";
  return `${row.expected} forecasts were scheduled in the last 24 hours: ${missed}.`;
}

// Every score but CSI and HSS, by name: those of the four counts, and all others with their threshold and window.
function otherScores(scores, values) {
  const found = new Map();
  const put = (name, row, value) => found.set(name, found.get(name) || []).get(name).push({ ...row, value });
  for (const row of scores) {
    for (const [name, value] of Object.entries(row.scores)) if (name !== "csi" && name !== "hss") put(name, row, value);
  }
  for (const row of values) put(row.window_km === null ? row.score : `${row.score}, ${row.window_km} km`, row, row.value);
  return found;
}

const scoreName = (row) => (row.window_km === null ? row.score : `${row.score}, ${row.window_km} km`);

function drawScores() {
  const none = state.scores.all.length === 0;
  $("threshold").parentElement.hidden = $("other-score").parentElement.hidden = $("scores-hint").hidden = none;
  if (none) {
    $("scores").replaceChildren(element("caption", {}, "No forecast is verified yet: the first scores follow half an hour after the first forecast."));
    return;
  }
  const threshold = Number($("threshold").value);
  const baselines = ["persistence", "extrapolation"];
  const models = [...new Set(state.scores.all.map((row) => row.model))].sort((a, b) => baselines.indexOf(a) - baselines.indexOf(b));
  const name = $("other-score").value;
  const bodies = MASKS.filter(([mask]) => state.scores[mask].length).map(([mask, words]) => scoresBody(mask, words, models, threshold, name));
  $("scores").replaceChildren(scoresHead(models, name), ...bodies);
}

function scoresBody(mask, words, models, threshold, name) {
  const rows = state.scores[mask].filter((row) => row.threshold_mmh === threshold);
  const others = (state.others[mask].get(name) || []).filter((row) => row.threshold_mmh === null || row.threshold_mmh === threshold);
  const leads = [...new Set(rows.map((row) => row.lead_minutes))].sort((a, b) => a - b);
  const columns = 3 + models.length * (name ? 3 : 2);
  return element("tbody", {}, element("tr", {}, element("th", { scope: "rowgroup", colspan: columns, class: "mask" }, words)),
    ...leads.map((lead) => scoresRow(rows, others, models, lead, name)),
    ...["leads", "pooled"].flatMap((mean) => meanRow(mean, mask, models, threshold, name)));
}

// Pooled counts give leads with more rain more weight; the mean over leads gives each the same.
function meanRow(mean, mask, models, threshold, name) {
  const some = state.means.filter((row) => row.mean === mean && row.mask === mask && (row.threshold_mmh === null || row.threshold_mmh === threshold));
  const of = (score) => models.map((model) => some.find((row) => row.model === model && scoreName(row) === score));
  const first = of("csi").find(Boolean);
  if (!first) return [];
  const cells = ["csi", "hss", ...(name ? [name] : [])].flatMap((score) => scoreCells(of(score).map((row) => (row ? row.value : null)), false));
  return [element("tr", { class: first.enough ? "" : "few" }, element("th", { scope: "row" }, mean === "leads" ? "mean of leads" : "leads pooled"), ...cells, ...countCells(first))];
}

function scoresHead(models, name) {
  const group = (text, span) => element("th", { scope: "colgroup", class: "group", colspan: span }, text);
  const column = (text, index) => element("th", { scope: "col", class: index ? "" : "first" }, text);
  return element("thead", {},
    element("tr", {}, element("th", { scope: "col", rowspan: 2 }, "Lead"), group("CSI", models.length), group("HSS", models.length), ...(name ? [group(name, models.length)] : []), group("Grid cells", 2)),
    element("tr", {}, ...models.map(column), ...models.map(column), ...(name ? models.map(column) : []), column("rain observed", 0), column("compared", 1)));
}

function scoresRow(rows, others, models, lead, name) {
  const of = (score, some) => models.map((model) => some.find((row) => row.model === model && row.lead_minutes === lead)).map((row) => (row ? row[score] : null));
  const any = rows.find((row) => row.lead_minutes === lead);
  const cells = [...scoreCells(of("csi", rows), any.enough), ...scoreCells(of("hss", rows), any.enough), ...(name ? scoreCells(of("value", others), false) : [])]; // for some scores the smallest value is best
  return element("tr", { class: any.enough ? "" : "few" }, element("th", { scope: "row" }, `+${lead} min`), ...cells, ...countCells(any));
}

function scoreCells(values, marksBest) {
  const best = marksBest ? Math.max(...values.filter((value) => value !== null)) : NaN;
  return values.map((value, index) => element("td", { class: `${index ? "" : "first"} ${value !== null && value === best ? "best" : ""}` },
    value === null ? "–" : value.toFixed(2).replace("-0.00", "0.00")));
}

function countCells(row) {
  return [element("td", { class: "count first" }, row.observed_cells.toLocaleString("en") + (row.enough ? "" : " *")), element("td", { class: "count" }, row.cells.toLocaleString("en"))];
}

/* ---------- start ---------- */

$("play").addEventListener("click", () => (state.timer ? stop() : play()));
$("slider").addEventListener("input", () => { stop(); showFrame(Number($("slider").value)); });
$("threshold").addEventListener("change", drawScores);
$("other-score").addEventListener("change", drawScores);
$("what").addEventListener("change", () => choose($("what").value));
setInterval(showAge, 1000);
refresh();
if (window.EventSource) new EventSource("events").addEventListener("forecast", look); // reconnects automatically
