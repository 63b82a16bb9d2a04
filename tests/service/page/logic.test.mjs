// What the page works out, without a browser: frames, the label that never runs ahead, a place, search, address, words.

import assert from "node:assert/strict";
import test from "node:test";
import { ageOf } from "../../../service/page/source/age.js";
import { receiptOf } from "../../../service/page/source/api.js";
import { dayQuery, readAddress, writeAddress } from "../../../service/page/source/address.js";
import { framesOf, loadingOrder, minutesTo, nowIndex, sameTime, Screen } from "../../../service/page/source/frames.js";
import { axisTop, bars, likeliest, sentences, statedRain, sumOfHour } from "../../../service/page/source/place.js";
import { reliabilityChart, scoreChart } from "../../../service/page/source/charts.js";
import { rainTimesWords, recordOf, recordWords, reliabilityBins, reliabilitySentence, skillSentences } from "../../../service/page/source/skill.js";
import { findPlaces, nameIn, nearestPlace } from "../../../service/page/source/search.js";
import { reasonOf } from "../../../service/page/source/reason.js";
import { creditWords, noteWords } from "../../../service/page/source/translated.js";
import { LANGUAGES, Words } from "../../../service/page/source/words.js";

// Words with plain spaces: where numbers and units stay together has a test of its own.
class Spaced extends Words {
  text(...asked) { return super.text(...asked).replaceAll("\u00a0", " "); }
}

const REFERENCE = "2026-06-01T12:00:00Z";
const at = (minutes) => new Date(Date.parse(REFERENCE) + minutes * 60_000).toISOString().replace(".000Z", "Z");
const forecastOf = (step, count) => ({
  forecast_id: "f", reference_time: REFERENCE,
  leads: Array.from({ length: count }, (_, index) => ({ lead_minutes: step * (index + 1), valid_time: at(step * (index + 1)) })),
});
const scansOf = (step) => Array.from({ length: 120 / step + 1 }, (_, index) => at(-step * index));

test("two hours of scans and two and a half of forecast lie at equal distances, now between them", () => {
  const frames = framesOf(forecastOf(5, 30), scansOf(5));
  assert.equal(frames.length, 25 + 30);
  assert.equal(nowIndex(frames), 24);
  assert.deepEqual(frames.map((frame) => frame.lead), Array.from({ length: 55 }, (_, index) => 5 * (index - 24)));
  assert.ok(frames.every((frame) => frame.time === at(frame.lead)));
});

test("a forecast of half hours has its own steps", () => {
  const frames = framesOf(forecastOf(30, 5), scansOf(30));
  assert.deepEqual(frames.map((frame) => frame.lead), [-120, -90, -60, -30, 0, 30, 60, 90, 120, 150]);
});

test("a scan that is not stored keeps its place and has no picture", () => {
  const frames = framesOf(forecastOf(5, 1), scansOf(5).filter((time) => time !== at(-40)));
  const missing = frames.filter((frame) => frame.tiles === null);
  assert.deepEqual(missing.map((frame) => frame.lead), [-40]);
});

test("another layer changes the forecast's pictures and not the observed ones", () => {
  const frames = framesOf(forecastOf(5, 2), scansOf(5), "probability_of_exceedance_0.5");
  assert.ok(frames[24].tiles.startsWith("tiles/rainfall_rate/"));
  assert.ok(frames[25].tiles.startsWith("tiles/probability_of_exceedance_0.5/"));
});

test("the label stays with the picture until the wanted one is there", () => {
  const frames = framesOf(forecastOf(5, 2), scansOf(5));
  const screen = new Screen();
  assert.equal(screen.reset(frames, 24), null);
  screen.mark(frames[24].key, "ready");
  assert.equal(screen.shown.lead, 0);
  assert.equal(screen.want(25).lead, 0);
  assert.ok(screen.isLoading);
  screen.mark(frames[26].key, "ready"); // another one comes first: nothing changes
  assert.equal(screen.shown.lead, 0);
  assert.equal(screen.mark(frames[25].key, "ready").lead, 5);
  assert.ok(!screen.isLoading);
});

