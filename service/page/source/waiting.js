// What the page says before there is a forecast, and when the service does not respond.

import { get } from "./api.js";
import { $, say } from "./dom.js";
import { reasonOf } from "./reason.js";
import { state } from "./shared.js";

export async function readiness() {
  try {
    return await get("readyz");
  } catch (error) {
    return { checks: {}, detail: error.detail };
  }
}

export async function showWaiting(name) {
  const { words } = state;
  say("waiting-title", words.text(name));
  if (name === "silent") {
    say("waiting-text", words.text("silentText"));
    say("waiting-why", "");
    $("waiting-command").hidden = true;
    return;
  }
  const [ready, listed] = await Promise.all([readiness(), get("scans?limit=1").catch(() => null)]);
  const scans = listed ? { count: listed.count, newest: listed.scans[0]?.valid_time } : { count: 0, newest: null };
  const [reason, command] = reasonOf(scans, ready, words);
  say("waiting-text", reason);
  $("waiting-command").hidden = !command;
  say("waiting-command", command);
  const others = ["data", "replay"]; // what these say of the wait is in the reason
  const checks = Object.entries(ready.checks).filter(([part, value]) => value !== "ok" && !others.includes(part)).map(([part, value]) => `${part}: ${value}`);
  say("waiting-why", ready.detail || checks.join("; "));
}
