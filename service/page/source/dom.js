// Elements of the page.

export const $ = (id) => document.getElementById(id);

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "style") made.style.cssText = value; // as an attribute a policy of content may refuse it
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}