test("a picture that went away is loading again, and a missing scan needs none", () => {
  const frames = framesOf(forecastOf(5, 1), [at(0)]);
  const screen = new Screen();
  screen.reset(frames, 24);
  screen.mark(frames[24].key, "ready");
  screen.mark(frames[24].key, undefined);
  assert.ok(screen.isLoading);
  assert.equal(screen.want(0).tiles, null);
});

test("a new forecast keeps the time that was shown", () => {
  const frames = framesOf(forecastOf(5, 30), scansOf(5));
  const next = { ...forecastOf(5, 30), reference_time: at(15) };
  assert.deepEqual([24, 27, 30].map((index) => minutesTo(frames[index], next)), [-15, 0, 15]); // the scan before is not "now"
  assert.equal(frames[sameTime(frames, at(62))].lead, 60);
  assert.equal(frames[sameTime(frames, at(-125))].lead, -120); // it has just left the slider
  assert.equal(frames[sameTime(frames, at(-24 * 60))].lead, 0); // of another day: the newest scan
  assert.deepEqual(loadingOrder(4, 2), [2, 3, 0, 1]);
});

const row = (minutes, rate, more = {}) => ({ lead_minutes: minutes, valid_time: at(minutes), rate_mmh: rate, known: true, probabilities: [{ threshold_mmh: 0.1, probability: 0.3 }], ...more });
const pointOf = (series, more = {}) => ({ radar_coverage: "ok", outlook: "rain", next_rain_start: null, next_rain_end: null, rain_from_mmh: 0.1, observed: null, series, ...more });
const english = new Spaced("en", true);

test("the sum of the next hour counts its leads alone, and is unknown with one of them", () => {
  const series = Array.from({ length: 30 }, (_, index) => row(5 * (index + 1), 12));
  assert.ok(Math.abs(sumOfHour(pointOf(series)) - 12) < 1e-9);
  series[3] = row(20, null);
  assert.equal(sumOfHour(pointOf(series)), null);
});

test("sentences name start, end, probability and sum", () => {
  const series = Array.from({ length: 12 }, (_, index) => row(5 * (index + 1), index === 3 ? 6 : 0));
  series[3].probabilities[0].probability = 0.8;
  const point = pointOf(series, { next_rain_start: at(20), next_rain_end: at(25) });
  assert.deepEqual(sentences(point, english), [
    "Rain from about 12:20 until about 12:25.", "Highest probability of rain (≥ 0.1 mm/h): 80 %, at 12:20.", "About 0.5 mm in the next hour.",
  ]);
  assert.equal(likeliest(point).time, at(20));
  const now = { ...point, observed: { rate_mmh: 1 }, next_rain_start: at(5) };
  assert.equal(sentences(now, english)[0], "It rains now, until about 12:25.");
  assert.match(sentences({ ...now, next_rain_start: at(20) }, english)[0], /^Rain from about 12:20/); // a dry time comes first
  assert.match(sentences(point, new Words("de", true))[0], /^Regen ab etwa 12:20 bis etwa 12:25/);
});

test("no coverage and unknown inflow are never dry", () => {
  const series = [row(5, 0, { known: false })];
  assert.deepEqual(sentences(pointOf(series, { radar_coverage: "no coverage", outlook: "unknown" }), english), ["No radar coverage at this place."]);
  const partly = [row(5, 0), row(10, 0, { known: false, probabilities: [] })];
  partly[0].probabilities[0].probability = 0.02;
  const inflow = sentences(pointOf(partly, { outlook: "unknown" }), english);
  assert.match(inflow[0], /^No statement/);
  assert.ok(!inflow.some((sentence) => /at all times/.test(sentence)), "some times are not known");
  const svg = bars(pointOf([row(5, 0, { known: false }), row(10, null)]), english);
  assert.equal(svg.match(/class="inflow"/g).length, 1);
  assert.equal(svg.match(/class="nothing"/g).length, 1);
  assert.match(svg, />0 %</);
  assert.doesNotMatch(bars(pointOf([row(5, 1, { probabilities: [] })]), english), />0 %</); // a fallback states none
});

