// Prints the notes of a JSON list as the German page has them.

import fs from "node:fs";
import { noteWords } from "../../../service/page/source/translated.js";
import { Words } from "../../../service/page/source/words.js";

const notes = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
console.log(JSON.stringify(notes.map((note) => noteWords(note, new Words("de", true)))));
