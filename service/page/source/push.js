// Notifications of rain at the chosen place: a rule of the service whose receiver is this browser, and its record.

import { get } from "./api.js";
import { $ } from "./dom.js";
import { nameOf } from "./placecard.js";
import { keep, state, stored } from "./shared.js";

const RULES = "rules"; // of this browser: id of the rule of each place
const KEY = "api-key";

let serverKey = null; // null until the service has answered that it offers notifications

const placeKey = ({ lat, lon }) => `${lat.toFixed(3)},${lon.toFixed(3)}`;
const isPossible = () => Boolean(isSecureContext && navigator.serviceWorker && window.PushManager && window.Notification);

function rules() {
  try { return JSON.parse(stored(RULES)) || {}; } catch { return {}; }
}

function remember(place, id) {
  const { [placeKey(place)]: _, ...others } = rules();
  keep(RULES, JSON.stringify(id ? { ...others, [placeKey(place)]: id } : others));
}

// The receiver of a rule, as the service takes it.
export function targetOf(subscription) {
  const { endpoint, keys } = subscription.toJSON();
  return { kind: "web_push", endpoint, p256dh: keys.p256dh, auth: keys.auth };
}

export function bytesOf(base64url) {
  const text = atob(base64url.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}

async function send(method, path, body) {
  const key = $("notify-key").value || stored(KEY);
  const headers = { "Content-Type": "application/json", ...(key ? { "X-API-Key": key } : {}) };
  const response = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  if (response.ok) {
    if (key) keep(KEY, key);
    return response.status === 204 ? null : response.json();
  }
  const problem = await response.json().catch(() => ({}));
  throw Object.assign(new Error(problem.detail || `${response.status}`), { status: response.status });
}

// Show the button for the chosen place, and the record of its alerts.
export async function showNotify() {
  const { place, words } = state;
  if (place && serverKey === null && isPossible()) serverKey = (await get("rules/push").catch(() => ({}))).application_server_key || "";
  if (state.place !== place) return;
  $("notify-box").hidden = !place || !serverKey;
  if ($("notify-box").hidden) return;
  const id = rules()[placeKey(place)];
  $("notify").textContent = words.text(id ? "notifyStop" : "notify");
  $("notify-state").textContent = id ? words.text("notifyOn") : "";
  $("notify-record").textContent = "";
  if (id) await showRecordOf(id);
}

async function showRecordOf(id) {
  const { words } = state;
  const record = (await send("GET", `rules/${id}/verification`).catch(() => null))?.rule;
  if (record) $("notify-record").textContent = record.alerts ? words.text("notifyRecord", record) : words.text("notifyNoRecord");
}

async function subscribe(place) {
  const { words } = state;
  if ((await Notification.requestPermission()) !== "granted") throw new Error(words.text("notifyDenied"));
  const worker = await navigator.serviceWorker.ready;
  const known = await worker.pushManager.getSubscription();
  const subscription = known || (await worker.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: bytesOf(serverKey) }));
  const rule = {
    name: nameOf(place).slice(0, 100), place: { lat: place.lat, lon: place.lon }, quantity: "start", language: words.language, targets: [targetOf(subscription)],
  };
  remember(place, (await send("POST", "rules", rule)).rule_id);
}

async function end(place) {
  await send("DELETE", `rules/${rules()[placeKey(place)]}`).catch((error) => { if (error.status !== 404) throw error; });
  remember(place, null);
}

async function toggle() {
  const { place, words } = state;
  $("notify").disabled = true;
  try {
    await (rules()[placeKey(place)] ? end(place) : subscribe(place));
    $("notify-key-box").hidden = true;
    await showNotify();
  } catch (error) {
    const needsKey = error.status === 401 || error.status === 403;
    $("notify-key-box").hidden = !needsKey;
    $("notify-state").textContent = needsKey ? words.text("notifyKey") : words.text("notifyFailed", { problem: error.message });
  } finally {
    $("notify").disabled = false;
  }
}

export const startNotify = () => $("notify").addEventListener("click", toggle);