test("bars have a band only where the answer has quantiles", () => {
  assert.ok(!bars(pointOf([row(5, 1)]), english).includes('class="range"'));
  assert.ok(bars(pointOf([row(5, 1, { q10: 0.2, q50: 0.9, q90: 3 })]), english).includes('class="range"'));
  assert.equal(axisTop(pointOf([row(5, 1, { q90: 7 })])), 10);
});

test("a place has the name of the reader's language where the list has it", () => {
  const [munich, cologne, berlin] = [["Munich", "DE", 48.1, 11.6, 1260, "München", "de"], ["Köln", "DE", 50.9, 7, 964, "Cologne", "en"], ["Berlin", "DE", 52.5, 13.4, 3426]];
  assert.deepEqual([munich, cologne, berlin].map((place) => nameIn(place, "de")), ["München", "Köln", "Berlin"]);
  assert.deepEqual([munich, cologne, berlin].map((place) => nameIn(place, "en")), ["Munich", "Cologne", "Berlin"]);
  assert.equal(nearestPlace([munich], 48.1, 11.6, "de").name, "München");
});

const PLACES = [["Berlin", "DE", 52.524, 13.411, 3426], ["Köln", "DE", 50.933, 6.95, 964, "Cologne"], ["Bad Köstritz", "DE", 50.93, 12.0, 3.7], ["Gießen", "DE", 50.587, 8.678, 74.4]];

test("places are found without accents, by other names, and by later words", () => {
  const names = (text) => findPlaces(PLACES, text).map(([name]) => name);
  assert.deepEqual(names("koln"), ["Köln"]);
  assert.deepEqual(names("COLO"), ["Köln"]);
  assert.deepEqual(names("kö"), ["Köln", "Bad Köstritz"]);
  assert.deepEqual(names("giess"), ["Gießen"]);
  assert.deepEqual(names(" "), []);
  assert.deepEqual(names("xyz"), []);
  const south = [[11, 47], [13, 47], [13, 51], [11, 51]]; // the map's own area holds Bad Köstritz alone
  assert.deepEqual(findPlaces(PLACES, "kö", 8, south).map(([name]) => name), ["Bad Köstritz", "Köln"]);
  assert.deepEqual(findPlaces(PLACES, "kö", 1, south).map(([name]) => name), ["Bad Köstritz"]);
  assert.equal(nearestPlace(PLACES, 52.5, 13.4).name, "Berlin");
  assert.equal(nearestPlace(PLACES, 55, 13.4), null);
});

test("an address holds place, view, time and layer, and nonsense in it is left out", () => {
  const shown = { place: { lat: 52.52, lon: 13.405 }, view: { lat: 51, lon: 10.5, zoom: 7 }, time: at(60), layer: "probability_of_exceedance_0.5", run: "d0145b4d-23a6-5f12-846c-fcbfad6fc7d1" };
  assert.deepEqual(readAddress(writeAddress(shown)), shown);
  assert.deepEqual(readAddress("#lat=99&lon=3&view=a,b&time=soon&run=x"), { place: null, view: null, time: null, layer: null, run: null });
});

test("both languages have the same words, and a slowed replay is named in each", () => {
  assert.deepEqual(Object.keys(LANGUAGES.de), Object.keys(LANGUAGES.en));
  const holes = (text) => (text.match(/\{\w+\}/g) || []).sort();
  for (const [name, text] of Object.entries(LANGUAGES.en)) assert.deepEqual(holes(LANGUAGES.de[name]), holes(text), name);
  const state = "slowed down to 7.5 minutes per minute because a forecast takes 40 s (20 minutes per minute were asked for)";
  assert.equal(english.pace(state), "Slowed down to 7.5 minutes per minute: a forecast takes 40 s.");
  assert.equal(new Spaced("de", true).pace(state), "Verlangsamt auf 7,5 Minuten je Minute: Eine Vorhersage dauert 40 s.");
  assert.equal(english.pace("waiting for the first forecast"), "Waiting for the first forecast.");
});

