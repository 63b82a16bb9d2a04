// How far the forecast can be trusted: its age, its status, what is not live radar, and the facts about it.

import { ageOf, isPlayed } from "./age.js";
import { relative } from "./api.js";
import { $, element, say } from "./dom.js";
import { isFallback, state } from "./shared.js";
import { creditWords, noteWords } from "./translated.js";

export function showFacts() {
  const { forecast, words } = state;
  for (const [id, time] of [["reference", forecast.reference_time], ["issued", forecast.issued_at]]) {
    $(id).textContent = words.dayAndClock(time);
    $(id).dateTime = time;
  }
  $("model").textContent = forecast.model.name;
  $("version").replaceChildren(...pieces(forecast.model.version, "+"));
  $("method").textContent = isFallback(forecast) ? fallbackWords(forecast, words) : words.text("theModel");
  $("method").classList.toggle("warned", isFallback(forecast));
  $("product").replaceChildren(...pieces(forecast.product, "_"));
  $("cells").textContent = words.text("every", { km: cellKm(forecast, words), minutes: forecast.leads.length ? forecast.leads[0].lead_minutes : "–" });
  $("coverage").textContent = words.text("ofGrid", { percent: Math.round(100 * (forecast.leads.length ? forecast.leads[0].coverage : 0)) });
  $("missing").textContent = forecast.missing_radars.length ? forecast.missing_radars.join(", ") : words.text("none");
  $("missing").classList.toggle("warned", forecast.missing_radars.length > 0);
  $("notes-box").hidden = forecast.notes.length === 0;
  $("notes").replaceChildren(...forecast.notes.map((note) => noteWords(note, words)).map(({ text, language }) => element("li", { lang: language }, text)));
  $("file").href = relative(forecast.links.file);
  $("json").href = relative(forecast.links.self);
  $("source").textContent = $("credit").textContent = state.legend ? creditWords(state.legend.attribution, words) : "";
  showNotice();
}

// The pieces of a long name, which may break after a letter.
const pieces = (name, after) => name.split(after).flatMap((part, index, all) => (index + 1 < all.length ? [`${part}${after}`, element("wbr")] : [part]));

const fallbackWords = (forecast, words) => words.text("fallback", { method: words.model(forecast.method), model: words.model(forecast.model.name) });

const cellKm = (forecast, words) => words.number(forecast.grid.pixel_x_m / 1000, forecast.grid.pixel_x_m % 1000 ? 1 : 0);

// What is not live radar, not the model asked for, not the newest, or slowed down stands above the map at all times.
export function noticeOf(forecast, checks, isArchived, words) {
  const isReplay = "replay" in checks;
  const invented = [words.text("inventedBanner"), ...(forecast.grid.pixel_x_m > 1000 ? [words.text("coarse", { km: cellKm(forecast, words) })] : [])];
  const kind = forecast.invented ? invented : isReplay ? [words.text("replayBanner")] : [];
  const pace = isReplay && checks.replay !== "ok" && !checks.replay.startsWith("waiting") ? [words.pace(checks.replay)] : [];
  const degraded = forecast.status === "degraded" ? [words.text("degradedBanner")] : [];
  const reason = isFallback(forecast) ? [fallbackWords(forecast, words)] : degraded; // why there is a fallback is in the notes
  const archived = isArchived ? [words.text("archivedBanner", { time: words.dayAndClock(forecast.reference_time) })] : [];
  return [...archived, ...kind, ...pace, ...reason].join(" ");
}

export function showNotice() {
  const text = noticeOf(state.forecast, state.ready ? state.ready.checks : {}, Boolean(state.run), state.words);
  $("notice").hidden = !text;
  $("newest").hidden = !state.run;
  say("notice-text", text);
}

export function showAge() {
  const { forecast, words } = state;
  if (!forecast) return;
  const { cachedAt } = state.receipt;
  const age = ageOf(forecast, state.receipt, state.ready);
  const stale = !state.run && age.stale;
  state.isOld = stale || Boolean(state.run);
  const status = stale ? "stale" : forecast.status === "stale" ? "ok" : forecast.status;
  $("age").classList.toggle("stale", stale);
  $("scan-time").textContent = words.clock(forecast.reference_time);
  $("scan-time").dateTime = forecast.reference_time;
  const hasAge = !state.run && !isPlayed(forecast, state.ready);
  $("age-value").textContent = hasAge ? words.text("age", { age: words.duration(age.seconds) }) : words.day(forecast.reference_time);
  $("status").className = `chip ${state.run ? "" : status}`;
  $("status").textContent = words.text(state.run ? "archived" : status);
  const kept = cachedAt ? words.text("offline", { time: words.dayAndClock(cachedAt) }) : "";
  const warning = [state.failure, kept, stale ? words.text("staleBanner") : ""].filter(Boolean).join(" ");
  $("banner").hidden = !warning;
  say("banner", warning);
}
