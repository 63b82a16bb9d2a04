// Two diagrams of the verification as SVG: a score by lead time, and reliability.

import { LEAST_CELLS } from "./skill.js"; // a bin with fewer is drawn as a ring

const SIZE = { width: 360, height: 190, left: 34, right: 8, top: 10, bottom: 30 };
const SQUARE = { width: 260, height: 230, left: 40, right: 10, top: 10, bottom: 40 };

const HALF_LABEL = 19; // half of "+150" in the widest of the fonts: the last label ends within the diagram

const fixed = (value) => value.toFixed(1);
const text = (x, y, words, anchor = "middle") => `<text x="${fixed(x)}" y="${fixed(y)}" text-anchor="${anchor}">${words}</text>`;
const line = (x1, y1, x2, y2, name) => `<line x1="${fixed(x1)}" y1="${fixed(y1)}" x2="${fixed(x2)}" y2="${fixed(y2)}" class="${name}"/>`;

function axes(size, most) {
  return {
    x: (value) => size.left + ((size.width - size.left - size.right) * value) / most,
    y: (value) => size.height - size.bottom - (size.height - size.top - size.bottom) * value,
  };
}

const svg = (size, label, parts) => `<svg viewBox="0 0 ${size.width} ${size.height}" role="img" aria-label="${label}">${parts.join("")}</svg>`;

// `curves`: [{ model, points: [[lead, score], ...] }]; the first is drawn thick, the others each with dashes of their own.
export function scoreChart(curves, words) {
  const most = Math.max(30, ...curves.flatMap((curve) => curve.points.map(([lead]) => lead)));
  const { x, y } = axes(SIZE, most);
  const parts = [0, 0.25, 0.5, 0.75, 1].flatMap((value) => [line(x(0), y(value), x(most), y(value), value ? "grid" : "axis"), text(x(0) - 5, y(value) + 4, words.plain(value), "end")]);
  for (let lead = 30; lead <= most; lead += 30) parts.push(text(Math.min(x(lead), SIZE.width - HALF_LABEL), SIZE.height - 14, `+${lead}`));
  parts.push(text(x(most / 2), SIZE.height - 1, words.text("minutesAhead")));
  curves.forEach((curve, index) => parts.push(`<polyline points="${curve.points.map(([lead, value]) => `${fixed(x(lead))},${fixed(y(value))}`).join(" ")}" class="curve curve-${index}"/>`));
  return svg(SIZE, words.text("chartScores"), parts);
}

// `bins`: [{ stated, seen, cells }] from 0 to 1; on the diagonal the probabilities are right.
export function reliabilityChart(bins, words) {
  const { x, y } = axes(SQUARE, 1);
  const parts = [0, 0.5, 1].flatMap((value) => [
    line(x(0), y(value), x(1), y(value), value ? "grid" : "axis"), text(x(0) - 5, y(value) + 4, `${value * 100} %`, "end"), text(x(value), y(0) + 15, `${value * 100} %`)]);
  parts.push(line(x(0), y(0), x(1), y(1), "diagonal"), text(x(0.5), SQUARE.height - 6, words.text("stated")));
  parts.push(`<text transform="translate(11 ${fixed(y(0.5))}) rotate(-90)" text-anchor="middle">${words.text("seen")}</text>`);
  parts.push(`<polyline points="${bins.map((bin) => `${fixed(x(bin.stated))},${fixed(y(bin.seen))}`).join(" ")}" class="curve curve-0"/>`);
  for (const bin of bins) parts.push(`<circle cx="${fixed(x(bin.stated))}" cy="${fixed(y(bin.seen))}" r="4" class="${bin.cells < LEAST_CELLS ? "few" : "many"}"/>`);
  return svg(SQUARE, words.text("chartReliability"), parts);
}
