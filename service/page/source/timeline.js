// The slider: which frame is on the map, its label, and playing.

import { $, element, say } from "./dom.js";
import { framesOf, HOUR_AHEAD, HOUR_BEFORE, loadingOrder, minutesTo, nowIndex, sameTime, Screen } from "./frames.js";
import { showLegend } from "./layers.js";
import { opened, state } from "./shared.js";

const STEP_MS = 300;
const CALM_STEP_MS = 1000; // for readers who prefer reduced motion
const HOLD_STEPS = 4; // the last picture stays a little longer
const HOURS = { [HOUR_AHEAD]: [0, 60], [HOUR_BEFORE]: [-60, 0] }; // period of a sum, in minutes after its time
const AT_A_TIME = 2; // frames that load together: a browser has six connections to a host, and a place needs one

export const screen = new Screen();
const around = { map: null, onTime: () => {}, isBusy: () => false };
const playing = { timer: 0, held: 0 };
let shownTime = null;
let drawn = 0;

// `map` shows the frames, `onTime(time)` hears of each frame that appears, and while `isBusy()` no further one is loaded.
export function startTimeline(parts) {
  Object.assign(around, parts);
}

export function setFrames() {
  const before = screen.frames[screen.wanted];
  const wasNow = !before || screen.wanted === nowIndex(screen.frames);
  const frames = framesOf(state.forecast, state.scans, state.layer, state.layers);
  const asked = before ? (wasNow ? null : before.time) : opened.time;
  const wanted = asked ? sameTime(frames, asked) : nowIndex(frames);
  screen.reset(frames, wanted);
  const keys = new Set(frames.map((frame) => frame.key));
  around.map.forget((key) => keys.has(key));
  $("slider").max = frames.length - 1;
  showTicks();
  show(wanted);
}

export function show(index) {
  screen.want(index);
  $("slider").value = screen.wanted;
  draw();
  loadMore();
}

// Load the wanted frame first, then the others, a few at a time.
export function loadMore() {
  if (!state.hasGrid || around.isBusy()) return;
  let loading = 0;
  for (const index of loadingOrder(screen.frames.length, screen.wanted)) {
    const frame = screen.frames[index];
    if (screen.stateOf(frame)) continue;
    around.map.load(frame);
    if (!screen.stateOf(frame) && ++loading >= AT_A_TIME) return;
  }
}

export function draw() {
  cancelAnimationFrame(drawn);
  drawn = requestAnimationFrame(() => {
    const frame = screen.shown;
    around.map.reveal(frame);
    $("stage").classList.toggle("loading", screen.isLoading);
    const wanted = screen.frames[screen.wanted];
    $("loading").hidden = !screen.isLoading;
    if (screen.isLoading) say("loading", state.words.text("loading", { time: state.words.clock(wanted.time) }));
    if (frame) showLabel(frame);
    loadMore();
  });
}

// The time of the wanted frame; null at the newest scan.
export function wantedTime() {
  const frame = screen.frames[screen.wanted];
  return !frame || screen.wanted === nowIndex(screen.frames) ? null : frame.time;
}

// A scan that is too old, or of an archived forecast, is not called "now".
const nowWords = () => state.words.text(state.isOld ? "lastScan" : "now");

function showLabel(frame) {
  const { words } = state;
  const time = words.clock(frame.time);
  const day = words.isToday(frame.time) ? "" : words.day(frame.time);
  $("label").className = `label ${frame.kind}${day ? " dated" : ""}`;
  $("day").textContent = day;
  $("kind").textContent = words.text(frame.kind);
  const period = HOURS[frame.layer] ? HOURS[frame.layer].map((minutes) => words.clock(Date.parse(frame.time) + minutes * 60_000)).join("–") : time;
  $("when").textContent = `${period} ${words.zoneName(frame.time)}`;
  const minutes = minutesTo(frame, state.forecast);
  $("offset").textContent = minutes === 0 ? nowWords() : `${minutes > 0 ? "+" : "−"}${Math.abs(minutes)} min`;
  const isMissing = frame.tiles === null;
  const failed = screen.stateOf(frame) === "failed";
  $("absent").hidden = !(isMissing || failed);
  if (isMissing || failed) $("absent").textContent = words.text(isMissing ? (frame.kind === "observed" ? "noScan" : "notOfThisTime") : "missing", { time });
  showLegend(frame);
  $("slider").setAttribute("aria-valuetext", `${$("kind").textContent} ${$("when").textContent} ${$("offset").textContent}`);
  if (shownTime !== frame.time) around.onTime((shownTime = frame.time));
}

export function showTicks() {
  const { words } = state;
  const { frames } = screen;
  const last = frames.length - 1;
  const now = nowIndex(frames);
  $("track").style.setProperty("--now", `${(100 * now) / last}%`);
  const ticks = frames.flatMap((frame, index) => (frame.lead % 30 === 0 && index !== now ? [[index, words.clock(frame.time)]] : []));
  const tick = (index, text, name) => element("span", { class: `${name}${frames[index].lead % 60 === 0 ? "" : " half"}`, style: `left:${(100 * index) / last}%` }, text);
  $("ticks").replaceChildren(...ticks.map(([index, text]) => tick(index, text, "tick")), tick(now, state.isOld ? words.clock(frames[now].time) : words.text("now"), "tick now"));
}

export function togglePlay() {
  if (playing.timer) return stop();
  playing.held = 0;
  const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  playing.timer = setInterval(() => {
    if (screen.isLoading) return;
    const last = screen.wanted === screen.frames.length - 1;
    if (last && playing.held++ < HOLD_STEPS) return;
    playing.held = 0;
    show(last ? 0 : screen.wanted + 1);
  }, isCalm ? CALM_STEP_MS : STEP_MS);
  showPlay();
}

export function stop() {
  clearInterval(playing.timer);
  playing.timer = 0;
  showPlay();
}

export function showPlay() {
  $("play").textContent = playing.timer ? "❚❚" : "▶";
  $("play").setAttribute("aria-label", state.words.text(playing.timer ? "pause" : "play"));
}
