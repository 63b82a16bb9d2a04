// The page's words in English and German, and times in the reader's zone or in UTC.

const ENGLISH = {
  title: "Rain nowcast", observed: "Observed", forecast: "Forecast", now: "now", play: "Play", pause: "Pause",
  loading: "loading {time} …", noScan: "No scan at {time}", missing: "The picture of {time} did not load",
  timeline: "Time of the picture", layer: "Layer", rate: "Rain rate", probability: "Probability of ≥ {mmh} mm/h",
  light: "light", moderate: "moderate", heavy: "heavy", noRadar: "no radar", inflow: "inflow unknown",
  age: "Radar data {age} old", ok: "ok", degraded: "degraded", stale: "stale",
  staleBanner: "The newest radar scan is too old: this does not show the current weather.",
  inventedBanner: "Invented weather: a demonstration, not real radar data.",
  coarse: "Forecast on cells of {km} km.",
  replayBanner: "Replay of recorded radar data: not the current weather.",
  fallback: "Made by {method}, as fallback for {model}.",
  older: "This page shows an older forecast.",
  waiting: "Waiting for the first forecast", starting: "The service is starting", silent: "The service does not respond",
  waitingText: "{scans} radar scans are stored. This page updates itself.",
  silentText: "This page tries again every 15 seconds.",
  search: "Search a place", nothing: "No place found", locate: "My location", noLocation: "The location is not available",
  close: "Close", pickPlace: "Click the map, search a place, or use your location: rain and its probability there, every 5 minutes.",
  atPlace: "Rain at this place", outside: "No radar coverage at this place.",
  rainNow: "It rains now, {end}.", rainFrom: "Rain from about {start}", until: "until about {end}", rainOn: "until the end of the forecast",
  dry: "No rain expected until {end}.", unknown: "No statement: rain can flow in from where no radar sees it.",
  likely: "Highest probability of rain (≥ {mmh} mm/h): {percent} %, at {time}.",
  sum: "About {mm} mm in the next hour.", perHour: "mm/h", band: "line: 10 to 90 %", bars: "bars: forecast rate", share: "Copy link", copied: "Link copied",
  from: "{km} km from {name}", slow: "Slowed down to {speed} minutes per minute: a forecast takes {seconds} s.",
  facts: "About this forecast", reference: "Newest radar scan", issued: "Forecast issued", model: "Model", method: "Method", product: "Radar product",
  coverage: "Area with radar", radars: "Missing radars", none: "none", theModel: "the model", notes: "Notes", download: "Download",
  cells: "Grid cells", every: "{km} km, every {minutes} minutes", ofGrid: "{percent} % of the grid",
  verification: "Verification", sources: "Sources", utc: "UTC", local: "Local time", switchZone: "Show times in {zone}", switchLanguage: "Deutsch",
  motion: "Arrows: motion of the rain in half an hour", legendTitle: "mm/h", legendProbability: "probability", moves: "Rain here moves towards {direction} at {speed} km/h.",
};

