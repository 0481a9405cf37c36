// Making elements.
const SPACE = "http://www.w3.org/2000/svg";

export function element(name, kind, ...inside) {
  const node = document.createElement(name);
  if (kind) node.className = kind;
  node.append(...inside);
  return node;
}

export function button(kind, ...inside) { return Object.assign(element("button", kind, ...inside), { type: "button" }); }

export function svgElement(name, attributes) {
  const node = document.createElementNS(SPACE, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

// The JSON of an answer; throws its error text where it is refused. A session that ended is asked for a token.
export async function ask(address, options) {
  let answer;
  try {
    answer = await fetch(address, options);
  } catch {
    throw new Error("The server did not respond.");
  }
  if (answer.status === 401) location.reload();
  const body = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(body.error), { body });
  return body;
}
