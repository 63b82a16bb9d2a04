// Texts of the service in the reader's language: the credit of the radar data, and the notes on a forecast.

import { GERMAN_CREDITS, GERMAN_NOTES } from "./germannotes.js";

const TIME = /\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d)?Z/g;
const CREDITS = { de: GERMAN_CREDITS };
const NOTES = { de: GERMAN_NOTES };

function translated(text, table, words) {
  const found = (table[words.language] || []).find(([pattern]) => pattern.test(text));
  return found ? text.replace(...found) : null;
}

// Whose data they are; a text of the operator stays as it is.
export const creditWords = (text, words) => translated(text, CREDITS, words) || text;

// A note with its times in the zone of the page, and the language it is in: an unknown one stays English.
export function noteWords(note, words) {
  const text = translated(note, NOTES, words);
  const timed = (text || note).replace(TIME, (time) => `${words.clock(time)} ${words.zoneName(time)}`);
  return { text: timed, language: text ? words.language : "en" };
}
