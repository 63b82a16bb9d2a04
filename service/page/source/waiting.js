// What the page says before there is a forecast, and when the service does not respond.

import { get } from "./api.js";
import { $ } from "./dom.js";
import { reasonOf } from "./reason.js";
import { state } from "./shared.js";

export async function readiness() {
  try {
    return await get("readyz");
  } catch (error) {
    return { checks: {}, detail: error.detail };
  }
}

// What a failed request means: no forecast yet, the service starts, or it does not respond.
export const failureOf = (error) => (error.status === 404 ? "waiting" : error.status === 503 || error.status === 429 ? "starting" : "silent");

export async function showWaiting(name) {
  const { words } = state;
  $("waiting-title").textContent = words.text(name);
  if (name === "silent") {
    $("waiting-text").textContent = words.text("silentText");
    $("waiting-why").textContent = "";
    $("waiting-command").hidden = true;
    return;
  }
  const [ready, listed] = await Promise.all([readiness(), get("scans?limit=1").catch(() => null)]);
  const scans = listed ? { count: listed.count, newest: listed.scans[0]?.valid_time } : { count: 0, newest: null };
  const [reason, command] = reasonOf(scans, ready, words);
  if ($("waiting-text").textContent !== reason) $("waiting-text").textContent = reason; // once is enough for a screen reader
  $("waiting-command").hidden = !command;
  $("waiting-command").textContent = command;
  const checks = Object.entries(ready.checks).filter(([part, value]) => value !== "ok" && part !== "data").map(([part, value]) => `${part}: ${value}`);
  $("waiting-why").textContent = ready.detail || checks.join("; ");
}
