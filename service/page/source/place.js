// What the forecast says about one place: sentences, and bars of every lead with band and probabilities.

export const HOUR_MINUTES = 60;
const UNLIKELY = 0.05;
const LEAST_MM = 0.05; // less is written as less than 0.1 mm

const known = (row) => row.rate_mmh !== null && row.rate_mmh !== undefined;
export const leadsOf = (point) => point.series.filter((row) => row.lead_minutes > 0);

// Millimetres of the next hour; null where a lead of it is unknown.
export function sumOfHour(point) {
  const rows = leadsOf(point).filter((row) => row.lead_minutes <= HOUR_MINUTES);
  if (!rows.length || !rows.every(known)) return null;
  const step = rows.length > 1 ? rows[1].lead_minutes - rows[0].lead_minutes : rows[0].lead_minutes;
  return rows.reduce((sum, row) => sum + (row.rate_mmh * step) / HOUR_MINUTES, 0);
}

// The highest probability of the lowest threshold, with its time; null without probabilities.
export function likeliest(point) {
  let best = null;
  for (const row of leadsOf(point)) {
    const first = (row.probabilities || []).find((one) => one.probability !== null);
    if (first && (!best || first.probability > best.probability)) best = { ...first, time: row.valid_time, lead_minutes: row.lead_minutes };
  }
  return best;
}

const timeAfter = (point, minutes) => new Date(Date.parse(point.reference_time) + minutes * 60_000).toISOString();

// Start and end of the next rain with the probability of the start: those of `next_rain`, which belong together, else the
// leads' own without a probability.
export function nextRain(point) {
  const next = point.next_rain;
  if (!next || typeof next.start_minutes !== "number") return { start: point.next_rain_start, end: point.next_rain_end, probability: null };
  const end = typeof next.end_minutes === "number" ? timeAfter(point, next.end_minutes) : null;
  return { start: timeAfter(point, next.start_minutes), end, probability: next.start_minutes > 0 ? next.start_probability : null };
}

function rainsNow(point, start) {
  const isWet = point.observed && point.observed.rate_mmh >= point.rain_from_mmh;
  return isWet && (start === leadsOf(point)[0].valid_time || Date.parse(start) <= Date.parse(point.reference_time));
}

// What the first sentence states, in minutes after the newest scan: the start (0: it rains now) and the end of the next rain,
// with the probability; null where there is no such sentence.
export function statedRain(point) {
  const { start, end, probability } = nextRain(point);
  if (point.radar_coverage === "no coverage" || point.outlook !== "rain" || !start) return null;
  const minutes = (time) => (Date.parse(time) - Date.parse(point.reference_time)) / 60_000;
  return { start: rainsNow(point, start) ? 0 : minutes(start), end: end ? minutes(end) : null, probability };
}

function rainSentence(point, words) {
  const { start, end, probability } = nextRain(point);
  const until = end ? words.text("until", { end: words.clock(end) }) : words.text("rainOn");
  if (rainsNow(point, start)) return words.text("rainNow", { end: until });
  const sureness = typeof probability === "number" ? words.text("sureness", { percent: Math.round(100 * probability) }) : "";
  return `${words.text("rainFrom", { start: words.clock(start) })} ${until}${sureness}.`;
}

// The sum of the next hour: with a band where the members give one.
function sumSentence(point, words) {
  const amount = (point.amounts || []).find((one) => one.minutes === HOUR_MINUTES);
  if (amount && typeof amount.q50 === "number") {
    const [low, mm, high] = [amount.q10, amount.q50, amount.q90].map((value) => words.number(value, 1));
    if (amount.q90 >= LEAST_MM) return words.text("sumBand", { mm, low, high });
    return point.outlook === "rain" ? words.text("sumLittle") : null;
  }
  const sum = sumOfHour(point);
  if (sum === null || point.outlook !== "rain") return null;
  return sum < LEAST_MM ? words.text("sumLittle") : words.text("sum", { mm: words.number(sum, 1) });
}

export function sentences(point, words) {
  if (point.radar_coverage === "no coverage") return [words.text("outside")];
  const rows = leadsOf(point);
  const found = [];
  if (point.outlook === "rain" && nextRain(point).start) found.push(rainSentence(point, words));
  else if (point.outlook === "dry") found.push(words.text("dry", { end: words.clock(rows[rows.length - 1].valid_time) }));
  else found.push(words.text("unknown"));
  const best = likeliest(point);
  // "At all times" is no statement where some times are not known.
  if (best && best.probability < UNLIKELY && point.outlook !== "unknown") found.push(words.text("unlikely", { mmh: words.plain(best.threshold_mmh), percent: 100 * UNLIKELY }));
  else if (best && best.probability >= UNLIKELY) found.push(words.text("likely", { mmh: words.plain(best.threshold_mmh), percent: Math.round(100 * best.probability), time: words.clock(best.time) }));
  const sum = sumSentence(point, words);
  if (sum) found.push(sum);
  if (point.motion && point.motion.speed_kmh) {
    found.push(words.text("moves", { direction: words.direction(point.motion.towards_degrees), speed: Math.round(point.motion.speed_kmh) }));
  }
  return found;
}