const GERMAN = {
  title: "Regenvorhersage", observed: "Gemessen", forecast: "Vorhersage", now: "jetzt", play: "Abspielen", pause: "Anhalten",
  loading: "lädt {time} …", noScan: "Kein Radarbild um {time}", missing: "Das Bild von {time} ließ sich nicht laden",
  timeline: "Zeit des Bildes", layer: "Ebene", rate: "Regenrate", probability: "Wahrscheinlichkeit für ≥ {mmh} mm/h",
  light: "leicht", moderate: "mäßig", heavy: "stark", noRadar: "kein Radar", inflow: "Zustrom unbekannt",
  age: "Radardaten {age} alt", ok: "ok", degraded: "eingeschränkt", stale: "veraltet",
  staleBanner: "Das neueste Radarbild ist zu alt: Dies zeigt nicht das jetzige Wetter.",
  inventedBanner: "Erfundenes Wetter: eine Vorführung, keine echten Radardaten.",
  coarse: "Vorhersage auf Zellen von {km} km.",
  replayBanner: "Wiedergabe aufgezeichneter Radardaten: nicht das jetzige Wetter.",
  fallback: "Ersatzweise mit {method} statt {model} gerechnet.",
  older: "Diese Seite zeigt eine ältere Vorhersage.",
  waiting: "Warten auf die erste Vorhersage", starting: "Der Dienst startet", silent: "Der Dienst antwortet nicht",
  waitingText: "{scans} Radarbilder sind gespeichert. Die Seite aktualisiert sich selbst.",
  silentText: "Nächster Versuch in 15 Sekunden.",
  search: "Ort suchen", nothing: "Kein Ort gefunden", locate: "Mein Standort", noLocation: "Der Standort ist nicht verfügbar",
  close: "Schließen", pickPlace: "Karte anklicken, Ort suchen oder Standort verwenden: Regen und Wahrscheinlichkeit dort, alle 5 Minuten.",
  atPlace: "Regen an diesem Ort", outside: "Hier sieht kein Radar.",
  rainNow: "Es regnet, {end}.", rainFrom: "Regen ab etwa {start}", until: "bis etwa {end}", rainOn: "bis zum Ende der Vorhersage",
  dry: "Bis {end} kein Regen erwartet.", unknown: "Keine Aussage: Regen kann von dort kommen, wo kein Radar sieht.",
  likely: "Höchste Regenwahrscheinlichkeit (≥ {mmh} mm/h): {percent} %, um {time}.",
  sum: "Etwa {mm} mm in der nächsten Stunde.", perHour: "mm/h", band: "Linie: 10 bis 90 %", bars: "Balken: vorhergesagte Rate", share: "Link kopieren", copied: "Link kopiert",
  from: "{km} km von {name}", slow: "Verlangsamt auf {speed} Minuten je Minute: Eine Vorhersage dauert {seconds} s.",
  facts: "Zu dieser Vorhersage", reference: "Neuestes Radarbild", issued: "Erstellt", model: "Modell", method: "Verfahren", product: "Radarprodukt",
  coverage: "Fläche mit Radar", radars: "Fehlende Radare", none: "keine", theModel: "das Modell", notes: "Hinweise", download: "Herunterladen",
  cells: "Gitterzellen", every: "{km} km, alle {minutes} Minuten", ofGrid: "{percent} % des Gitters",
  verification: "Verifikation (englisch)", sources: "Quellen", utc: "UTC", local: "Ortszeit", switchZone: "Zeiten in {zone} zeigen", switchLanguage: "English",
  motion: "Pfeile: Zug des Regens in einer halben Stunde", legendTitle: "mm/h", legendProbability: "Wahrscheinlichkeit", moves: "Der Regen zieht hier nach {direction}, {speed} km/h.",
};

export const LANGUAGES = { en: ENGLISH, de: GERMAN };
const LOCALES = { en: "en-GB", de: "de-DE" };
const SLOW = /^slowed down to ([\d.e+]+) minutes per minute because a forecast takes (\d+) s/;
const COMPASS = { en: ["N", "NE", "E", "SE", "S", "SW", "W", "NW"], de: ["N", "NO", "O", "SO", "S", "SW", "W", "NW"] };

export class Words {
  constructor(language, isUtc) {
    this.language = language in LANGUAGES ? language : "en";
    this.isUtc = isUtc;
  }

  get locale() {
    return LOCALES[this.language];
  }

  text(name, values = {}) {
    return LANGUAGES[this.language][name].replace(/\{(\w+)\}/g, (_, key) => values[key]);
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
    const day = new Date(iso).toLocaleDateString(this.locale, { ...this.zone(), year: "numeric", month: "short", day: "numeric" });
    return `${day} ${this.clock(iso)} ${this.zoneName(iso)}`;
  }

  zone() {
    return this.isUtc ? { timeZone: "UTC" } : {};
  }

  zoneName(iso) {
    if (this.isUtc) return "UTC";
    const parts = new Intl.DateTimeFormat(this.locale, { timeZoneName: "short" }).formatToParts(new Date(iso));
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

  direction(degrees) {
    return COMPASS[this.language][Math.round((((degrees % 360) + 360) % 360) / 45) % 8];
  }
}
