// Lines and zones over a stream's image: seen by all, moved by mouse, finger and keyboard while they are edited.
import { button, element, svgElement } from "./dom.js";
import { Pencil } from "./pencil.js";
import { LEAST, MOST, arrow, centre, middle, moved, path, percent, point, stepOf } from "./shapes.js";

const COLOURS = ["#27c4f5", "#ffd23f", "#ff6fae", "#7be36b", "#b79bff", "#ff9f45"];

export const colour = at => COLOURS[at % COLOURS.length];

export class Stage {
  // `tell` is called with a sentence for people who cannot see what changed, `changed` after each change.
  constructor(node, { tell, changed }) {
    this.node = node;
    this.svg = node.querySelector("svg");
    this.tell = tell;
    this.changed = changed;
    this.areas = [];
    this.notes = [];
    this.editing = false;
    this.pencil = new Pencil(this);
    new ResizeObserver(() => this.place()).observe(node);
  }

  // The size of the image, whose share of the view is the stage.
  resize(width, height) { this.node.style.setProperty("--ratio", String(width / height)); }

  toPlace([x, y]) { return [x * this.node.clientWidth, y * this.node.clientHeight]; }

  toPoint(event) {
    const box = this.node.getBoundingClientRect();
    return point((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  }

  // Draw the areas anew; `editing` gives them handles.
  show(areas, editing) {
    this.areas = areas;
    this.editing = editing;
    this.node.classList.toggle("edited", editing);
    this.node.querySelectorAll(".handle, .between, .tag").forEach(each => each.remove());
    this.parts = areas.map((area, at) => this.build(area, at));
    this.svg.replaceChildren(...this.parts.flatMap(each => each.lines), ...this.pencil.lines);
    this.place();
  }

  // A few words beside each name, while nobody edits.
  note(notes) {
    this.notes = notes;
    if (!this.editing) this.place();
  }

  build(area, at) {
    const lines = ["halo", "shape", ...(area.kind === "line" ? ["halo", "arrow"] : [])].map(kind => svgElement("path", { class: `${kind} ${area.kind}` }));
    lines.forEach(each => each.style.setProperty("--area", colour(at)));
    const tag = this.editing ? button("tag") : element("span", "tag");
    tag.style.setProperty("--area", colour(at));
    const part = { lines, tag, handles: [], between: [] };
    this.node.append(tag);
    if (!this.editing) return part;
    const whole = () => area.points, put = points => { area.points = points; };
    for (const node of [tag, lines[1]]) this.dragged(node, whole, put, (points, dx, dy) => moved(points, dx, dy));
    this.keys(tag, whole, put, moved, () => this.remove(at));
    part.handles = area.points.map((_, corner) => this.handle(area, at, corner));
    const closed = area.kind === "zone" && area.points.length < MOST.zone;
    part.between = closed ? area.points.map((_, corner) => this.insertion(area, at, corner)) : [];
    this.node.append(...part.between, ...part.handles);
    return part;
  }

  handle(area, at, corner) {
    const node = button("handle");
    node.style.setProperty("--area", colour(at));
    const put = points => { area.points[corner] = points[0]; };
    this.dragged(node, () => [area.points[corner]], put, moved);
    this.keys(node, () => [area.points[corner]], put, moved, () => this.removeCorner(area, at, corner), () => this.insert(area, at, corner));
    return node;
  }

  // A point between two corners that becomes a corner when it is dragged; keys do the same from the corner.
  insertion(area, at, corner) {
    const node = button("between");
    node.tabIndex = -1;
    node.setAttribute("aria-hidden", "true");
    node.style.setProperty("--area", colour(at));
    let inserted = false;
    this.dragged(node, () => (inserted ? [area.points[corner + 1]] : [middle(area.points[corner], area.points[(corner + 1) % area.points.length])]), points => {
      area.points.splice(corner + 1, inserted ? 1 : 0, points[0]);
      inserted = true;
    }, moved, () => {
      if (!inserted) return;
      this.show(this.areas, true);
      this.focus(at, corner + 1);
    });
    return node;
  }

  // -- pointers and keys

  dragged(node, take, put, move, done = () => {}) {
    node.addEventListener("pointerdown", down => {
      if (down.button !== 0 || this.pencil.kind) return;
      down.preventDefault();
      down.stopPropagation();
      if (node.focus && node.tabIndex >= 0) node.focus({ preventScroll: true });
      node.setPointerCapture(down.pointerId);
      const [x, y] = this.toRaw(down), before = take();
      let active = true;
      const follow = event => {
        const [nowX, nowY] = this.toRaw(event);
        put(move(before, nowX - x, nowY - y));
        this.place();
      };
      const end = event => {
        if (!active) return;
        active = false;
        if (event.type !== "pointerup" && event.type !== "lostpointercapture") put(before);
        removeEventListener("keydown", escape, true);
        node.removeEventListener("pointermove", follow);
        this.place();
        this.changed();
        done();
      };
      const escape = event => {
        if (event.key !== "Escape") return;
        event.preventDefault();
        event.stopPropagation();
        end(event);
      };
      addEventListener("keydown", escape, true);
      node.addEventListener("pointermove", follow);
      for (const kind of ["pointerup", "pointercancel", "lostpointercapture"]) node.addEventListener(kind, end, { once: true });
    });
  }

  // Relative, also outside of the image.
  toRaw(event) {
    const box = this.node.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }

  keys(node, take, put, move, remove, insert) {
    let before = null;
    node.addEventListener("focus", () => { before = take(); });
    node.addEventListener("keydown", event => {
      const step = stepOf(event);
      if (step) {
        put(move(take(), ...step));
        this.tell(percent(centre(take())));
      } else if (event.key === "Escape" && JSON.stringify(before) !== JSON.stringify(take())) {
        put(before);
        this.tell(`Moved back to ${percent(centre(before))}`);
      } else if (event.key === "Delete" || event.key === "Backspace") {
        remove();
      } else if (event.key === "Enter" && insert) {
        insert();
      } else {
        return;
      }
      event.preventDefault();
      event.stopPropagation();
      this.place();
      this.changed();
    });
  }

  insert(area, at, corner) {
    if (area.points.length >= MOST[area.kind]) { this.tell(`A ${area.kind} has ${MOST[area.kind]} points at most`); return; }
    area.points.splice(corner + 1, 0, middle(area.points[corner], area.points[(corner + 1) % area.points.length]));
    this.show(this.areas, true);
    this.focus(at, corner + 1);
    this.tell("Corner added");
  }

  removeCorner(area, at, corner) {
    if (area.points.length <= LEAST[area.kind]) {
      this.tell(`A ${area.kind} needs ${LEAST[area.kind]} points. To remove all of ${area.name}, press Delete on its name`);
      return;
    }
    area.points.splice(corner, 1);
    this.show(this.areas, true);
    this.focus(at, Math.min(corner, area.points.length - 1));
    this.tell("Corner removed");
  }

  remove(at) {
    const [area] = this.areas.splice(at, 1);
    this.show(this.areas, true);
    this.changed();
    this.tell(`${area.name} removed`);
    if (this.areas.length) this.focus(Math.min(at, this.areas.length - 1));
  }

  focus(at, corner) {
    const part = this.parts[at];
    (corner === undefined ? part.tag : part.handles[corner]).focus({ preventScroll: true });
  }

  // -- places

  place() {
    const [width, height] = [this.node.clientWidth, this.node.clientHeight];
    this.svg.setAttribute("viewBox", `0 0 ${width || 1} ${height || 1}`);
    this.parts?.forEach((part, at) => this.placePart(part, this.areas[at], at));
    this.pencil.place();
  }

  placePart({ lines, tag, handles, between }, area, at) {
    const { kind, points, name } = area, places = points.map(each => this.toPlace(each));
    const outline = path(places, kind === "zone");
    lines[0].setAttribute("d", outline);
    lines[1].setAttribute("d", outline);
    let spot = this.toPlace(centre(points));
    if (kind === "line") {
      const { shaft, head, name: beside } = arrow(places);
      lines.slice(2).forEach(each => each.setAttribute("d", path(shaft) + path(head)));
      spot = beside;
    }
    tag.replaceChildren(name || "(no name)", ...(this.editing || !this.notes[at] ? [] : [element("span", "", `: ${this.notes[at]}`)]));
    this.put(tag, spot);
    if (this.editing) tag.setAttribute("aria-label", `${kind} ${name}: arrow keys move it, Delete removes it`);
    handles.forEach((node, corner) => {
      this.put(node, places[corner]);
      const what = kind === "line" ? (corner ? "end" : "start") : `corner ${corner + 1} of ${points.length}`;
      node.setAttribute("aria-label", `${name}, ${what}: ${percent(points[corner])}`);
    });
    // While one of them is dragged there is a corner more than there are handles.
    if (points.length === handles.length) between.forEach((node, corner) => this.put(node, this.toPlace(middle(points[corner], points[(corner + 1) % points.length]))));
  }

  put(node, [x, y]) {
    const room = node.className === "tag" ? [node.offsetWidth / 2, node.offsetHeight / 2] : [0, 0];
    const inside = (value, size, half) => Math.min(size - half, Math.max(half, value));
    node.style.left = `${inside(x, this.node.clientWidth, room[0])}px`;
    node.style.top = `${inside(y, this.node.clientHeight, room[1])}px`;
  }
}
