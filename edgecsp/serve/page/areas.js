// A stream's lines and zones: their counts, the editor, and saving. The stage over the image draws them.
import { areaFields } from "./area_fields.js";
import { ask, element } from "./dom.js";
import { freeName } from "./shapes.js";
import { Stage, colour } from "./stage.js";

const copy = areas => JSON.parse(JSON.stringify(areas));
const total = counts => Object.values(counts ?? {}).reduce((sum, each) => sum + each, 0);
const byClass = counts => Object.entries(counts ?? {}).sort((a, b) => b[1] - a[1]).map(([label, count]) => `${count} ${label}`).join(", ");

// The figures of a line or zone, those worth telling by class first: [word, counts by class].
function figures(kind, counts) {
  const words = kind === "line" ? ["in", "out"] : ["inside", "entered", "left"];
  return words.map(word => [word, counts?.[word] ?? {}]);
}

export class Areas {
  constructor(card, address, labels) {
    this.card = card;
    this.address = `${address}/areas`;
    this.labels = labels;
    this.saved = [];
    this.draft = null;
    this.form = this.find(".editor");
    this.stage = new Stage(this.find(".stage"), { tell: text => this.tell(text), changed: () => this.settle() });
    this.find(".edit").addEventListener("click", () => this.edit());
    this.form.querySelectorAll(".add").forEach(each => each.addEventListener("click", () => this.draw(each.value)));
    this.find(".finish").addEventListener("click", () => this.stage.pencil.finish());
    this.find(".discard").addEventListener("click", () => this.leave());
    this.find(".copy").addEventListener("click", event => this.copyText(event.currentTarget));
    this.form.addEventListener("submit", event => { event.preventDefault(); this.save(); });
  }

  find(selector) { return this.card.querySelector(selector); }

  tell(text) { this.find(".hint").textContent = text; }

  // -- what was counted

  show({ track, editable, areas: counts, width, height }) {
    if (width && height) this.stage.resize(width, height);
    this.counts = counts;
    this.find(".untracked").hidden = track;
    this.find(".save").textContent = editable ? "Save" : "Show the text for the site file";
    const names = counts ? JSON.stringify([Object.keys(counts.lines), Object.keys(counts.zones)]) : null;
    // Others may have drawn something: the names tell.
    if (names && names !== this.names && !this.draft) {
      this.names = names;
      this.load().catch(() => { this.names = null; });
    }
    this.list();
  }

  async load() { this.take(await ask(this.address)); }

  take({ lines, zones }) {
    this.saved = [...lines.map(each => ({ ...each, kind: "line" })), ...zones.map(each => ({ ...each, kind: "zone" }))];
    // Points of a site file may be pixels, which are shares once the size of the image is known: ask again.
    this.sized = this.saved.every(({ points }) => points.flat().every(value => value <= 1));
    if (!this.sized) this.names = null;
    if (this.draft) return;
    this.stage.show(this.sized ? this.saved : [], false);
    if (this.saved.length) this.find(".areas").open = true;
    this.find(".edit").textContent = this.saved.length ? "Edit" : "Draw lines and zones";
    this.list();
  }

  list() {
    const rows = this.saved.map(({ kind, name }) => [name, figures(kind, this.counts?.[`${kind}s`][name])]);
    const content = JSON.stringify(rows);
    if (content === this.content) return;
    this.content = content;
    this.find(".counts").replaceChildren(...rows.map(([name, each], at) => {
      const mark = element("span", "mark");
      mark.style.setProperty("--area", colour(at));
      const classes = each.slice(0, 2).filter(([, counts]) => total(counts)).map(([word, counts]) => `${word}: ${byClass(counts)}`).join("; ");
      return element("li", "",
        element("p", "area-name", mark, name),
        element("dl", "", ...each.map(([word, counts]) => element("div", "", element("dt", "", word), element("dd", "", total(counts).toLocaleString("en"))))),
        element("p", "by-class", classes));
    }));
    const notes = rows.map(([, each]) => each.slice(0, each.length === 3 ? 1 : 2).map(([word, counts]) => `${total(counts)} ${word}`).join(", "));
    this.stage.note(notes);
    this.find(".areas-summary").textContent = rows.map(([name], at) => `${name} ${notes[at]}`).join("; ");
  }

