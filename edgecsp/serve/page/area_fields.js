// The fields of one line or zone in the editor: name, classes, anchor, and when it tells.
import { button, element } from "./dom.js";
import { colour } from "./stage.js";

const WORD = "[\\p{L}\\p{N}_.\\-]+", NAME = `${WORD}( ${WORD})*`;

function field(label, input) { return element("label", "", element("span", "", label), input); }

function input(attributes) { return Object.assign(document.createElement("input"), attributes); }

// A number or, empty, nothing.
function number(area, key, label, attributes) {
  const node = input({ type: "number", min: 0, value: area[key] ?? "", ...attributes });
  node.addEventListener("input", () => { area[key] = node.value === "" ? null : Number(node.value); });
  return field(label, node);
}

export function areaFields(area, { at, labels, draft, changed, remove }) {
  const name = input({ type: "text", value: area.name, required: true, maxLength: 64, pattern: NAME, title: "letters, digits, - _ . and single spaces", spellcheck: false });
  name.addEventListener("input", () => {
    area.name = name.value;
    name.setCustomValidity(draft.some(each => each !== area && each.name === name.value) ? "Another line or zone has this name." : "");
    changed();
  });

  const classes = input({ type: "text", value: (area.classes ?? []).join(", "), placeholder: "all", spellcheck: false });
  classes.addEventListener("input", () => {
    const chosen = classes.value.split(",").map(each => each.trim()).filter(Boolean);
    const unknown = chosen.filter(each => !labels.includes(each));
    area.classes = chosen.length ? chosen : null;
    classes.setCustomValidity(unknown.length ? `Not classes of the model: ${unknown.join(", ")}` : "");
  });

  const anchor = document.createElement("select");
  anchor.append(new Option("bottom: where it stands", "bottom"), new Option("centre of the box", "center"));
  anchor.value = area.anchor ?? "bottom";
  anchor.addEventListener("change", () => { area.anchor = anchor.value; });

  const mark = element("span", "mark");
  mark.style.setProperty("--area", colour(at));
  const gone = button("remove", "Remove");
  gone.setAttribute("aria-label", `Remove ${area.name}`);
  gone.addEventListener("click", remove);
  const swap = button("swap", "Swap in and out");
  swap.addEventListener("click", () => { area.points.reverse(); changed(); });

  const more = element("details", "", element("summary", "", "Settings"), element("div", "settings",
    field("Classes that count, separated by commas", classes),
    field("Point of a box that counts", anchor),
    ...(area.kind === "zone" ? [
      number(area, "dwell_s", "Event when an object stays, s", { step: "any", placeholder: "never" }),
      number(area, "max_count", "Event when there are more objects than", { step: 1, placeholder: "never" }),
    ] : []),
    number(area, "cooldown_s", "Least time between events of a kind, s", { step: "any", placeholder: "1" })));
  // A hidden field that is wrong could not be shown by the browser.
  more.addEventListener("invalid", () => { more.open = true; }, true);
  return element("fieldset", "", element("legend", "", mark, area.kind === "line" ? "Line" : "Zone"),
    element("div", "name-row", field("Name", name), gone), ...(area.kind === "line" ? [swap] : []), more);
}