test("every number of a sentence is written by the reader's language", () => {
  assert.equal(new Words("de", true).plain(0.5), "0,5");
  assert.equal(english.plain(0.5), "0.5");
});

test("an unknown language is English, and directions have eight names", () => {
  assert.equal(new Words("fr", true).language, "en");
  assert.deepEqual([0, 44, 90, 359, -45].map((degrees) => english.direction(degrees)), ["N", "NE", "E", "N", "NW"]);
});

test("the sum of an hour is that before a past scan and that after now, where the service has one", () => {
  const listed = { sum60: { forecast_times: [at(0), at(5)] }, past60: { observed_times: [at(-5)] } };
  const frames = framesOf(forecastOf(5, 2), scansOf(5), "sum60", listed);
  const shown = frames.filter((frame) => frame.tiles).map((frame) => [frame.lead, frame.kind, frame.layer]);
  assert.deepEqual(shown, [[-5, "observed", "past60"], [0, "forecast", "sum60"], [5, "forecast", "sum60"]]);
  assert.equal(frames[nowIndex(frames)].lead, 0);
});

test("an archived forecast can be laid beside what was observed at its times", () => {
  const frames = framesOf(forecastOf(5, 3), [...scansOf(5), at(5), at(15)], "observed");
  assert.deepEqual(frames.slice(25).map((frame) => [frame.kind, Boolean(frame.tiles)]), [["observed", true], ["observed", false], ["observed", true]]);
  assert.ok(frames[25].tiles.includes("tiles/rainfall_rate/") && frames[25].tiles.includes("run=latest"));
  assert.equal(nowIndex(frames), 24);
});

test("start and end of the rain belong to its probability", () => {
  const series = [row(5, 0), row(10, 0.4), row(15, 0)];
  const next_rain = { start_minutes: 20, start_probability: 0.8, end_minutes: 70, end_probability: 0.6, basis: "members" };
  const point = pointOf(series, { reference_time: REFERENCE, next_rain, next_rain_start: at(10), next_rain_end: at(15) });
  assert.equal(sentences(point, english)[0], "Rain from about 12:20 until about 13:10, 80 %.");
  const wet = { ...point, observed: { rate_mmh: 1 }, next_rain: { ...next_rain, start_minutes: 0 } };
  assert.equal(sentences(wet, english)[0], "It rains now, until about 13:10.");
  assert.match(sentences({ ...point, next_rain: { ...next_rain, end_minutes: null } }, english)[0], /until the end of the forecast, 80 %\.$/);
});

test("the sum of the hour has the band of the members where there is one", () => {
  const amounts = [{ minutes: 60, q10: 0.2, q50: 0.5, q90: 1.44 }, { minutes: 120, q10: 9, q50: 9, q90: 9 }];
  assert.ok(sentences(pointOf([row(5, 1)], { next_rain_start: at(5), amounts }), english).includes("0.5 mm in the next hour (10 to 90 %: 0.2 to 1.4 mm)."));
  const little = { amounts: [{ minutes: 60, q10: 0, q50: 0, q90: 0.04 }], next_rain_start: at(5) };
  assert.ok(sentences(pointOf([row(5, 1)], little), english).includes("Less than 0.1 mm in the next hour."));
  assert.ok(!sentences(pointOf([row(5, 0)], { ...little, outlook: "dry" }), english).some((text) => text.includes("next hour")));
});

test("a sum that rounds to nothing is not written as 0.0 mm", () => {
  const point = pointOf([row(5, 0.1), row(10, 0)], { next_rain_start: at(5) });
  assert.ok(sentences(point, english).includes("Less than 0.1 mm in the next hour."));
});

