// What the parts of the page share: the answers of the service, what the reader chose, and the words in use.

import { readAddress } from "./address.js";
import { Words } from "./words.js";

export const opened = readAddress(location.hash);
export const stored = (name) => { try { return localStorage.getItem(name); } catch { return null; } };
export const keep = (name, value) => { try { localStorage.setItem(name, value); } catch { /* private mode: not kept */ } };

export const RATE = "rainfall_rate";
export const PROBABILITY = "probability_of_exceedance_";

export const state = {
  words: new Words(stored("language") || navigator.language.slice(0, 2), stored("zone") === "utc"),
  forecast: null, legend: null, scans: [], layers: {}, layer: opened.layer || RATE, run: opened.run, place: opened.place, point: null, record: null, rainTimes: null,
  shownRun: null, receipt: null, failure: "", isOld: false, ready: null, hasGrid: false, places: null,
};

export const isFallback = (forecast) => forecast.method !== forecast.model.name;
