// The archive: the forecasts of a day, each of which the map shows beside what was observed.

import { get } from "./api.js";
import { $, element } from "./dom.js";
import { state } from "./shared.js";

const SAID_AT = [30, 60]; // lead minutes
const MOST = 300; // forecasts of a day at a cadence of five minutes, and a few made again

export function startArchive(onChoose) {
  $("archive").addEventListener("toggle", () => { if ($("archive").open && !$("archive-day").value) showDay(state.forecast.reference_time.slice(0, 10)); });
  $("archive-day").addEventListener("change", () => showDay($("archive-day").value));
  $("archive-show").addEventListener("click", () => onChoose($("archive-time").value));
}

// The time of an archived forecast, and how right it was half an hour and an hour ahead.
export function optionWords(forecast, words) {
  const scored = forecast.leads.filter((one) => SAID_AT.includes(one.lead_minutes) && one.csi !== null);
  const scores = scored.map((one) => `+${one.lead_minutes} min ${Math.round(100 * one.csi)} %`);
  return [`${words.clock(forecast.reference_time)} ${words.zoneName(forecast.reference_time)}`, ...scores].join(" · ");
}

async function showDay(day) {
  $("archive-day").value = day;
  if (!day) return;
  const { forecasts } = await get(`verification/archive?day=${day}&model=${encodeURIComponent(state.forecast.model.name)}&limit=${MOST}`).catch(() => ({ forecasts: [] }));
  $("archive-time").replaceChildren(...forecasts.map((one) => element("option", { value: one.forecast_id }, optionWords(one, state.words))));
  $("archive-choice").hidden = forecasts.length === 0;
  $("archive-none").hidden = forecasts.length > 0;
}