test("times of a place are in its own zone, whatever the reader's", () => {
  const berlin = new Words("en", false, "Europe/Berlin");
  assert.equal(berlin.clock(REFERENCE), "14:00");
  assert.equal(new Words("en", false).inZone("Asia/Tokyo").clock(REFERENCE), "21:00");
  assert.equal(new Words("en", true).inZone("Asia/Tokyo").clock(REFERENCE), "12:00"); // UTC was asked for
});

const score = (model, lead, csi, enough = true) => ({ model, lead_minutes: lead, threshold_mmh: 0.5, csi, enough });

test("the verification is told in sentences, with both baselines", () => {
  const rows = [score("default", 30, 0.6), score("persistence", 30, 0.4), score("extrapolation", 30, 0.55), score("default", 60, 0.3, false), score("persistence", 60, 0.2), score("extrapolation", 60, 0.35)];
  const [half, hour, ahead] = skillSentences(rows, 0.5, english);
  assert.equal(half, "30 minutes ahead, 60 % of the grid cells with rain of 0.5 mm/h or more, forecast or observed, were right (persistence: 40 %, extrapolation: 55 %).");
  assert.match(hour, /too little rain to compare/);
  assert.equal(ahead, "Better than both baselines at 1 of 2 lead times.");
  assert.deepEqual(skillSentences(rows, 5, english), []);
});

const bin = (tenth, cells, events, stated) => ({ from_probability: tenth / 10, to_probability: (tenth + 1) / 10, cells, events, stated, observed: events / cells, enough: cells >= 2000 });
const group = (to, ...bins) => ({ threshold_mmh: 0.1, to_minutes: to, bins });

test("reliability pools the cells of the leads, and not their ratios", () => {
  const groups = [group(30, bin(8, 1000, 1000, 0.8)), group(60, bin(8, 3000, 600, 0.88)), { ...group(60, bin(8, 9, 9, 0.8)), threshold_mmh: 5 }];
  const [one] = reliabilityBins(groups, 0.1);
  assert.equal(one.cells, 4000);
  assert.equal(one.seen, 0.4);
  assert.ok(Math.abs(one.stated - 0.86) < 1e-9);
  assert.ok(reliabilityChart(reliabilityBins(groups, 0.1), english).includes("<polyline"));
});

test("the record of a statement is that of its tenth, threshold and lead, and needs enough cells", () => {
  const groups = [group(150, bin(8, 9000, 900, 0.85)), group(30, bin(7, 199, 100, 0.75), bin(8, 5000, 4000, 0.85), bin(9, 2000, 1900, 0.97))];
  const record = (probability, lead_minutes) => recordOf(groups, { threshold_mmh: 0.1, probability, lead_minutes });
  assert.equal(record(0.8, 20).observed, 0.8);
  assert.equal(record(0.85, 120).observed, 0.1);
  assert.equal(record(1, 5).observed, 0.95);
  assert.equal(record(0.75, 20), null);
  assert.equal(record(0.3, 20), null);
  assert.equal(record(0.8, 155), null);
  assert.match(recordWords(groups, { threshold_mmh: 0.1, probability: 0.8, lead_minutes: 20 }, english), /said 80 to 90 % .* right in 80 % of 5,000 grid cells/);
  assert.match(recordWords(groups, { threshold_mmh: 0.1, probability: 0.75, lead_minutes: 20 }, english), /not known yet/);
});

test("curves leave out undefined scores and never leave the diagram", () => {
  const chart = scoreChart([{ model: "default", points: [[5, 1], [150, 0]] }], english);
  const [, points] = /points="([^"]+)"/.exec(chart);
  for (const pair of points.split(" ")) assert.ok(pair.split(",").every((value, axis) => value >= 0 && value <= [360, 190][axis]));
});

