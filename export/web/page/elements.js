/** Finds and makes elements of the page. */

/** Returns the element with an id. */
export const byId = (id) => document.getElementById(id);

/** Makes an element with a text, and with properties. */
export function element(name, text = "", properties = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  return Object.assign(made, properties);
}
