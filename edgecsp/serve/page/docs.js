// Renders /openapi.json; nothing is loaded from other servers.
import { element } from "./dom.js";

const answer = await fetch("/openapi.json");
const api = await answer.json();
const named = schema => (schema?.$ref ? api.components.schemas[schema.$ref.split("/").pop()] : schema);

const plain = text => text.replaceAll("`", "");

// A schema as the JSON that it means, with types in the values' places.
function shape(schema, depth = 0) {
  const real = named(schema) ?? {};
  if (depth > 4) return "\u2026";
  if (real.anyOf || real.oneOf) return (real.anyOf ?? real.oneOf).map(each => shape(each, depth + 1))[0];
  if (real.type === "array") return [shape(real.items, depth + 1)];
  if (real.type === "object") return Object.fromEntries(Object.entries(real.properties ?? {}).map(([key, value]) => [key, shape(value, depth + 1)]));
  if (real.enum) return real.enum.join(" | ");
  const range = real.minimum !== undefined && real.maximum !== undefined ? ` ${real.minimum}..${real.maximum}` : "";
  return `${real.format === "binary" ? "bytes" : real.type ?? "any"}${range}${real.nullable ? " or null" : ""}`;
}

function content(kinds) {
  return Object.entries(kinds).map(([kind, { schema }]) => {
    const inside = shape(schema);
    return element("pre", "", `${kind}\n${typeof inside === "string" ? inside : JSON.stringify(inside, null, 2)}`);
  });
}

function operation(path, verb, { summary, parameters = [], requestBody, responses }) {
  const inside = element("div", "inside");
  if (parameters.length) {
    inside.append(element("h3", "", "Parameters"), element("pre", "", parameters.map(each => `${each.name} (${each.in}): ${shape(each.schema)}: ${each.description}`).join("\n")));
  }
  if (requestBody) inside.append(element("h3", "", "Body, one of"), ...content(requestBody.content));
  for (const [code, { description, content: kinds }] of Object.entries(responses)) {
    inside.append(element("h3", "", `${code}: ${plain(description)}`), ...(code === "200" ? content(kinds) : []));
  }
  return element("details", "", element("summary", "", element("b", "verb", verb.toUpperCase()), element("code", "", path), element("span", "", plain(summary))), inside);
}

const list = document.getElementById("paths");
document.getElementById("lead").textContent = plain(api.info.description);
for (const { name } of api.tags) {
  list.append(element("h2", "", name));
  for (const [path, verbs] of Object.entries(api.paths)) {
    for (const [verb, about] of Object.entries(verbs)) {
      if (about.tags.includes(name)) list.append(operation(path, verb, about));
    }
  }
}