test("a bin with fewer cells than the interface claims a record from is a ring and no sentence", () => {
  const bins = reliabilityBins([group(30, bin(7, 1999, 1400, 0.7))], 0.1);
  assert.ok(reliabilityChart(bins, english).includes('class="few"'));
  assert.match(reliabilitySentence(bins, 0.1, english), /not known yet/);
  const enough = reliabilityBins([group(30, bin(7, 2000, 1400, 0.7))], 0.1);
  assert.ok(reliabilityChart(enough, english).includes('class="many"'));
  assert.doesNotMatch(reliabilitySentence(enough, 0.1, english), /not known yet/);
});

test("the service worker forgets lists of scans, of which each forecast requests another", async () => {
  const listeners = {};
  const urls = [...Array.from({ length: 30 }, (_, number) => `http://here/scans?start=${number}`), "http://here/readyz", "http://here/nowcast/latest"];
  const cache = { keys: async () => urls.map((url) => ({ url })), delete: async ({ url }) => urls.splice(urls.indexOf(url), 1) };
  globalThis.self = { registration: { scope: "http://here/" }, addEventListener: (name, listener) => { listeners[name] = listener; } };
  globalThis.caches = { open: async (name) => (name.startsWith("answers") ? cache : { keys: async () => [] }) };
  await import("../../../service/page/source/sw.js");
  let done;
  listeners.message({ data: { keep: "00000000-0000-0000-0000-000000000000" }, waitUntil: (promise) => { done = promise; } });
  await done;
  const scans = urls.filter((url) => url.includes("scans"));
  assert.deepEqual([scans.length, scans.at(-1)], [8, "http://here/scans?start=29"]);
  assert.ok(urls.includes("http://here/nowcast/latest"));
});

const RAIN_TIMES = {
  starts: [{ from_minutes: 0, to_minutes: 30, cases: 400, right: 300, rained: 380, bins: [{ from_probability: 0.4, to_probability: 0.6, cases: 20, right: 1, rained: 9 }, { from_probability: 0.8, to_probability: 1, cases: 200, right: 180, rained: 199 }] }],
  ends: [{ from_minutes: 60, to_minutes: 120, cases: 250, right: 100 }],
};

test("the service worker keeps an answer with the time at which this device received it", async () => {
  const listeners = {};
  const kept = new Map();
  const cache = { put: async (url, answer) => kept.set(url, answer), match: async (url) => kept.get(url) };
  globalThis.self = { registration: { scope: "http://here/" }, addEventListener: (name, listener) => { listeners[name] = listener; } };
  globalThis.caches = { open: async () => cache };
  const { fetch } = globalThis;
  await import("../../../service/page/source/sw.js?again");
  const ask = async () => {
    let answer;
    listeners.fetch({ request: { url: "http://here/nowcast/latest", method: "GET" }, respondWith: (promise) => { answer = promise; } });
    return answer;
  };
  try {
    globalThis.fetch = async () => new Response('{"a": 1}', { headers: { Date: "Mon, 01 Jan 2018 00:00:00 GMT", "X-Clock": REFERENCE } });
    assert.equal((await ask()).headers.get("X-Cached-At"), null); // the service's own answer is not marked
    globalThis.fetch = async () => { throw new TypeError("no connection"); };
    const answer = await ask();
    assert.deepEqual(await answer.json(), { a: 1 });
    assert.ok(Math.abs(Date.parse(answer.headers.get("X-Cached-At")) - Date.now()) < 60_000);
    assert.equal(receiptOf(answer.headers).clock, Date.parse(REFERENCE));
  } finally {
    globalThis.fetch = fetch;
  }
});

