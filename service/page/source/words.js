// The page's words in both languages, and times in the reader's zone, in that of a place, or in UTC.

import { ENGLISH } from "./english.js";
import { GERMAN } from "./german.js";

export const LANGUAGES = { en: ENGLISH, de: GERMAN };
const LOCALES = { en: "en-GB", de: "de-DE" };
const SLOW = /^slowed down to ([\d.e+]+) minutes per minute because a forecast takes (\d+) s/;
const COMPASS = { en: ["N", "NE", "E", "SE", "S", "SW", "W", "NW"], de: ["N", "NO", "O", "SO", "S", "SW", "W", "NW"] };

// A number and its unit stay on one line.
const together = (text) => text.replace(/(\d) (?=%|(?:mm\/h|mm|km\/h|km|min|h|s)(?!\p{L}))|(≥) (?=\d)/gu, "$1$2\u00a0");

export class Words {
  // `timeZone`: an IANA name; without one, times are in the reader's own zone, or in UTC.
  constructor(language, isUtc, timeZone = null) {
    this.language = language in LANGUAGES ? language : "en";
    this.isUtc = isUtc;
    this.timeZone = isUtc ? "UTC" : timeZone;
  }

  inZone(timeZone) {
    return new Words(this.language, this.isUtc, timeZone);
  }

  // Whether clocks show the same here as the reader's own.
  hasReadersClock(iso) {
    return this.clock(iso) === new Words(this.language, false).clock(iso);
  }

  get locale() {
    return LOCALES[this.language];
  }

  text(name, values = {}) {
    return together(LANGUAGES[this.language][name].replace(/\{(\w+)\}/g, (_, key) => values[key]));
  }

  number(value, digits = 0) {
    return value.toLocaleString(this.locale, { minimumFractionDigits: digits, maximumFractionDigits: digits });
  }

  plain(value) {
    return value.toLocaleString(this.locale);
  }

  clock(iso) {
    return new Date(iso).toLocaleTimeString(this.locale, { ...this.zone(), hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  }

  dayAndClock(iso) {
    return `${this.day(iso)} ${this.clock(iso)} ${this.zoneName(iso)}`;
  }

  day(iso) {
    return new Date(iso).toLocaleDateString(this.locale, { ...this.zone(), year: "numeric", month: "short", day: "numeric" });
  }

  zone() {
    return this.timeZone ? { timeZone: this.timeZone } : {};
  }

  // The IANA name of the zone of all times.
  get zoneId() {
    return this.timeZone || new Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  }

  // The day of a time as a field of dates has it: 2026-11-30.
  isoDay(iso) {
    const parts = Object.fromEntries(new Intl.DateTimeFormat("en-GB", { timeZone: this.zoneId, year: "numeric", month: "2-digit", day: "2-digit" }).formatToParts(new Date(iso)).map((part) => [part.type, part.value]));
    return `${parts.year}-${parts.month}-${parts.day}`;
  }

  isToday(iso) {
    return this.isoDay(iso) === this.isoDay(new Date().toISOString());
  }

  zoneName(iso) {
    if (this.isUtc) return "UTC";
    const parts = new Intl.DateTimeFormat(this.locale, { ...this.zone(), timeZoneName: "short" }).formatToParts(new Date(iso));
    return parts.find((part) => part.type === "timeZoneName").value;
  }

  duration(seconds) {
    const minutes = Math.floor(seconds / 60);
    if (minutes < 1) return `${Math.floor(seconds)} s`;
    if (minutes < 90) return `${minutes} min ${String(Math.floor(seconds % 60)).padStart(2, "0")} s`;
    const hours = Math.floor(minutes / 60);
    return hours < 48 ? `${hours} h ${String(minutes % 60).padStart(2, "0")} min` : `${Math.floor(hours / 24)} d`;
  }

  // The state of a replay from /readyz: in the reader's language where it is slowed down, else as it is.
  pace(state) {
    const found = SLOW.exec(state);
    if (found) return this.text("slow", { speed: this.number(Number(found[1]), 1), seconds: found[2] });
    return `${state}.`.replace(/^./, (first) => first.toUpperCase());
  }

  // The name of a model; baselines have a word of their own.
  model(name) {
    return name === "persistence" || name === "extrapolation" ? this.text(name) : name;
  }

  direction(degrees) {
    return COMPASS[this.language][Math.round((((degrees % 360) + 360) % 360) / 45) % 8];
  }
}
