// Why there is no forecast yet, in words.

const KINDS = { "first scan": "waitingScans", "second scan": "waitingSecond", "first forecast": "waitingFirst" };
const PARTS = { model: "waitingModel", catalogue: "waitingCatalogue", broker: "waitingBroker", worker: "waitingWorker" };

// Why there is no forecast, by `waiting_for` of `/readyz`: a sentence of the reader's language, and a command that helps.
export function reasonOf(scans, ready, words) {
  const wait = ready.waiting_for;
  if (wait?.kind === "recent scans" && scans.newest) {
    const old = words.text("waitingOld", { time: words.dayAndClock(scans.newest) });
    return wait.command ? [`${old} ${words.text("waitingReplay")}`, wait.command] : [`${old} ${words.text("waitingNewer")}`, ""];
  }
  if (wait && KINDS[wait.kind]) return [words.text(KINDS[wait.kind], { scans: words.number(scans.count) }), ""];
  const parts = partsOf(ready.detail, words); // it is not ready yet
  return [parts.length ? parts.join(" ") : words.text(scans.count ? "waitingFirst" : "waitingScans", { scans: words.number(scans.count) }), ""];
}

// The parts of the service that are not ready, in words: the detail of a 503 is "model: loading; worker: ...".
function partsOf(detail, words) {
  return (detail || "").split("; ").map((one) => PARTS[one.split(":")[0]]).filter(Boolean).map((name) => words.text(name));
}
