// Drawing a new line or zone on the stage: points are set by clicks, by dragging, or by a cursor that keys move.
import { svgElement } from "./dom.js";
import { LEAST, MOST, path, percent, point, rectangle, stepOf } from "./shapes.js";

const NEAR_PX = 14, DRAG_PX = 12;

export class Pencil {
  constructor(stage) {
    this.stage = stage;
    this.kind = null;
    this.points = [];
    this.lines = ["halo", "shape drawn"].map(each => svgElement("path", { class: each }));
    this.sheet = stage.node.querySelector(".sheet");
    this.cross = this.sheet.querySelector(".cross");
    this.sheet.addEventListener("pointerdown", event => this.press(event));
    this.sheet.addEventListener("pointermove", event => { if (event.pointerType === "mouse" || this.start) this.move(this.stage.toPoint(event)); });
    this.sheet.addEventListener("pointerup", event => this.release(event));
    this.sheet.addEventListener("pointercancel", () => { this.start = null; });
    this.sheet.addEventListener("keydown", event => this.key(event));
  }

  // Draw until there is a line or zone, which `done` is called with; null when it was given up.
  begin(kind, done) {
    [this.kind, this.done, this.points, this.start] = [kind, done, [], null];
    this.sheet.hidden = false;
    this.move([0.5, 0.5]);
    this.cross.focus({ preventScroll: true });
    this.ask();
  }

  end(points) {
    if (!this.kind) return;
    const done = this.done;
    this.kind = null;
    this.sheet.hidden = true;
    this.points = [];
    this.place();
    done(points);
  }

  cancel() { this.end(null); }

  get ready() { return this.kind === "zone" && this.points.length >= LEAST.zone; }

  finish() { if (this.ready) this.end(this.points); }

  // -- points

  add(at) {
    const first = this.points[0];
    if (this.ready && this.near(at, first)) { this.finish(); return; }
    if (this.points.some(each => this.near(at, each, 3))) return;
    this.points.push(at);
    if (this.points.length === MOST[this.kind]) { this.end(this.points); return; }
    this.place();
    this.ask();
  }

  near(a, b, px = NEAR_PX) {
    const [x, y] = this.stage.toPlace([a[0] - b[0], a[1] - b[1]]);
    return Math.hypot(x, y) <= px;
  }

  press(event) {
    if (event.button !== 0) return;
    event.preventDefault();
    this.sheet.setPointerCapture(event.pointerId);
    this.start = this.stage.toPoint(event);
    this.move(this.start);
  }

  release(event) {
    if (!this.start) return;
    const [from, to] = [this.start, this.stage.toPoint(event)];
    this.start = null;
    const [dx, dy] = this.stage.toPlace([Math.abs(to[0] - from[0]), Math.abs(to[1] - from[1])]);
    if (this.kind === "line" && !this.points.length && Math.hypot(dx, dy) > DRAG_PX) this.end([from, to]);
    else if (this.kind === "zone" && !this.points.length && dx > DRAG_PX && dy > DRAG_PX) this.end(rectangle(from, to));
    else this.add(to);
    this.cross.focus({ preventScroll: true });
  }

  key(event) {
    const step = stepOf(event);
    if (step) {
      this.move(point(this.at[0] + step[0], this.at[1] + step[1]));
      this.stage.tell(percent(this.at));
    } else if (event.key === "Enter" || event.key === " ") {
      // A second time at the same place is the last corner.
      if (this.ready && this.near(this.at, this.points[this.points.length - 1], 1)) this.finish();
      else this.add(this.at);
    } else if (event.key === "Escape") {
      this.cancel();
    } else if (event.key === "Delete" || event.key === "Backspace") {
      this.points.pop();
      this.place();
      this.ask();
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  move(at) {
    this.at = at;
    this.cross.setAttribute("aria-label", `Cursor at ${percent(at)}. Arrow keys move it, Enter sets a point, Escape cancels.`);
    this.place();
  }

  ask() {
    const set = this.points.length;
    this.stage.tell(this.kind === "line"
      ? `${set ? "Set its end" : "Drag a line, or set its start"}: click, tap, or arrow keys and Enter. Escape cancels.`
      : this.ready
        ? `${set} corners. Set more, or end at the first corner, with Enter twice, or with Finish.`
        : `${set ? `${set} of at least ${LEAST.zone} corners set` : "Drag a rectangle, or set the corners one by one"}: click, tap, or arrow keys and Enter. Escape cancels.`);
    this.stage.changed();
  }

  place() {
    if (!this.kind) { this.lines.forEach(each => each.setAttribute("d", "")); return; }
    const dragged = this.start && !this.points.length;
    const points = dragged ? (this.kind === "zone" ? rectangle(this.start, this.at) : [this.start, this.at]) : [...this.points, this.at];
    const places = points.map(each => this.stage.toPlace(each));
    // Corners are marked by short crosses of the path itself.
    const marks = this.points.map(each => this.stage.toPlace(each)).map(([x, y]) => `M${x - 5} ${y}h10M${x} ${y - 5}v10`).join("");
    this.lines.forEach(each => each.setAttribute("d", path(places, this.kind === "zone" && points.length > 2) + marks));
    const [x, y] = this.stage.toPlace(this.at);
    this.cross.style.left = `${x}px`;
    this.cross.style.top = `${y}px`;
  }
}
