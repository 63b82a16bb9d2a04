// The sequence of pictures: two hours of scans, "now", and the leads of the forecast.

const PAST_MINUTES = 120;
const MINUTE_MS = 60_000;
const FAR_MS = 30 * MINUTE_MS;
const RATE = "rainfall_rate";
export const HOUR_AHEAD = "sum60";
export const HOUR_BEFORE = "past60";
export const CAME = "observed"; // of an archived forecast: what was observed at its times

const isoAt = (ms) => new Date(ms).toISOString().replace(".000Z", "Z");
const setOf = (times) => new Set((times || []).map((time) => Date.parse(time)));
const tilesOf = (layer, time, run) => `tiles/${layer}/${time}/{z}/{x}/{y}.png?run=${run}&scale=2`;

// Frames in order of time; `scanTimes` are the valid times (ISO) of stored scans, `listed` the layers of `/tiles` by name.
// A frame without a picture (no such scan, no such sum) has no `tiles` but keeps its place, so that equal distances on the
// slider are equal times.
export function framesOf(forecast, scanTimes, layer = RATE, listed = {}) {
  const reference = Date.parse(forecast.reference_time);
  const step = forecast.leads.length ? forecast.leads[0].lead_minutes : 5;
  const id = forecast.forecast_id;
  const scans = setOf(scanTimes).add(reference);
  const [ahead, before] = [setOf(listed[HOUR_AHEAD]?.forecast_times), setOf(listed[HOUR_BEFORE]?.observed_times)];
  const frame = (at, lead, kind, name, isThere, run = id) => {
    const time = isoAt(at);
    return { kind, time, lead, layer: name, tiles: isThere ? tilesOf(name, time, run) : null, key: `${kind} ${name} ${time} ${kind === "observed" ? isThere : id}` };
  };
  const frames = [];
  for (let lead = -Math.floor(PAST_MINUTES / step) * step; lead <= 0; lead += step) {
    const at = reference + lead * MINUTE_MS;
    if (layer !== HOUR_AHEAD) frames.push(frame(at, lead, "observed", RATE, scans.has(at)));
    else frames.push(lead < 0 ? frame(at, lead, "observed", HOUR_BEFORE, before.has(at)) : frame(at, lead, "forecast", HOUR_AHEAD, ahead.has(at)));
  }
  for (const { valid_time: time, lead_minutes: lead } of forecast.leads) {
    const at = Date.parse(time);
    if (layer === CAME) frames.push(frame(at, lead, "observed", RATE, scans.has(at), "latest"));
    else frames.push(frame(at, lead, "forecast", layer, layer !== HOUR_AHEAD || ahead.has(at)));
  }
  return frames;
}

// Minutes from the newest scan to a frame, which may be of an earlier forecast: it stays on the map until the next one is
// there, and is no longer "now" then.
export const minutesTo = (frame, forecast) => Math.round((Date.parse(frame.time) - Date.parse(forecast.reference_time)) / MINUTE_MS);

// Index of the newest scan: where the forecast begins.
export const nowIndex = (frames) => frames.findLastIndex((frame) => frame.lead <= 0);

// Index of the frame with the time nearest to the one that was shown, so that a new forecast does not jump; of the newest
// scan where no time is near: the frames are of another day.
export function sameTime(frames, time) {
  const at = Date.parse(time);
  const distance = (frame) => Math.abs(Date.parse(frame.time) - at);
  const nearest = frames.reduce((best, frame, index) => (distance(frame) < distance(frames[best]) ? index : best), 0);
  return distance(frames[nearest]) > FAR_MS ? nowIndex(frames) : nearest;
}

// Order in which the other frames are loaded: onwards from the wanted one, then from the start.
export function loadingOrder(count, wanted) {
  return Array.from({ length: count }, (_, step) => (wanted + step) % count);
}

// Which frame is on the screen. The wanted one appears only when its picture is there; until then the last one stays,
// with its own label.
export class Screen {
  constructor() {
    this.frames = [];
    this.wanted = 0;
    this.shown = null;
    this.states = new Map();
  }

  reset(frames, wanted) {
    this.frames = frames;
    this.wanted = wanted;
    const keys = new Set(frames.map((frame) => frame.key));
    for (const key of this.states.keys()) if (!keys.has(key)) this.states.delete(key);
    return this.update();
  }

  want(index) {
    this.wanted = Math.max(0, Math.min(index, this.frames.length - 1));
    return this.update();
  }

  // `state` is "ready", "failed" or undefined (the picture went away: the map was moved).
  mark(key, state) {
    if (state) this.states.set(key, state);
    else this.states.delete(key);
    return this.update();
  }

  stateOf(frame) {
    return frame.tiles === null ? "ready" : this.states.get(frame.key);
  }

  update() {
    const frame = this.frames[this.wanted];
    if (frame && this.stateOf(frame)) this.shown = frame;
    return this.shown;
  }

  get isLoading() {
    const frame = this.frames[this.wanted];
    return Boolean(frame) && !this.stateOf(frame);
  }

  isReady(index) {
    return Boolean(this.frames[index] && this.stateOf(this.frames[index]));
  }
}