test("the record of a start is that of its distance and probability, and needs enough cases", () => {
  const words = (start, probability, end = null, record = RAIN_TIMES) => rainTimesWords(record, { start, probability, end }, english);
  assert.match(words(20, 0.85), /within 10 minutes of that in 90 % of 200 cases\.$/);
  assert.match(words(20, 0.5), /in 75 % of 400 cases\.$/); // too few of that probability: all of that distance
  assert.match(words(20, null), /in 75 % of 400 cases\.$/);
  assert.equal(words(45, 0.9), "");
  assert.match(words(0, null, 70), /^The end it named was right within 10 minutes in 40 % of 250 cases\.$/);
  assert.match(words(20, 0.85, 70), /200 cases\. The end .* 250 cases\.$/);
  assert.equal(words(20, 0.85, null, null), "");
  assert.match(rainTimesWords(RAIN_TIMES, { start: 20, probability: 0.85, end: null }, new Spaced("de", true)), /in 90 % von 200 Fällen/);
});

test("what a place states is the start and the end of its first sentence", () => {
  const series = [row(5, 0), row(10, 0.4), row(15, 0)];
  const next_rain = { start_minutes: 20, start_probability: 0.8, end_minutes: 70, end_probability: 0.6, basis: "members" };
  const point = pointOf(series, { reference_time: REFERENCE, next_rain });
  assert.deepEqual(statedRain(point), { start: 20, end: 70, probability: 0.8 });
  assert.equal(statedRain({ ...point, observed: { rate_mmh: 1 }, next_rain: { ...next_rain, start_minutes: 0 } }).start, 0);
  assert.equal(statedRain({ ...point, outlook: "dry" }), null);
  assert.equal(statedRain({ ...point, radar_coverage: "no coverage" }), null);
});

test("why there is no forecast is said in the reader's language, with the command that helps", () => {
  const scans = { count: 3, newest: REFERENCE };
  const ready = (kind, command = null) => ({ checks: {}, waiting_for: { kind, detail: "in English", command } });
  const [text, command] = reasonOf(scans, ready("recent scans", "nowcast run --replay DIR"), english);
  assert.match(text, /1 Jun 2026.*too old.*--replay instead of --source/);
  assert.equal(command, "nowcast run --replay DIR");
  assert.match(reasonOf(scans, ready("recent scans"), english)[0], /when the source delivers a newer one/);
  const german = new Words("de", true);
  assert.match(reasonOf({ count: 0 }, ready("first scan"), german)[0], /Noch ist kein Radarbild gespeichert/);
  assert.match(reasonOf({ count: 1 }, ready("second scan"), german)[0], /ein zweites/);
  assert.match(reasonOf({ count: 25 }, ready("first forecast"), german)[0], /^25 Radarbilder .* wird gerechnet/);
  assert.equal(reasonOf({ count: 0 }, { checks: {}, detail: "model: not loaded yet; worker: no synthetic task completed yet" }, german)[0], "Das Modell wird geladen. Der Rechenprozess hat noch keine Aufgabe beendet.");
});

test("a day of the archive is one of the reader's zone", () => {
  const evening = "2026-06-01T22:30:00Z";
  assert.equal(new Words("en", false, "Europe/Berlin").isoDay(evening), "2026-06-02");
  assert.equal(english.isoDay(evening), "2026-06-01");
  assert.equal(dayQuery("2026-06-02", "default", new Words("en", false, "Europe/Berlin")), "verification/archive?day=2026-06-02&tz=Europe%2FBerlin&model=default&limit=300");
});

test("credit and notes are in the reader's language, and a note that is not known is marked as English", () => {
  const german = new Words("de", true);
  assert.equal(creditWords("Radar product RY: Deutscher Wetterdienst (CC BY 4.0).", german), "Radarprodukt RY: Deutscher Wetterdienst (CC BY 4.0).");
  assert.equal(creditWords("Radar data: KNMI.", german), "Radardaten: KNMI.");
  assert.equal(creditWords("Our own radar", german), "Our own radar");
  assert.equal(creditWords("Radar product RY.", english), "Radar product RY.");
  const gap = "no scan for 2026-06-01T11:20:00Z: bridged linearly in time";
  assert.deepEqual(noteWords(gap, german), { text: "Kein Radarbild von 11:20 UTC: zeitlich linear überbrückt.", language: "de" });
  assert.deepEqual(noteWords(gap, english), { text: "no scan for 11:20 UTC: bridged linearly in time", language: "en" });
  assert.equal(noteWords("forecast by extrapolation", german).text, "Vorhersage durch Extrapolation.");
  assert.deepEqual(noteWords("default failed: out of memory", german), { text: "default failed: out of memory", language: "en" });
});

