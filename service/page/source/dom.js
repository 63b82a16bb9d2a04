// Elements of the page.

export const $ = (id) => document.getElementById(id);

// Set a text that a screen reader speaks: unchanged it is not set again, else it would be spoken again.
export function say(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}

// Put paragraphs into a spoken element, unless it holds the same already: of [class, text] each.
export function sayAll(id, paragraphs) {
  const held = [...$(id).children].map((one) => [one.className, one.textContent]);
  if (JSON.stringify(held) !== JSON.stringify(paragraphs)) $(id).replaceChildren(...paragraphs.map(([name, text]) => element("p", { class: name }, text)));
}

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "style") made.style.cssText = value; // as an attribute a policy of content may refuse it
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}