  // -- the editor

  async edit() {
    try {
      await this.load();
      if (!this.sized) throw new Error("The size of the image is not known before its first frame.");
    } catch (error) {
      this.fail(error.message);
      return;
    }
    this.fail("");
    [this.draft, this.owners] = [copy(this.saved), null];
    this.card.classList.add("editing");
    this.find(".edit").hidden = true;
    this.form.hidden = false;
    this.tell(this.draft.length ? "Drag corners and names, or move them with the arrow keys." : "");
    this.stage.show(this.draft, true);
    this.settle();
    this.find(".add").focus({ preventScroll: true });
    this.card.scrollIntoView({ block: "nearest" });
  }

  leave() {
    this.stage.pencil.cancel();
    this.draft = null;
    this.card.classList.remove("editing");
    this.form.hidden = true;
    this.find(".paste").hidden = true;
    this.find(".edit").hidden = false;
    this.find(".edit").focus({ preventScroll: true });
    this.fail("");
    this.stage.show(this.sized ? this.saved : [], false);
  }

  draw(kind) {
    this.stage.pencil.cancel();
    this.stage.pencil.begin(kind, points => {
      if (!points) {
        this.tell("Nothing was added.");
        this.settle();
        return;
      }
      const name = freeName(kind, this.draft.map(each => each.name));
      this.draft.push({ kind, name, points });
      this.stage.show(this.draft, true);
      this.settle();
      this.stage.focus(this.draft.length - 1);
      this.tell(`${name} was added. ${kind === "line" ? "The arrow points to where \u201cin\u201d is. " : ""}Its ${kind === "line" ? "ends" : "corners"} can be moved; give it a name, then save.`);
    });
  }

  // The fields follow the areas: built anew where areas came or went, else left alone, for somebody may be typing.
  settle() {
    if (!this.draft) return;
    const pencil = this.stage.pencil;
    this.find(".finish").hidden = pencil.kind !== "zone";
    this.find(".finish").disabled = !pencil.ready;
    if (this.owners && this.draft.length === this.owners.length && this.draft.every((each, at) => each === this.owners[at])) return;
    if (this.owners?.length && !this.draft.length) this.find(".add").focus({ preventScroll: true });
    this.owners = [...this.draft];
    this.find(".fields").replaceChildren(...this.draft.map((area, at) => areaFields(area, {
      at, labels: this.labels, draft: this.draft,
      changed: () => this.stage.place(), remove: () => this.stage.remove(this.draft.indexOf(area)),
    })));
  }

  // -- saving

  fail(text) { this.find(".area-wrong").textContent = text; }

  async save() {
    this.stage.pencil.cancel();
    const of = kind => this.draft.filter(each => each.kind === kind).map(({ kind: _, ...rest }) => rest);
    const save = this.find(".save");
    save.disabled = true;
    this.find(".paste").hidden = true;
    this.fail("");
    try {
      const answer = await ask(this.address, {
        method: "PUT", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ lines: of("line"), zones: of("zone") }),
      });
      this.leave();
      this.take(answer);
    } catch (error) {
      this.fail(error.message);
      if (error.body?.toml !== undefined) this.offer(error.body.toml);
    } finally {
      save.disabled = false;
    }
  }

  // The site file is not the page's to write: show what to paste.
  offer(toml) {
    const text = this.find(".paste textarea");
    text.value = toml;
    text.rows = Math.min(16, toml.split("\n").length);
    this.find(".paste").hidden = false;
    this.find(".copy").textContent = "Copy";
    this.find(".paste").scrollIntoView({ block: "nearest" });
  }

  async copyText(button) {
    const text = this.find(".paste textarea");
    text.select();
    try {
      // Only pages of this machine and of https have a clipboard.
      if (navigator.clipboard) await navigator.clipboard.writeText(text.value);
      else document.execCommand("copy");
      button.textContent = "Copied";
    } catch {
      button.textContent = "Press Ctrl+C to copy";
    }
  }
}
