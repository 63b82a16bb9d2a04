// The field that searches places: a combobox whose list the arrow keys move through.

import { get } from "./api.js";
import { $, element, say } from "./dom.js";
import { findPlaces, nameIn } from "./search.js";
import { state } from "./shared.js";

const MOST = 8;

const box = { items: [], active: -1, onChoose: () => {} };

export async function places() {
  state.places ||= await get("page/places.json");
  return state.places;
}

export function startSearch(onChoose) {
  box.onChoose = onChoose;
  $("search").addEventListener("input", search);
  $("search").addEventListener("keydown", onKey);
  $("search-form").addEventListener("submit", async (event) => { event.preventDefault(); if (!box.items.length) await search(); (box.items[Math.max(0, box.active)])?.click(); });
  document.addEventListener("click", (event) => { if (!$("search-form").contains(event.target)) closeSearch(); });
}

async function search() {
  const found = findPlaces(await places(), $("search").value, MOST, state.legend?.outline_lon_lat);
  box.items = found.map((place, index) => {
    const [, country, lat, lon] = place;
    const name = nameIn(place, state.words.language);
    const item = element("div", { role: "option", id: `result-${index}`, "aria-selected": "false" }, name, element("small", {}, country));
    item.addEventListener("click", () => { closeSearch(); $("search").value = name; box.onChoose({ lat, lon, name }); });
    return item;
  });
  const isAsked = Boolean($("search").value.trim());
  $("results").replaceChildren(...(isAsked ? box.items : []));
  say("no-result", isAsked && !box.items.length ? state.words.text("nothing") : "");
  $("results").hidden = !isAsked || !box.items.length;
  $("search").setAttribute("aria-expanded", String(!$("results").hidden));
  activate(-1);
}

function onKey(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (event.key === "Escape") closeSearch();
  if (!step || !box.items.length) return;
  event.preventDefault();
  activate((box.active + step + box.items.length) % box.items.length);
}

function activate(index) {
  box.active = index;
  box.items.forEach((item, number) => item.setAttribute("aria-selected", String(number === index)));
  if (index < 0) $("search").removeAttribute("aria-activedescendant");
  else $("search").setAttribute("aria-activedescendant", box.items[index].id);
}

function closeSearch() {
  $("results").hidden = true;
  $("no-result").textContent = "";
  $("search").setAttribute("aria-expanded", "false");
}
