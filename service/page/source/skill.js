// What the verification says, worked out from the answer of /verification: sentences, curves, reliability.

const BASELINES = ["persistence", "extrapolation"];
const SAID_AT = [30, 60]; // lead minutes of the sentences
export const LEAST_CELLS = 2000; // as `enough` of /verification/reliability: from fewer no record is claimed

export const isBaseline = (model) => BASELINES.includes(model);

// Models in the order of columns and curves: the forecast's own first.
export const modelsOf = (scores) => [...new Set(scores.map((row) => row.model))].sort((a, b) => BASELINES.indexOf(a) - BASELINES.indexOf(b));

export function curvesOf(scores, threshold, score = "csi") {
  const rows = scores.filter((row) => row.threshold_mmh === threshold && row[score] !== null).sort((a, b) => a.lead_minutes - b.lead_minutes);
  return modelsOf(scores).map((model) => ({ model, points: rows.filter((row) => row.model === model).map((row) => [row.lead_minutes, row[score]]) }));
}

// Sentences on one threshold: the share of right cells beside both baselines, and at how many leads it is ahead of both.
export function skillSentences(scores, threshold, words) {
  const rows = scores.filter((row) => row.threshold_mmh === threshold && row.csi !== null);
  const own = rows.filter((row) => !isBaseline(row.model));
  const value = (model, lead) => rows.find((row) => row.model === model && row.lead_minutes === lead)?.csi;
  const found = [];
  for (const row of own.filter((one) => SAID_AT.includes(one.lead_minutes))) {
    const beside = BASELINES.filter((model) => value(model, row.lead_minutes) !== undefined).map((model) => words.text("besideModel", { model: words.model(model), percent: percent(value(model, row.lead_minutes)) }));
    found.push(words.text(row.enough ? "skillSays" : "skillSaysFew", { lead: row.lead_minutes, mmh: words.plain(threshold), percent: percent(row.csi), beside: beside.join(words.text("and")) }));
  }
  const compared = own.filter((row) => BASELINES.every((model) => value(model, row.lead_minutes) !== undefined));
  const ahead = compared.filter((row) => BASELINES.every((model) => row.csi > value(model, row.lead_minutes)));
  if (compared.length) found.push(words.text("aheadOf", { ahead: ahead.length, leads: compared.length }));
  return found;
}

const percent = (value) => Math.round(100 * value);

// Bins of stated probability with the observed frequency, pooled over the groups of leads of /verification/reliability.
export function reliabilityBins(groups, threshold) {
  const bins = new Map();
  for (const one of groups.filter((group) => group.threshold_mmh === threshold).flatMap((group) => group.bins)) {
    const bin = bins.get(one.from_probability) || { from: one.from_probability, cells: 0, events: 0, sum: 0 };
    bin.cells += one.cells;
    bin.events += one.events;
    bin.sum += one.stated * one.cells;
    bins.set(bin.from, bin);
  }
  return [...bins.values()].sort((a, b) => a.from - b.from).map(({ from, cells, events, sum }) => ({ from, cells, events, stated: sum / cells, seen: events / cells }));
}

// The record of statements like this one: same tenth of the probability, same threshold, leads of the same group; null where
// too few have been verified.
export function recordOf(groups, { threshold_mmh, probability, lead_minutes }) {
  const group = groups.filter((one) => one.threshold_mmh === threshold_mmh && one.to_minutes >= lead_minutes).sort((a, b) => a.to_minutes - b.to_minutes)[0];
  const found = group?.bins.findLast((bin) => bin.from_probability <= probability + 1e-9);
  return found && found.enough && probability <= found.to_probability + 1e-9 ? found : null;
}

export function recordWords(groups, statement, words) {
  const record = recordOf(groups, statement);
  if (!record) return words.text("recordNone");
  return words.text("record", { low: percent(record.from_probability), high: percent(record.to_probability), seen: percent(record.observed), cells: words.number(record.cells) });
}

const LEAST_CASES = 100;

// How often a start, and an end, this far ahead was right within ten minutes: of starts with a probability of the same fifth
// where there are enough, else of all; empty without a statement, or where too few have been verified.
export function rainTimesWords(record, stated, words) {
  if (!record || !stated) return "";
  const group = (groups, minutes) => groups.find((one) => one.to_minutes >= minutes);
  const found = [];
  if (stated.start > 0) {
    const starts = group(record.starts, stated.start);
    const same = starts?.bins.findLast((bin) => typeof stated.probability === "number" && bin.from_probability <= stated.probability + 1e-9);
    found.push(["startRecord", same && same.cases >= LEAST_CASES ? same : starts]);
  }
  if (stated.end !== null) found.push(["endRecord", group(record.ends, stated.end)]);
  return found.filter(([, one]) => one && one.cases >= LEAST_CASES)
    .map(([name, one]) => words.text(name, { percent: percent(one.right / one.cases), cases: words.number(one.cases) })).join(" ");
}

// One sentence on the reliability of all leads: of the bin of 60 to 80 %, or of the highest that has enough cells.
export function reliabilitySentence(bins, mmh, words) {
  const best = bins.filter((bin) => bin.cells >= LEAST_CELLS && bin.from > 0).sort((a, b) => Math.abs(a.stated - 0.7) - Math.abs(b.stated - 0.7))[0];
  return best ? words.text("reliabilitySays", { stated: percent(best.stated), seen: percent(best.seen), mmh: words.plain(mmh) }) : words.text("recordNone");
}
