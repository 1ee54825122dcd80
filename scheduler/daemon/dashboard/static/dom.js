// Makes elements. Text only ever goes in as text: labels are written by users, and nothing here reads markup.

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element; children are nodes or text, and what is null or undefined is left out. */
export function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** An SVG element. */
export function drawing(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

const shownIn = new WeakMap();

/** Fill `target` anew, but only when what it shows has changed: a selection or a focus inside survives the polls. */
export function show(target, content, build) {
  const key = JSON.stringify(content);
  if (shownIn.get(target) === key) return;
  shownIn.set(target, key);
  target.replaceChildren(...[build(content)].flat());
}
