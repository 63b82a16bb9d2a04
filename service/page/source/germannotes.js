// Credits and notes of the service in German: what they look like in English, and their translation.

const T = String.raw`(\S+Z)`;
const FIELDS = String.raw`(\S+) of (\S+Z)( \(the first of (\d+) such fields\))?`;
const note = (pattern, text) => [new RegExp(`^${pattern}$`), text];
const several = (text) => (_, product, time, more, count, ...values) => `${product} von ${time}${more ? ` (das erste von ${count} solchen Feldern)` : ""}: ${text(...values)}`;

export const GERMAN_CREDITS = [
  note(String.raw`Radar product (\S+): (.*)\.`, "Radarprodukt $1: $2."),
  note(String.raw`Radar product (\S+)\.`, "Radarprodukt $1."),
  note(String.raw`Radar data: provider not stated\.`, "Radardaten: Herkunft nicht angegeben."),
  note(String.raw`Radar data: (.*)\.`, "Radardaten: $1."),
  note(String.raw`Invented weather for demonstration: no real radar data\.`, "Erfundenes Wetter zur Vorführung: keine echten Radardaten."),
];

export const GERMAN_NOTES = [
  note(`no scan for ${T}: the scan of ${T} is used instead`, "Kein Radarbild von $1: Das von $2 steht dafür."),
  note(`no scan for ${T}: bridged linearly in time between ${T} and ${T}`, "Kein Radarbild von $1: zeitlich linear überbrückt zwischen $2 und $3."),
  note(`no scan for ${T}: bridged linearly in time`, "Kein Radarbild von $1: zeitlich linear überbrückt."),
  note(`no scan for ${T}: left empty.*`, "Kein Radarbild von $1: bleibt leer."),
  note(String.raw`no scan for ${T} to ${T} \((\d+) fields (\d+) minutes apart\): bridged linearly in time`, "Keine Radarbilder von $1 bis $2 ($3 Felder im Abstand von $4 Minuten): zeitlich linear überbrückt."),
  note(String.raw`no scan for ${T} to ${T} \((\d+) fields (\d+) minutes apart\): left empty`, "Keine Radarbilder von $1 bis $2 ($3 Felder im Abstand von $4 Minuten): bleiben leer."),
  note(`no observed cell in the newest scan, ${T}: the forecast is empty`, "Das neueste Radarbild, $1, hat keine gemessene Zelle: Die Vorhersage ist leer."),
  note(`no observed cell in the scan of ${T}: taken as missing`, "Das Radarbild von $1 hat keine gemessene Zelle: Es zählt als fehlend."),
  note(String.raw`no observed cell in the scan of ${T} to ${T} \((\d+) scans\): taken as missing`, "Die Radarbilder von $1 bis $2 ($3) haben keine gemessene Zelle: Sie zählen als fehlend."),
  note(String.raw`the (\d+) newest scans, since ${T}, contain identical rain: a stuck source, and no motion of the rain`, "Die $1 neuesten Radarbilder, seit $2, haben denselben Regen: Die Quelle steht still, und der Zug des Regens ist unbekannt."),
  note(String.raw`(\d+) scans are up to ([\d.]+) minutes off their nominal times`, "$1 Radarbilder sind bis zu $2 Minuten neben ihrer Sollzeit."),
  note(String.raw`${FIELDS}: largest rate: expected at most (\S+) mm/h, got (\S+) mm/h`, several((most, got) => `größte Rate ${got} mm/h, höchstens ${most} mm/h erwartet.`)),
  note(String.raw`${FIELDS}: mean of all wet cells: expected at most (\S+) mm/h, got (\S+) mm/h`, several((most, got) => `Mittel aller nassen Zellen ${got} mm/h, höchstens ${most} mm/h erwartet.`)),
  note(String.raw`${FIELDS}: expected rain that differs from cell to cell, got (\S+) mm/h in every observed cell`, several((got) => `in jeder gemessenen Zelle ${got} mm/h.`)),
  note(String.raw`(\d+) more fields are implausible`, "$1 weitere Felder sind unplausibel."),
  note(String.raw`(\S+) failed: the model had not finished within (\S+) s \(NOWCAST_TASK_LIMIT_S\)`, "$1 hat nicht in $2 s gerechnet (NOWCAST_TASK_LIMIT_S)."),
  note(String.raw`(\S+) did not run: fields of its window are missing`, "$1 lief nicht: In seinem Zeitfenster fehlen Felder."),
  note("forecast by extrapolation", "Vorhersage durch Extrapolation."),
  note("forecast by persistence", "Vorhersage durch Persistenz."),
  note(String.raw`forecast by (\S+)`, "Vorhersage mit $1."),
];
