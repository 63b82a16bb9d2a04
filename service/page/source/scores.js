// The table of the verification: CSI, HSS and any further score by lead, in both masks, beside two baselines.

import { element } from "./dom.js";

export { otherScores };

const MOST_LEADS = 10;
const CHOSEN_LEADS = [5, 10, 15, 30, 60, 90, 120, 150];
const MASKS = [["all", "scores", "maskAll"], ["known", "scores_known", "maskKnown"]];

// Head and bodies of the table. `shown`: the answer, its models, the chosen threshold and further score, the words.
export function scoresTable(shown) {
  const masks = MASKS.filter(([, field]) => shown.answer[field].length);
  return [head(shown), ...masks.map(([mask, field, title]) => body(mask, shown.answer[field], title, shown))];
}

function body(mask, scores, title, shown) {
  const { models, threshold, other, others, words } = shown;
  const rows = scores.filter((row) => row.threshold_mmh === threshold);
  const further = (others[mask].get(other) || []).filter((row) => row.threshold_mmh === null || row.threshold_mmh === threshold);
  const every = [...new Set(rows.map((row) => row.lead_minutes))].sort((a, b) => a - b);
  const leads = every.length > MOST_LEADS ? every.filter((lead) => CHOSEN_LEADS.includes(lead)) : every; // all are in /verification
  const columns = 3 + models.length * (other ? 3 : 2);
  return element("tbody", {}, element("tr", {}, element("th", { scope: "rowgroup", colspan: columns, class: "mask" }, words.text(title))),
    ...leads.map((lead) => leadRow(rows, further, lead, shown)), ...["leads", "pooled"].flatMap((mean) => meanRow(mean, mask, shown)));
}

// Pooled counts give leads with more rain more weight; the mean over leads gives each the same.
function meanRow(mean, mask, { answer, models, threshold, other, words }) {
  const some = answer.means.filter((row) => row.mean === mean && row.mask === mask && (row.threshold_mmh === null || row.threshold_mmh === threshold));
  const of = (score) => models.map((model) => some.find((row) => row.model === model && scoreName(row) === score));
  const first = of("csi").find(Boolean);
  if (!first) return [];
  const cells = ["csi", "hss", ...(other ? [other] : [])].flatMap((score) => scoreCells(of(score).map((row) => (row ? row.value : null)), false));
  const title = words.text(mean === "leads" ? "meanOfLeads" : "leadsPooled");
  return [element("tr", { class: first.enough ? "" : "few" }, element("th", { scope: "row" }, title), ...cells, ...countCells(first, words))];
}

const scoreName = (row) => (row.window_km === null ? row.score : `${row.score}, ${row.window_km} km`);

function head({ models, other, words }) {
  const group = (text, span) => element("th", { scope: "colgroup", class: "group", colspan: span }, text);
  const column = (text, index) => element("th", { scope: "col", class: index ? "" : "first" }, text);
  const names = models.map((model) => words.model(model));
  return element("thead", {},
    element("tr", {}, element("th", { scope: "col", rowspan: 2 }, words.text("lead")), group("CSI", models.length), group("HSS", models.length), ...(other ? [group(other, models.length)] : []), group(words.text("gridCells"), 2)),
    element("tr", {}, ...names.map(column), ...names.map(column), ...(other ? names.map(column) : []), column(words.text("rainObserved"), 0), column(words.text("compared"), 1)));
}

function leadRow(rows, further, lead, { models, other, words }) {
  const of = (score, some) => models.map((model) => some.find((row) => row.model === model && row.lead_minutes === lead)).map((row) => (row ? row[score] : null));
  const any = rows.find((row) => row.lead_minutes === lead);
  const cells = [...scoreCells(of("csi", rows), any.enough), ...scoreCells(of("hss", rows), any.enough), ...(other ? scoreCells(of("value", further), false) : [])]; // for some scores the smallest value is best
  return element("tr", { class: any.enough ? "" : "few" }, element("th", { scope: "row" }, `+${lead} min`), ...cells, ...countCells(any, words));
}

function scoreCells(values, marksBest) {
  const best = marksBest ? Math.max(...values.filter((value) => value !== null)) : NaN;
  return values.map((value, index) => element("td", { class: `${index ? "" : "first"} ${value !== null && value === best ? "best" : ""}` },
    value === null ? "–" : value.toFixed(2).replace("-0.00", "0.00")));
}

function countCells(row, words) {
  return [element("td", { class: "count first" }, words.number(row.observed_cells) + (row.enough ? "" : " *")), element("td", { class: "count" }, words.number(row.cells))];
}

// Every score but CSI and HSS, by name: those of the four counts, and all others with their threshold and window.
function otherScores(scores, values) {
  const found = new Map();
  const put = (name, row, value) => found.set(name, found.get(name) || []).get(name).push({ ...row, value });
  for (const row of scores) {
    for (const [name, value] of Object.entries(row.scores)) if (!["csi", "hss"].includes(name)) put(name, row, value);
  }
  for (const row of values) put(row.window_km === null ? row.score : `${row.score}, ${row.window_km} km`, row, row.value);
  return found;
}
