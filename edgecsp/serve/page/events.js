// What happened at lines and zones, newest first: a list that grows by server-sent events, and a player for clips.
import { ask, button, element } from "./dom.js";

const PAGE = 20, MOST = 500;
// Clips are written some seconds after their event; nothing tells when.
const CLIP_CHECK_MS = 3000, CLIP_WAIT_MS = 90000, RETRY_MS = 5000;

const find = id => document.getElementById(id);
const list = find("events-list"), player = find("player"), video = player.querySelector("video"), still = player.querySelector("img");
let titles = new Map(), events = [], limit = PAGE, loads = 0, source = null, timer = null, retry = null;

export const playing = () => player.open;

export function sentence({ kind, area, label, direction, value }) {
  const what = label ?? "object", seconds = value === null ? "" : `${value < 10 ? value.toFixed(1) : Math.round(value)} s`;
  return {
    cross: `${what} crossed ${area}, ${direction}`,
    enter: `${what} entered ${area}`,
    leave: `${what} left ${area}${seconds && ` after ${seconds}`}`,
    dwell: `${what} has been in ${area} for ${seconds}`,
    count: `${value} objects in ${area}`,
  }[kind] ?? `${kind}: ${area}`;
}

function when(time) {
  const date = new Date(time), today = new Date().toDateString() === date.toDateString();
  return `${today ? "" : `${date.toLocaleDateString()} `}${date.toLocaleTimeString()}`;
}

// -- the list

function row(event) {
  const node = element("li", "event"), text = sentence(event);
  node.dataset.id = event.id;
  const thumb = event.snapshot || event.clip ? button("thumb") : element("span", "thumb");
  if (event.snapshot) thumb.append(Object.assign(new Image(), { src: event.snapshot, alt: "", loading: "lazy", width: 128, height: 72 }));
  if (event.snapshot || event.clip) {
    thumb.classList.toggle("has-clip", Boolean(event.clip));
    thumb.setAttribute("aria-label", `${event.clip ? "Play clip" : "Show image"}: ${text}`);
    thumb.addEventListener("click", () => play(event));
  }
  const about = [titles.get(event.stream) ?? event.stream, event.track_id === null ? "" : `track ${event.track_id}`].filter(Boolean).join(", ");
  node.append(thumb, element("div", "", element("p", "what", text), element("p", "about-event", Object.assign(element("time", "", when(event.time)), { dateTime: event.time }), ` \u00b7 ${about}`)));
  return node;
}

// Rows of the same event stay as they are: somebody may be on one with the keyboard.
function render() {
  const rows = new Map([...list.children].map(each => [each.dataset.id, each]));
  const nodes = events.map(event => {
    const old = rows.get(event.id), content = `${event.snapshot} ${event.clip}`;
    if (old && old.content === content) return old;
    const node = Object.assign(row(event), { content });
    if (old?.contains(document.activeElement)) requestAnimationFrame(() => node.querySelector("button")?.focus());
    return node;
  });
  nodes.forEach((node, at) => { if (list.children[at] !== node) list.insertBefore(node, list.children[at] ?? null); });
  while (list.children.length > nodes.length) list.lastChild.remove();
  find("events-none").hidden = events.length > 0;
  find("events-more").hidden = events.length < limit || limit >= MOST;
}

function matches(event) {
  const [stream, kind] = [find("events-stream").value, find("events-kind").value];
  return (!stream || event.stream === stream) && (!kind || event.kind === kind);
}

async function load() {
  const query = new URLSearchParams({ limit });
  for (const name of ["stream", "kind"]) if (find(`events-${name}`).value) query.set(name, find(`events-${name}`).value);
  const before = events, mine = loads += 1;
  try {
    const { events: rows } = await ask(`/api/events?${query}`);
    if (mine !== loads) return;
    // What came by the stream of events meanwhile is newer than the answer.
    const newer = events.filter(each => !before.includes(each) && !rows.some(row => row.id === each.id) && matches(each));
    events = [...newer, ...rows].slice(0, limit);
    find("events-wrong").textContent = "";
  } catch (error) {
    find("events-wrong").textContent = error.message;
  }
  render();
  expectClips();
}

// Ask again while a clip is being written.
function expectClips() {
  clearTimeout(timer);
  const fresh = events.some(event => event.snapshot && !event.clip && Date.now() - Date.parse(event.time) < CLIP_WAIT_MS);
  timer = fresh && source ? setTimeout(load, CLIP_CHECK_MS) : null;
}

// -- live

function listen(on) {
  if (on === Boolean(source) || (on && retry)) return;
  if (!on) {
    source.close();
    source = null;
    clearTimeout(timer);
    return;
  }
  source = new EventSource("/events?type=area");
  source.addEventListener("open", load);
  source.addEventListener("lost", load);
  source.addEventListener("area", message => {
    const { event } = JSON.parse(message.data);
    if (!matches(event) || events.some(each => each.id === event.id)) return;
    events = [event, ...events].slice(0, limit);
    render();
    if (!timer) expectClips();
  });
  source.addEventListener("error", () => {
    // A browser tries again by itself, but not after a refusal.
    if (source?.readyState !== EventSource.CLOSED) return;
    source = null;
    load();
    retry = setTimeout(() => { retry = null; listen(!document.hidden); }, RETRY_MS);
  });
}

// Follow the state: nothing is asked for where no stream tracks.
export function follow(streams) {
  const tracked = streams.filter(each => each.track), select = find("events-stream");
  titles = new Map(streams.map(each => [each.name, each.title]));
  find("events").hidden = !tracked.length;
  if (tracked.map(each => each.name).join() !== [...select.options].slice(1).map(each => each.value).join()) {
    select.replaceChildren(new Option("all streams", ""), ...tracked.map(each => new Option(each.title, each.name)));
  }
  select.parentElement.hidden = tracked.length < 2;
  listen(tracked.length > 0 && !document.hidden);
}

// -- the player

function play(event) {
  player.querySelector("h2").textContent = sentence(event);
  player.querySelector(".player-about").textContent = `${titles.get(event.stream) ?? event.stream}, ${when(event.time)}`;
  player.querySelector(".wrong").textContent = "";
  const download = player.querySelector(".download");
  [video.hidden, still.hidden, download.hidden] = [!event.clip, Boolean(event.clip), !event.clip];
  if (event.clip) {
    download.href = event.clip;
    download.download = `${event.stream}-${event.id}.mp4`;
    if (event.snapshot) video.poster = event.snapshot;
    video.src = event.clip;
  } else {
    still.src = event.snapshot;
    still.alt = sentence(event);
  }
  player.showModal();
  if (event.clip) video.play().catch(() => { /* the controls are there */ });
}

video.addEventListener("error", () => {
  if (video.hidden || !video.hasAttribute("src")) return;
  player.querySelector(".wrong").textContent = video.error?.code === 4 ? "This browser cannot play the clip, or it is gone. It may be downloaded." : "The clip could not be read.";
});
player.addEventListener("close", () => {
  // Without a source the browser gives the connection back.
  video.pause();
  video.removeAttribute("src");
  video.removeAttribute("poster");
  video.load();
  still.removeAttribute("src");
});
player.addEventListener("click", event => { if (event.target === player) player.close(); });
player.querySelector(".close").addEventListener("click", () => player.close());
find("events-more").addEventListener("click", () => { limit = Math.min(MOST, limit + PAGE); load(); });
for (const name of ["stream", "kind"]) find(`events-${name}`).addEventListener("change", () => { limit = PAGE; load(); });
document.addEventListener("visibilitychange", () => { if (document.hidden) listen(false); });
