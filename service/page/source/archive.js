// The archive: the forecasts of a day, each of which the map shows beside what was observed.

import { dayQuery } from "./address.js";
import { get } from "./api.js";
import { $, element } from "./dom.js";
import { state } from "./shared.js";

const SAID_AT = [30, 60]; // lead minutes

export function startArchive(onChoose) {
  $("archive").addEventListener("toggle", () => { if ($("archive").open && !$("archive-day").value) showDay(state.words.isoDay(state.forecast.reference_time)); });
  $("archive-day").addEventListener("change", () => showDay($("archive-day").value));
  $("archive-show").addEventListener("click", () => onChoose($("archive-time").value));
}

// The time of an archived forecast, and how right it was half an hour and an hour ahead.
export function optionWords(forecast, words) {
  const scored = forecast.leads.filter((one) => SAID_AT.includes(one.lead_minutes) && one.csi !== null);
  const scores = scored.map((one) => `+${one.lead_minutes}\u00a0min ${Math.round(100 * one.csi)}\u00a0%`);
  return [`${words.clock(forecast.reference_time)} ${words.zoneName(forecast.reference_time)}`, ...scores].join(" · ");
}

// Name the zone of the day, and list the day again when the zone has changed.
export function translateArchive() {
  $("archive-zone").textContent = state.words.text("day", { zone: state.words.text(state.words.isUtc ? "utc" : "local") });
  if ($("archive-day").value) showDay($("archive-day").value);
}

async function showDay(day) {
  $("archive-day").value = day;
  if (!day) return;
  const { forecasts } = await get(dayQuery(day, state.forecast.model.name, state.words)).catch(() => ({ forecasts: [] }));
  $("archive-time").replaceChildren(...forecasts.map((one) => element("option", { value: one.forecast_id }, optionWords(one, state.words))));
  $("archive-choice").hidden = forecasts.length === 0;
  $("archive-none").hidden = forecasts.length > 0;
}
