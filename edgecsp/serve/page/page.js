// The page: polls the state once a second and updates each stream's card.
import { Card } from "./card.js";
import { element } from "./dom.js";
import { follow, playing } from "./events.js";
import { trial } from "./trial.js";

const EVERY_MS = 1000, HIDDEN_MS = 10000, SPEAK_MS = 10000;
// A browser opens six connections to a server: beyond so many streams, images are fetched one by one.
const MOVING = 4;

const wall = document.getElementById("streams"), alarm = document.getElementById("alarm");
const cards = new Map();
let state = null, down = false, spoken = "", spokenAt = -Infinity;

const lights = document.getElementById("lights"), root = document.documentElement;
const storedTheme = (() => { try { return localStorage.getItem("lights"); } catch { return null; } })();
if (storedTheme) root.dataset.lights = storedTheme;
lights.addEventListener("click", () => {
  const dark = root.dataset.lights ? root.dataset.lights === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.lights = dark ? "light" : "dark";
  try { localStorage.setItem("lights", root.dataset.lights); } catch { /* storage is disabled */ }
  draw();
});

function facts() {
  const { model, engine, device, precision, threads, healthy, waiting } = state;
  const rows = [["model", `${model.name}, ${model.width}\u00d7${model.height}`, ""]];
  if (engine) rows.push(["engine", [engine, device, precision].filter(Boolean).join(", "), ""]);
  if (threads) rows.push(["threads", threads, ""]);
  if (waiting) rows.push(["waiting", `${waiting} of ${state.queue}`, "warn"]);
  if (!healthy) rows.push(["engine", "restarting", "bad"]);
  if (model.random) rows.push(["weights", "random: detections are meaningless", "bad"]);
  const list = document.getElementById("facts");
  const content = JSON.stringify(rows);
  if (list.dataset.content === content) return;
  list.dataset.content = content;
  list.replaceChildren(...rows.map(([name, value, kind]) => element("div", "", element("dt", "", name), element("dd", kind, value))));
}

function draw() {
  if (!state) return;
  facts();
  const names = state.streams.map(each => each.name);
  for (const [name, card] of cards) {
    if (!names.includes(name)) { card.remove(); cards.delete(name); }
  }
  for (const stream of state.streams) {
    if (!cards.has(stream.name)) {
      const card = new Card(stream, state.model);
      cards.set(stream.name, card);
      wall.append(card.node);
      // Alone on a wide screen there is room for its controls.
      if (names.length === 1 && innerWidth >= 1024) card.find(".filters").open = true;
    }
    cards.get(stream.name).show(stream, state.model);
  }
  wall.classList.toggle("only", names.length === 1);
  follow(state.streams);
  document.getElementById("none").hidden = names.length > 0;
  document.title = names.length ? `edgecsp: ${names.length === 1 ? state.streams[0].title : `${names.length} streams`}` : "edgecsp";
  speak();
}

// Announce changes to screen readers, at most once in ten seconds.
function speak() {
  const now = performance.now();
  if (now - spokenAt < SPEAK_MS) return;
  const text = state.streams.map(each => `${each.title}: ${cards.get(each.name).summary()}`).join(". ");
  if (text && text !== spoken) {
    document.getElementById("announcement").textContent = text;
    [spoken, spokenAt] = [text, now];
  }
}

function updateViews() {
  // A clip has the connections to itself; the streams are behind it.
  const moving = !document.hidden && !down && !playing();
  const live = [...cards.values()];
  live.forEach((card, at) => card.play(moving && at < MOVING));
  return moving ? live.slice(MOVING) : [];
}

async function ask() {
  try {
    const answer = await fetch("/api/state", { signal: AbortSignal.timeout(8000) });
    if (answer.status === 401) { location.reload(); return; }
    if (!answer.ok) throw new Error((await answer.json()).error);
    state = await answer.json();
    if (down) live();
    draw();
  } catch (error) {
    if (!down) {
      down = true;
      alarm.textContent = "The server does not respond. The images are out of date; reconnecting.";
      alarm.hidden = false;
      wall.classList.add("away");
    }
  }
  updateViews();
}

function live() {
  down = false;
  alarm.hidden = true;
  wall.classList.remove("away");
}

async function every() {
  for (;;) {
    await ask();
    await new Promise(done => {
      const timer = setTimeout(done, document.hidden ? HIDDEN_MS : EVERY_MS);
      document.addEventListener("visibilitychange", () => { clearTimeout(timer); done(); }, { once: true });
    });
  }
}

// Fetch the images of the streams beyond the first four in turn, over one connection.
async function still() {
  for (;;) {
    const waiting = updateViews();
    for (const card of waiting) await card.snap();
    await new Promise(done => setTimeout(done, waiting.length ? 120 : 1000));
  }
}

trial(() => state);
// An endless MJPEG image would keep the page from ever being loaded.
if (document.readyState !== "complete") await new Promise(done => addEventListener("load", done));
every();
still();
