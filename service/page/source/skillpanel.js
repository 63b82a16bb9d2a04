// The panel of the verification: period and threshold of choice, sentences, two diagrams, and the table of all figures.

import { get } from "./api.js";
import { reliabilityChart, scoreChart } from "./charts.js";
import { $, element } from "./dom.js";
import { otherScores, scoresTable } from "./scores.js";
import { state } from "./shared.js";
import { curvesOf, modelsOf, reliabilityBins, reliabilitySentence, skillSentences } from "./skill.js";

const DAY_HOURS = 24;
const RECORD_HOURS = 168; // a week: one day has too few statements of each kind

const panel = { answer: null, others: { all: new Map(), known: new Map() } };

// Fetch the scores of the chosen period, and how often statements of the last week were right.
export async function showScores() {
  const model = encodeURIComponent(state.forecast.model.name);
  const hours = Number($("period").value) || DAY_HOURS;
  const of = (path, period) => get(`${path}?period_hours=${period}&model=${model}`);
  const record = (period) => of("verification/reliability", period).catch(() => ({ groups: [] })); // a model without probabilities
  const starts = of("verification/rain-times", RECORD_HOURS).catch(() => null);
  const [chosen, reliability, week] = await Promise.all([of("verification", hours), record(hours), hours === RECORD_HOURS ? null : record(RECORD_HOURS)]);
  state.record = (week || reliability).groups;
  state.rainTimes = await starts;
  useAnswer(chosen, state.forecast.verification, reliability.groups);
}

// Show an answer of /verification; without scores those of this one forecast, if it has been verified.
export function useAnswer(today, own, reliability = []) {
  const rows = today.scores.length ? today : { ...today, ...(own || { scores: [], scores_known: [] }) };
  const isOwn = !today.scores.length && own && own.kind === "this_forecast";
  panel.answer = { ...rows, ofOwn: isOwn, schedule: today.schedule, means: today.means, values: today.values, reliability, hours: today.period_hours };
  const thresholds = [...new Set(rows.scores.map((row) => row.threshold_mmh))].sort((a, b) => a - b);
  const before = Number($("threshold").value || 0.5);
  $("threshold").replaceChildren(...thresholds.map((value) => element("option", { value }, `${state.words.plain(value)} mm/h`)));
  $("threshold").value = thresholds.includes(before) ? before : thresholds[0];
  panel.others = { all: otherScores(rows.scores, today.values), known: otherScores(rows.scores_known, []) };
  const other = $("other-score").value;
  $("other-score").replaceChildren(element("option", { value: "" }, state.words.text("noOther")), ...[...panel.others.all.keys()].map((name) => element("option", { value: name }, name)));
  $("other-score").value = panel.others.all.has(other) ? other : "";
  drawScores();
}

export function drawScores() {
  const { answer } = panel;
  if (!answer) return;
  const { words } = state;
  const none = answer.scores.length === 0;
  $("scores-of").textContent = none ? words.text("noScores") : words.text(answer.ofOwn ? "scoresOfThis" : "scoresOfPeriod", { period: periodWords(answer.hours, words) });
  $("schedule").textContent = scheduleWords(answer.schedule, words);
  $("schedule").classList.toggle("warned", answer.schedule.some((row) => row.missed > 0));
  $("skill-figures").hidden = none;
  if (none) return;
  const threshold = Number($("threshold").value);
  drawSkill(answer, threshold, words);
  drawReliability(answer, threshold, words);
  const other = $("other-score").value;
  $("scores").replaceChildren(...scoresTable({ answer, models: modelsOf(answer.scores), threshold, other, others: panel.others, words }));
}

// Sentences and curves of all observed grid cells, and of those whose rain was observed at the start.
function drawSkill(answer, threshold, words) {
  for (const [mask, scores] of [["", answer.scores], ["-known", answer.scores_known]]) {
    $(`skill-words${mask}`).replaceChildren(...skillSentences(scores, threshold, words).map((text) => element("p", {}, text)));
    $(`curves${mask}`).innerHTML = scoreChart(curvesOf(scores, threshold), words);
  }
  $("curves-known-box").hidden = answer.scores_known.length === 0;
  $("curve-names").replaceChildren(...modelsOf(answer.scores).map((model, index) => element("li", { class: `key-${index}` }, words.model(model))));
}

function drawReliability(answer, threshold, words) {
  const bins = reliabilityBins(answer.reliability, threshold);
  $("reliability-box").hidden = bins.length === 0;
  if (!bins.length) return;
  $("reliability").innerHTML = reliabilityChart(bins, words);
  $("reliability-words").textContent = reliabilitySentence(bins, threshold, words);
}

const periodWords = (hours, words) => (hours <= DAY_HOURS ? words.text("lastDay") : words.text("lastDays", { days: Math.round(hours / DAY_HOURS) }));

// A forecast that was not made has no scores; without its number an outage would not show.
function scheduleWords(schedule, words) {
  const row = schedule.find((each) => each.model === state.forecast.model.name);
  if (!row) return "";
  return words.text(row.missed ? "scheduleMissed" : "scheduleAll", { expected: words.number(row.expected), missed: words.number(row.missed), period: periodWords(panel.answer.hours, words) });
}
