// Objects in view by class over time: one line per class, newest at the right, as SVG.
import { svgElement } from "./dom.js";

const WIDTH = 600, HEIGHT = 110, MOST = 5;
const SPANS_S = [30, 60, 120, 300, 600];

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

// Draw into the card; returns what is in view now: [{label, count}]. `all` draws every class, not only the first five.
export function plot(card, { counts, frames, step_s: step }, model, all) {
  const svg = card.querySelector(".plot svg"), steps = Math.min(frames.length, covered(frames, step));
  const rows = Object.entries(counts).map(([label, values]) => ({ label, values, sum: values.reduce((a, b) => a + b, 0) }))
    .filter(row => row.sum > 0).sort((a, b) => b.sum - a.sum).map(row => ({ ...row, values: row.values.slice(-steps) }));
  const visible = all ? rows : rows.slice(0, MOST);
  const top = ceiling(Math.max(0, ...visible.flatMap(row => row.values)));
  const recent = frames.slice(-steps);
  // A value is the mean of the step that ends at its place.
  const x = at => ((at + 1) / steps) * WIDTH, y = value => HEIGHT - (value / top) * (HEIGHT - 8);
  const away = gaps(recent).map(([from, to]) => svgElement("rect", { class: "away", x: x(from - 1), y: 0, width: x(to) - x(from - 1), height: HEIGHT }));
  const lines = [1, 0.5].map(share => svgElement("line", { x1: 0, x2: WIDTH, y1: y(top * share), y2: y(top * share) }));
  const base = svgElement("line", { class: "base", x1: 0, x2: WIDTH, y1: HEIGHT, y2: HEIGHT });
  const spans = runs(recent);
  const paths = visible.slice().reverse().flatMap(row => {
    const colour = tint(model, row.label);
    // A run begins where its first step begins, so that a run of one step is a line as well.
    const points = ([from, to]) => [[x(from - 1), row.values[from]], ...row.values.slice(from, to + 1).map((value, at) => [x(from + at), value])]
      .map(([across, value]) => `${across.toFixed(1)} ${y(value).toFixed(1)}`).join("L");
    const area = spans.map(run => `M${x(run[0] - 1).toFixed(1)} ${HEIGHT}L${points(run)}L${x(run[1]).toFixed(1)} ${HEIGHT}Z`).join("");
    const line = spans.map(run => `M${points(run)}`).join("");
    return [svgElement("path", { class: "area", d: area, fill: colour }), svgElement("path", { class: "line", d: line, stroke: colour })];
  });
  svg.replaceChildren(...away, ...lines, base, ...paths);
  const span = words(steps * step);
  card.querySelector(".since").textContent = `${span} ago`;
  card.querySelector(".axis").replaceChildren(...[top, top / 2, 0].map(value => Object.assign(document.createElement("span"), { textContent: number(value) })));
  card.querySelector(".span").textContent = span;
  svg.setAttribute("aria-label", visible.length
    ? `Objects in view over the last ${span}: ${visible.map(row => `${row.label}, at most ${number(Math.max(...row.values))}`).join("; ")}`
    : `No objects in view over the last ${span}`);
  legend(card, visible, rows.length - MOST, all, model);
  return rows.map(row => ({ label: row.label, count: Math.round(row.values[steps - 1]) })).filter(each => each.count > 0);
}

// How many of the newest steps to draw: the shortest of some spans that has all frames, so that a new stream's plot is not empty.
function covered(frames, step) {
  const first = frames.findIndex(count => count > 0), used = first < 0 ? 0 : frames.length - first;
  return SPANS_S.map(seconds => Math.round(seconds / step)).find(steps => steps >= used) ?? frames.length;
}

// The top of the axis: a number that halves to a label worth reading.
function ceiling(value) {
  let unit = 1;
  for (;;) {
    for (const factor of [1, 2, 4, 6, 8]) if (factor * unit >= value) return factor * unit;
    unit *= 10;
  }
}

function words(seconds) { return seconds < 60 ? `${seconds} s` : `${Math.round(seconds / 60)} min`; }

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

// The spans of steps without frames; the newest is incomplete and may still get some.
function gaps(frames) {
  const spans = [];
  let end = 0;
  for (const [from, to] of runs(frames)) {
    if (from > end) spans.push([end, from - 1]);
    end = to + 1;
  }
  if (end < frames.length - 1) spans.push([end, frames.length - 1]);
  return spans;
}

function number(value) { return value >= 10 || Number.isInteger(value) ? String(Math.round(value)) : value.toFixed(1); }

function legend(card, rows, more, all, model) {
  card.querySelector(".legend").replaceChildren(...rows.map(({ label, values }) => {
    const entry = document.createElement("li"), mark = svgElement("svg", { viewBox: "0 0 10 10", "aria-hidden": "true" });
    const count = document.createElement("b");
    mark.append(svgElement("rect", { width: 10, height: 10, rx: 3, fill: tint(model, label) }));
    count.textContent = number(values[values.length - 1]);
    entry.append(mark, `${label} `, count);
    return entry;
  }));
  const button = card.querySelector(".more");
  button.hidden = more <= 0;
  button.textContent = all ? "show fewer" : `and ${more} more`;
  button.setAttribute("aria-expanded", String(all));
  card.querySelector(".meaning").textContent = rows.length ? "Mean number in view over the last 10 seconds:" : "No objects yet.";
}
