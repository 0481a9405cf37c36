// A stream's card: its live view, its figures, its plot and its filters.
import { Areas } from "./areas.js";
import { plot } from "./plot.js";

const WAIT_MS = 150;

export class Card {
  constructor(stream, model) {
    this.node = document.getElementById("card").content.firstElementChild.cloneNode(true);
    this.address = `/api/streams/${encodeURIComponent(stream.name)}`;
    this.model = model;
    this.image = this.find("img");
    this.form = this.find(".filters form");
    this.playing = false;
    this.broken = 0;
    this.all = false;
    this.pending = 0;
    this.last = stream;
    this.find("h2").textContent = stream.title;
    this.find(".source").textContent = stream.source === stream.title ? "" : stream.source;
    this.find(".api code").textContent = stream.name;
    this.find(".api a").href = this.address;
    this.node.setAttribute("aria-label", stream.title);
    this.image.alt = `Live view of ${stream.title} with detected objects boxed`;
    this.image.addEventListener("error", () => this.again());
    this.find(".wide").addEventListener("click", event => {
      const large = this.node.classList.toggle("large");
      event.currentTarget.setAttribute("aria-pressed", String(large));
      event.currentTarget.querySelector(".unseen").textContent = large ? "Make smaller" : "Enlarge";
      if (large) this.node.scrollIntoView({ block: "nearest" });
    });
    this.areas = new Areas(this.node, this.address, model.labels);
    this.find(".more").addEventListener("click", () => {
      this.all = !this.all;
      this.now = plot(this.node, this.last.plot, this.model, this.all);
    });
    this.controls();
  }

  find(selector) { return this.node.querySelector(selector); }

  remove() { this.play(false); this.node.remove(); }

  // -- the live view

  play(playing) {
    if (playing === this.playing) return;
    this.playing = playing;
    if (playing) this.image.src = `${this.address}/video?${Date.now()}`;
    else if (this.image.src.includes("/video")) this.image.src = `${this.address}/picture.jpg?${Date.now()}`;
  }

  again() {
    if (!this.playing) return;
    this.playing = false;  // the next look at the state starts it again
    this.broken += 1;
  }

  snap() {
    return new Promise(done => {
      const next = new Image();
      next.onload = () => { this.image.src = next.src; done(); };
      next.onerror = () => setTimeout(done, 500);
      next.src = `${this.address}/picture.jpg?${Date.now()}`;
    });
  }

  // -- figures

  show(stream, model) {
    this.last = stream;
    this.node.dataset.state = stream.state;
    this.find(".state").textContent = stream.state;
    this.setReason(stream.state === "live" ? "" : stream.reason);
    this.find(".view").style.aspectRatio = stream.width && stream.height ? `${stream.width} / ${stream.height}` : "";
    this.find(".fps").textContent = stream.state === "live" ? stream.fps.toFixed(1) : "\u2013";
    this.find(".latency").textContent = stream.latency_ms === null ? "\u2013" : stream.latency_ms.toFixed(stream.latency_ms < 10 ? 1 : 0);
    this.find(".dropped").textContent = stream.dropped.toLocaleString("en");
    this.now = plot(this.node, stream.plot, model, this.all);
    this.areas.show(stream);
    this.settle();
  }

  // The image has no room for it. Unchanged text is left alone: screen readers would read it again.
  setReason(text) {
    const note = this.find(".reason");
    if (note.textContent !== text) note.textContent = text;
    note.hidden = !text;
  }

  summary() {
    if (this.last.state !== "live") return this.last.reason || this.last.state;
    return this.now.length ? this.now.map(each => `${each.count} ${each.label}`).join(", ") : "no objects in view";
  }

  // -- filters

  controls() {
    const classes = this.find(".classes"), search = this.find("[type=search]");
    this.boxes = this.model.labels.map((label, at) => {
      const row = document.createElement("label"), box = document.createElement("input");
      box.type = "checkbox";
      box.value = at;
      row.append(box, label);
      classes.append(row);
      return box;
    });
    if (this.model.labels.length < 9) this.find(".find").hidden = true;
    search.addEventListener("input", () => {
      const query = search.value.trim().toLowerCase();
      this.boxes.forEach(box => { box.parentElement.hidden = !box.parentElement.textContent.toLowerCase().includes(query); });
    });
    this.find(".all").addEventListener("click", () => {
      this.boxes.forEach(box => { box.checked = true; });
      this.later({ classes: null });
    });
    classes.addEventListener("change", () => {
      const ids = this.boxes.filter(box => box.checked).map(box => Number(box.value));
      this.later({ classes: ids.length === this.boxes.length ? null : ids });
    });
    for (const name of ["conf", "iou"]) {
      this.form.elements[name].addEventListener("input", event => {
        this.showValue(name, Number(event.target.value));
        this.later({ [name]: Number(event.target.value) });
      });
    }
    this.form.addEventListener("reset", event => {
      event.preventDefault();
      this.later({ conf: null, iou: null, classes: null });
    });
    this.form.addEventListener("submit", event => event.preventDefault());
  }

  showValue(name, value) { this.form.elements[name].previousElementSibling.textContent = value.toFixed(2); }

  // Set the controls to the server's values, unless one is being dragged.
  settle() {
    if (this.pending) return;
    const { conf, iou, class_ids: ids } = this.last;
    for (const [name, value] of [["conf", conf ?? this.model.conf], ["iou", iou ?? this.model.iou]]) {
      if (document.activeElement !== this.form.elements[name] || !this.form.elements[name].matches(":active")) {
        this.form.elements[name].value = value;
        this.showValue(name, value);
      }
    }
    this.boxes.forEach((box, at) => { box.checked = ids === null || ids.includes(at); });
    const active = [conf !== null || iou !== null ? `confidence \u2265 ${(conf ?? this.model.conf).toFixed(2)}` : "", ids ? `${ids.length} of ${this.boxes.length} classes` : ""];
    this.find(".filter-summary").textContent = active.filter(Boolean).join(", ");
  }

  later(change) {
    this.change = { ...this.change, ...change };
    this.pending += 1;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.send(), WAIT_MS);
  }

  async send() {
    const [change, mine] = [this.change, this.pending];
    this.change = {};
    try {
      const answer = await fetch(this.address, {
        method: "PUT", headers: { "Content-Type": "application/json" }, body: JSON.stringify(change),
      });
      const result = await answer.json();
      this.find(".filters .wrong").textContent = answer.ok ? "" : result.error;
      if (answer.ok) this.last = { ...this.last, ...result };
    } catch {
      this.find(".filters .wrong").textContent = "The server did not respond; the settings are unchanged.";
    }
    if (this.pending === mine) { this.pending = 0; this.settle(); }
  }
}