/* ---------- bars ---------- */

const WIDTH = 360;
const RATES = { top: 8, height: 92 };
const CHANCES = { top: 118, height: 40 };
const LEFT = 30;
export const HEIGHT = 186;

// Square roots, so that drizzle shows beside a downpour.
const scaled = (mmh, most) => Math.sqrt(Math.max(0, mmh) / most);

export function axisTop(point) {
  const all = leadsOf(point).flatMap((row) => [row.rate_mmh, row.q90]).filter((value) => typeof value === "number");
  return [2, 5, 10, 20, 50, 100].find((most) => most >= Math.max(0, ...all)) || 200;
}

const rect = (x, y, width, height, name, more = "") => `<rect ${more} x="${x.toFixed(1)}" y="${y.toFixed(1)}" width="${width.toFixed(1)}" height="${Math.max(0, height).toFixed(1)}" class="${name}"/>`;
const line = (x1, y1, x2, y2, name) => `<line x1="${x1.toFixed(1)}" y1="${y1.toFixed(1)}" x2="${x2.toFixed(1)}" y2="${y2.toFixed(1)}" class="${name}"/>`;
const label = (x, y, text, anchor = "middle") => `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}">${text}</text>`;

// SVG of one place: rates with the band of 10 to 90 % above, the probability of the lowest threshold below. A lead that
// rests on no observation is hatched; one without a value has no bar but says "no data" by its background.
export function bars(point, words, selected = null) {
  const rows = leadsOf(point);
  const most = axisTop(point);
  const width = (WIDTH - LEFT) / Math.max(1, rows.length);
  const bottom = RATES.top + RATES.height;
  const at = (mmh) => bottom - RATES.height * scaled(mmh, most);
  const parts = [];
  for (const mmh of [most, most / 4]) parts.push(line(LEFT, at(mmh), WIDTH, at(mmh), "grid"), label(LEFT - 4, at(mmh) + 4, words.plain(mmh), "end"));
  parts.push(line(LEFT, bottom, WIDTH, bottom, "axis"));
  rows.forEach((row, index) => {
    const x = LEFT + index * width;
    const isSelected = Boolean(selected) && Date.parse(row.valid_time) === Date.parse(selected);
    if (isSelected) parts.push(rect(x, RATES.top - 6, width, CHANCES.top + CHANCES.height - RATES.top + 6, "selected"));
    if (!known(row)) parts.push(rect(x, RATES.top, width, RATES.height, "nothing"));
    else {
      if (row.known === false) parts.push(rect(x, RATES.top, width, RATES.height, "inflow", 'fill="url(#hatch)"'));
      if (row.rate_mmh > 0) parts.push(rect(x + width * 0.12, at(row.rate_mmh), width * 0.76, bottom - at(row.rate_mmh), "rate"));
      if (typeof row.q90 === "number" && row.q90 > 0) parts.push(line(x + width / 2, at(row.q90), x + width / 2, at(row.q10 || 0), "range"));
      if (typeof row.q50 === "number" && row.q50 > 0) parts.push(line(x + width * 0.25, at(row.q50), x + width * 0.75, at(row.q50), "median"));
    }
    const chance = (row.probabilities || []).find((one) => one.probability !== null);
    if (chance) {
      const height = CHANCES.height * chance.probability;
      parts.push(rect(x + width * 0.12, CHANCES.top + CHANCES.height - height, width * 0.76, height, "chance"));
    }
    if (row.lead_minutes % 30 === 0) {
      parts.push(line(x + width / 2, CHANCES.top + CHANCES.height, x + width / 2, CHANCES.top + CHANCES.height + 4, "axis"));
      parts.push(label(Math.min(x + width / 2, WIDTH - 18), HEIGHT - 10, words.clock(row.valid_time)));
    }
  });
  parts.push(line(LEFT, CHANCES.top + CHANCES.height, WIDTH, CHANCES.top + CHANCES.height, "axis"));
  // A fallback has no probabilities, and an empty axis would read as 0 %.
  if (rows.some((row) => (row.probabilities || []).some((one) => one.probability !== null))) {
    parts.push(line(LEFT, CHANCES.top, WIDTH, CHANCES.top, "grid"));
    parts.push(label(LEFT - 4, CHANCES.top + 4, "100", "end"), label(LEFT - 4, CHANCES.top + CHANCES.height + 4, "0 %", "end"));
  }
  const hatch = '<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><line x1="0" y1="0" x2="0" y2="6" class="hatch"/></pattern></defs>';
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${words.text("atPlace")}">${hatch}${parts.join("")}</svg>`;
}