test("the age comes from times, and a played scan has none", () => {
  const forecast = { reference_time: REFERENCE, stale_from: at(15), stale: false, weather: "observed", data_age_s: 5 };
  const receipt = (minutes, since = 0) => ({ clock: Date.parse(at(minutes)), at: Date.now() - since * 60_000 });
  assert.equal(Math.round(ageOf(forecast, receipt(10), null).seconds), 600);
  assert.equal(Math.round(ageOf(forecast, receipt(10, 4), null).seconds), 840); // kept for four minutes
  assert.deepEqual([receipt(10, 4), receipt(10, 6)].map((one) => ageOf(forecast, one, null).stale), [false, true]);
  assert.equal(ageOf({ ...forecast, stale: true }, receipt(0), null).stale, true);
  assert.equal(ageOf({ ...forecast, weather: "replayed" }, receipt(0, 60), null).stale, false);
  assert.equal(ageOf({ ...forecast, weather: "invented" }, receipt(0, 60), { checks: { replay: "ok" } }).stale, false);
});

test("an answer that a shared cache has kept is as old as the cache says", () => {
  const http = (minutes) => new Date(Date.parse(at(minutes))).toUTCString();
  const minutes = (headers) => Math.round((receiptOf(new Headers(headers)).clock - Date.parse(REFERENCE)) / 60_000);
  const sent = { "X-Clock": at(3), "Cache-Control": "public, max-age=300", Expires: http(3 + 5) };
  assert.equal(minutes({ ...sent, Date: http(3) }), 3); // straight from the service
  assert.equal(minutes({ ...sent, Date: http(3), Age: "240" }), 7);
  assert.equal(minutes({ ...sent, Date: http(20) }), 20); // a cache with a Date of its own and no Age
  assert.equal(minutes({ ...sent, Date: http(20), Age: "1020" }), 20); // not counted twice
  assert.equal(minutes({ ...sent, Date: http(2) }), 3); // a proxy's clock that is late
  assert.equal(minutes({ ...sent, "X-Clock": "2018-07-11T12:00:00Z", Date: http(3) }), minutes({ "X-Clock": "2018-07-11T12:00:00Z" })); // a replay's clock
  assert.ok(Math.abs(receiptOf(new Headers()).clock - Date.now()) < 60_000);
});

test("a day is named unless it is today, by the reader's zone", () => {
  assert.ok(english.isToday(new Date().toISOString()));
  assert.ok(!english.isToday("2018-07-11T12:00:00Z"));
  const tomorrow = new Date(Date.now() + 24 * 60 * 60_000).toISOString();
  assert.ok(!new Words("en", false, "Europe/Berlin").isToday(tomorrow));
});

test("a number and its unit stay on one line", () => {
  const words = new Words("en", true);
  assert.equal(words.text("ofGrid", { percent: 99 }), "99\u00a0% of the grid");
  assert.equal(words.text("every", { km: 1, minutes: 5 }), "1\u00a0km, every 5 minutes");
  assert.equal(words.text("probability", { mmh: "0.5" }), "Probability of ≥\u00a00.5\u00a0mm/h");
});

test("the last label of the curves ends within the diagram", () => {
  for (const last of [120, 150]) {
    const chart = scoreChart([{ model: "default", points: [[5, 1], [last, 0]] }], english);
    const [, x] = new RegExp(`<text x="([0-9.]+)" y="[0-9.]+" text-anchor="middle">\\+${last}<`).exec(chart);
    assert.ok(Number(x) + 4 * 4.7 <= 360, `four characters of up to 9.4 units around ${x}`);
  }
});
