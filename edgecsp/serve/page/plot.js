// Objects in view by class over time: one line per class, newest at the right, as SVG.
const WIDTH = 600, HEIGHT = 110, MOST = 5;
const SPACE = "http://www.w3.org/2000/svg";

export function tint(model, label) {
  const at = model.labels.indexOf(label);
  const colour = model.palette[(at < 0 ? 0 : at) % model.palette.length];
  const lights = document.documentElement.dataset.lights;
  const dark = lights ? lights === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  // The boxes' colours are chosen for images; lines must also stand out from the page.
  return mixed(colour, dark ? 255 : 0, dark ? (bright(colour) < 0.35 ? 0.42 : 0.12) : bright(colour) > 0.6 ? 0.38 : 0.1);
}

function parts(colour) { return [1, 3, 5].map(at => parseInt(colour.slice(at, at + 2), 16)); }

function bright(colour) {
  const [r, g, b] = parts(colour);
  return (0.3 * r + 0.59 * g + 0.11 * b) / 255;
}

function mixed(colour, to, share) {
  return `rgb(${parts(colour).map(value => Math.round(value + (to - value) * share)).join(" ")})`;
}

function svgElement(name, attributes) {
  const node = document.createElementNS(SPACE, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

// Draw into the card; returns what is in view now: [{label, count}].
export function plot(card, { counts, frames }, model) {
  const svg = card.querySelector(".plot svg");
  const rows = Object.entries(counts).map(([label, values]) => ({ label, values, sum: values.reduce((a, b) => a + b, 0) }))
    .filter(row => row.sum > 0).sort((a, b) => b.sum - a.sum);
  const visible = rows.slice(0, MOST);
  const top = Math.max(1, ...visible.flatMap(row => row.values));
  const steps = frames.length, x = at => (at / Math.max(1, steps - 1)) * WIDTH, y = value => HEIGHT - (value / top) * (HEIGHT - 8);
  const away = gaps(frames).map(([from, to]) => svgElement("rect", { class: "away", x: x(from), y: 0, width: x(to) - x(from), height: HEIGHT }));
  const lines = [1, 0.5].map(share => svgElement("line", { x1: 0, x2: WIDTH, y1: y(top * share), y2: y(top * share) }));
  const base = svgElement("line", { class: "base", x1: 0, x2: WIDTH, y1: HEIGHT, y2: HEIGHT });
  const spans = runs(frames);
  const paths = visible.slice().reverse().flatMap(row => {
    const colour = tint(model, row.label);
    const points = ([from, to]) => row.values.slice(from, to + 1).map((value, at) => `${x(from + at).toFixed(1)} ${y(value).toFixed(1)}`).join("L");
    const area = spans.map(run => `M${x(run[0]).toFixed(1)} ${HEIGHT}L${points(run)}L${x(run[1]).toFixed(1)} ${HEIGHT}Z`).join("");
    // A run of one is a point, which a line with round ends shows.
    const line = spans.map(run => `M${points(run)}${run[0] === run[1] ? "h.01" : ""}`).join("");
    return [svgElement("path", { class: "area", d: area, fill: colour }), svgElement("path", { class: "line", d: line, stroke: colour })];
  });
  svg.replaceChildren(...away, ...lines, base, ...paths);
  card.querySelector(".most").textContent = visible.length ? `max ${number(top)}` : "";
  svg.setAttribute("aria-label", visible.length
    ? `Objects in view over the last 10 minutes: ${visible.map(row => `${row.label}, at most ${number(Math.max(...row.values))}`).join("; ")}`
    : "No objects in view over the last 10 minutes");
  legend(card.querySelector(".legend"), visible, rows.length - visible.length, model);
  return rows.map(row => ({ label: row.label, count: Math.round(row.values[steps - 1]) })).filter(each => each.count > 0);
}

// The spans of steps with frames, [first, last]; the newest step is incomplete.
function runs(frames) {
  const spans = [];
  frames.forEach((count, at) => {
    const last = spans[spans.length - 1];
    if (!count) return;
    if (last && last[1] === at - 1) last[1] = at;
    else spans.push([at, at]);
  });
  return spans;
}

// The spans without frames.
function gaps(frames) {
  const spans = [];
  let end = 0;
  for (const [from, to] of runs(frames)) {
    if (from > end) spans.push([end, from]);
    end = to;
  }
  if (end < frames.length - 2 || !spans.length && !end) spans.push([end, frames.length - 1]);
  return spans;
}

function number(value) { return value >= 10 || Number.isInteger(value) ? String(Math.round(value)) : value.toFixed(1); }

function legend(list, rows, more, model) {
  const entries = rows.map(({ label, values }) => {
    const entry = document.createElement("li"), mark = svgElement("svg", { viewBox: "0 0 10 10", "aria-hidden": "true" });
    const count = document.createElement("b");
    mark.append(svgElement("rect", { width: 10, height: 10, rx: 3, fill: tint(model, label) }));
    count.textContent = number(values[values.length - 1]);
    entry.append(mark, `${label} `, count);
    return entry;
  });
  if (more > 0 || !rows.length) {
    const entry = document.createElement("li");
    entry.className = "none";
    entry.textContent = rows.length ? `and ${more} more` : "No objects yet.";
    entries.push(entry);
  }
  list.replaceChildren(...entries);
}
