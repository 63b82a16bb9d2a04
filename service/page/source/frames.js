// The sequence of pictures: two hours of scans, "now", and the leads of the forecast.

const PAST_MINUTES = 120;
const MINUTE_MS = 60_000;

const isoAt = (ms) => new Date(ms).toISOString().replace(".000Z", "Z");

// Frames in order of time; `scanTimes` are the valid times (ISO) of stored scans. Without a scan a frame has no `time`d
// picture (`href` null) but keeps its place, so that equal distances on the slider are equal times.
export function framesOf(forecast, scanTimes, layer = "rainfall_rate") {
  const reference = Date.parse(forecast.reference_time);
  const step = forecast.leads.length ? forecast.leads[0].lead_minutes : 5;
  const stored = new Set(scanTimes.map((time) => Date.parse(time)));
  stored.add(reference);
  const frames = [];
  for (let minutes = -Math.floor(PAST_MINUTES / step) * step; minutes <= 0; minutes += step) {
    const at = reference + minutes * MINUTE_MS;
    const time = isoAt(at);
    const tiles = stored.has(at) ? `tiles/rainfall_rate/${time}/{z}/{x}/{y}.png?run=${forecast.forecast_id}&scale=2` : null;
    frames.push({ kind: "observed", time, lead: minutes, tiles, key: `observed ${time} ${tiles !== null}` });
  }
  for (const lead of forecast.leads) {
    const tiles = `tiles/${layer}/${lead.valid_time}/{z}/{x}/{y}.png?run=${forecast.forecast_id}&scale=2`;
    frames.push({ kind: "forecast", time: lead.valid_time, lead: lead.lead_minutes, tiles, key: `${layer} ${lead.valid_time} ${forecast.forecast_id}` });
  }
  return frames;
}

// Index of the newest scan: where observed ends and the forecast begins.
export const nowIndex = (frames) => frames.findLastIndex((frame) => frame.kind === "observed");

// Index of the frame with the time nearest to the one that was shown, so that a new forecast does not jump.
export function sameTime(frames, time) {
  const at = Date.parse(time);
  const distance = (frame) => Math.abs(Date.parse(frame.time) - at);
  return frames.reduce((best, frame, index) => (distance(frame) < distance(frames[best]) ? index : best), 0);
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
