// Verification: CSI, HSS and any further score of the last 24 hours, in both masks, beside two baselines.

import { get } from "./api.js";
import { $, element } from "./dom.js";

const state = { scores: { all: [], known: [] }, means: [], others: { all: new Map(), known: new Map() } };
const MOST_LEADS = 10;
const CHOSEN_LEADS = [5, 10, 15, 30, 60, 90, 120, 150];

const MASKS = [["all", "All observed grid cells"], ["known", "Grid cells whose rain was observed at the start"]];

export async function showScores(forecast) {
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

export function drawScores() {
  const none = state.scores.all.length === 0;
  $("threshold").parentElement.hidden = $("other-score").parentElement.hidden = $("scores-hint").hidden = none;
  if (none) {
    $("scores").replaceChildren(element("caption", {}, "No forecast is verified yet: the first scores follow when the first lead is observed."));
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
  const every = [...new Set(rows.map((row) => row.lead_minutes))].sort((a, b) => a - b);
  const leads = every.length > MOST_LEADS ? every.filter((lead) => CHOSEN_LEADS.includes(lead)) : every; // all are in /verification
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
