// Drives the compiled client against a running service: node test/client.mjs URL FILE; prints what it found as JSON.
import { readFile } from "node:fs/promises";
import { Nowcast, NowcastError } from "../dist/index.js";

const [url, file] = process.argv.slice(2);
const nowcast = new Nowcast({ url });
const places = [
  { lat: 51.0, lon: 9.5 },
  { lat: 52.52, lon: 13.4 },
];
const rule = { name: "Rain", place: places[0], threshold: 1, quantity: "rate", probability: 0.5 };
const square = [[9.2, 50.3], [11.1, 50.4], [10.4, 51.9], [9.2, 50.3]];
const stored = await nowcast.createRule(rule);
const changed = await nowcast.changeRule(stored.rule_id, { ...rule, name: "More rain", threshold: 5 });
const tested = await nowcast.testRule(stored.rule_id);
const verification = await nowcast.ruleVerification(stored.rule_id);
const listed = await nowcast.rules();
await nowcast.deleteRule(stored.rule_id);
const frames = [new File([await readFile(file)], "frames.nc")];
let refused = null;
try {
  await nowcast.points([{ lat: 100, lon: 0 }]);
} catch (error) {
  refused = error instanceof NowcastError ? { status: error.status, message: error.message } : String(error);
}
console.log(
  JSON.stringify({
    latest: (await nowcast.forecast()).forecast_id,
    points: (await nowcast.points(places)).map((point) => [point.lat, point.series.length]),
    one: (await nowcast.points(places.slice(0, 1))).length,
    summary: (await nowcast.minutes(places, { lang: "de" })).map((minutes) => minutes.summary),
    area: (await nowcast.area({ type: "Polygon", coordinates: [square] })).cells,
    json: (await nowcast.nowcast({ model: "persistence" })).model.name,
    upload: (await nowcast.upload({ frames, model: "persistence" })).origin,
    hours: (await nowcast.verification({ period_hours: 48 })).period_hours,
    rules: [listed.length, changed.definition.name, tested.results.length, verification.rule.alerts],
    after: (await nowcast.rules()).length,
    refused,
  }),
);
