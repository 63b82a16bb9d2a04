// What the map can show: the list of layers, and the legend of the one that is shown.

import { $, element } from "./dom.js";
import { CAME, HOUR_AHEAD, HOUR_BEFORE } from "./frames.js";
import { PROBABILITY, RATE, state } from "./shared.js";

const MEMBER = "member-";

const isProbability = (layer) => layer.startsWith(PROBABILITY);
const isSum = (layer) => layer === HOUR_AHEAD || layer === HOUR_BEFORE;

// Layers of `/tiles` by name, each member with its own; those without times are not there (yet).
export function byName(layers) {
  const some = layers.filter((layer) => layer.observed_times.length + layer.forecast_times.length);
  const named = some.flatMap((layer) => (layer.members.length ? layer.members.map((member) => [layer.name.replace("{member}", member), layer]) : [[layer.name, layer]]));
  return Object.fromEntries(named);
}

// Names and words of the layers: those that every forecast has, and the sums and members that the service lists.
export function layersOf(forecast, listed, isArchived, words) {
  const chances = forecast.probability_thresholds_mmh.map((mmh) => [`${PROBABILITY}${mmh}`, words.text("probability", { mmh: words.plain(mmh) })]);
  const members = Object.keys(listed).filter((name) => name.startsWith(MEMBER));
  return [
    [RATE, words.text("rate")],
    ...(isArchived ? [[CAME, words.text("came")]] : []),
    ...chances,
    ...(HOUR_AHEAD in listed ? [[HOUR_AHEAD, words.text("sumAhead")]] : []),
    ...members.map((name) => [name, words.text("member", { number: name.slice(MEMBER.length), count: members.length })]),
  ];
}

export function showLayers() {
  const layers = layersOf(state.forecast, state.layers, Boolean(state.run), state.words);
  if (!layers.some(([name]) => name === state.layer)) state.layer = RATE;
  $("what").replaceChildren(...layers.map(([value, text]) => element("option", { value }, text)));
  $("what").value = state.layer;
}

let legendOf = null;

export function showLegend(frame) {
  const { layer } = frame;
  const kind = isProbability(layer) ? "legendProbability" : isSum(layer) ? "legendSum" : "legendTitle";
  const name = `${kind} ${state.words.language} ${state.forecast.forecast_id}`;
  if (legendOf === name) return; // a legend that is drawn again for each frame would make playing jerk
  legendOf = name;
  const { words, legend } = state;
  const classes = isProbability(layer)
    ? legend.probability_legend.map((step) => [step.colour, `${Math.round(100 * step.from_probability)}\u00a0%`, ""])
    : legend.legend.map((step) => [step.colour, words.plain(step.from_mmh), isSum(layer) ? "" : wordOf(step.from_mmh)]);
  const steps = classes.map(([colour, text, word]) => element("li", {}, element("i", { style: `background:${colour}` }), element("span", {}, text), element("small", {}, word)));
  const signs = [["no-radar", "noRadar"], ["inflow", "inflow"]].map(([sign, text]) => element("li", { class: `sign ${sign}` }, element("i"), element("span", {}, words.text(text))));
  $("legend-title").textContent = words.text(kind);
  $("legend").replaceChildren(...steps, ...signs);
}

// Light, moderate, heavy and very heavy by the German weather service's classes of the rate: below 2.5, to 10, to 50 mm/h.
const WORDS = new Map([[0.1, "light"], [2, "moderate"], [10, "heavy"], [30, "veryHeavy"]]);
const wordOf = (mmh) => (WORDS.has(mmh) ? state.words.text(WORDS.get(mmh)) : "");
