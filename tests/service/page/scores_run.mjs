// Runs the verification panel on an answer of /verification, with stand-ins for the page's elements; prints its text.

import fs from "node:fs";

const answer = fs.readFileSync(process.argv[2], "utf8");
const nodes = {};
const made = (name) => ({
  name, attributes: {}, children: [], setAttribute(key, value) { this.attributes[key] = value; }, append(...children) { this.children.push(...children); },
});
globalThis.document = {
  createElement: made,
  getElementById: (id) => (nodes[id] ??= { parentElement: {}, classList: { toggle: (_, on) => (nodes[id].on = on) }, value: "", replaceChildren: (...all) => (nodes[id].all = all) }),
};
globalThis.location = { hash: "" };
globalThis.navigator ??= { language: "en" };
const { state } = await import("../../../service/page/source/shared.js");
const { Words } = await import("../../../service/page/source/words.js");
const { drawScores, useAnswer } = await import("../../../service/page/source/skillpanel.js");
const line = "\n";
const text = (one) => (one.children ? one.children.map(text).join(one.name === "tr" ? "|" : line) : String(one));
state.words = new Words("en", true);
state.forecast = { model: { name: "default" } };
useAnswer(JSON.parse(answer), null);
document.getElementById("threshold").value = "0.5";
drawScores();
console.log(JSON.stringify({ text: nodes.scores.all.map(text).join(line), schedule: nodes.schedule.textContent, warned: nodes.schedule.on }));
