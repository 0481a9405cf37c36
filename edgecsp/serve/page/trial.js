// Try an image: send it to /v1/detect and draw the boxes over it.
import { tint } from "./plot.js";

export function trial(state) {
  const drop = document.getElementById("drop"), file = document.getElementById("file");
  const status = document.getElementById("trial-status");

  async function detect(image) {
    status.className = "trial-status";
    status.textContent = "Detecting \u2026";
    try {
      const begun = performance.now();
      const answer = await fetch("/v1/detect", {
        method: "POST", body: image, headers: { "Content-Type": image.type || "application/octet-stream" },
      });
      const result = await answer.json();
      if (!answer.ok) throw new Error(result.error);
      const spent = Math.round(performance.now() - begun);
      const rows = result.detections ?? result.classes;
      status.textContent = `${rows.length ? summary(rows) : "No objects found"} (${result.width}\u00d7${result.height}, ${spent} ms)`;
      await draw(image, result.detections ?? [], state()?.model);
      table(rows);
    } catch (error) {
      status.className = "trial-status bad";
      status.textContent = error.message;
    }
  }

  file.addEventListener("change", () => { if (file.files[0]) detect(file.files[0]); });
  drop.addEventListener("dragover", event => { event.preventDefault(); drop.classList.add("over"); });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", event => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer.files[0]) detect(event.dataTransfer.files[0]);
  });
}

function summary(rows) {
  const counts = new Map();
  rows.forEach(({ label }) => counts.set(label, (counts.get(label) ?? 0) + 1));
  return [...counts].map(([label, count]) => `${count} ${label}`).join(", ");
}

async function draw(image, rows, model) {
  const canvas = document.getElementById("canvas"), bitmap = await createImageBitmap(image);
  canvas.hidden = false;
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  const paint = canvas.getContext("2d"), unit = Math.max(bitmap.width, bitmap.height) / 1000;
  paint.drawImage(bitmap, 0, 0);
  paint.lineWidth = Math.max(1.5, 3 * unit);
  paint.font = `600 ${Math.max(11, 18 * unit)}px system-ui, sans-serif`;
  paint.textBaseline = "bottom";
  for (const { label, score, xyxy: [x0, y0, x1, y1] } of rows.slice().reverse()) {
    const text = ` ${label} ${score.toFixed(2)} `, high = Math.max(15, 25 * unit);
    const top = Math.max(high, y0);
    paint.strokeStyle = paint.fillStyle = model ? tint(model, label) : "#0b6bcb";
    paint.strokeRect(x0, y0, x1 - x0, y1 - y0);
    paint.fillRect(x0, top - high, paint.measureText(text).width, high);
    paint.fillStyle = "#fff";
    paint.fillText(text, x0, top - high * 0.12);
  }
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", rows.length ? `The image with ${summary(rows)} marked` : "The image; no objects found");
}

function table(rows) {
  const results = document.getElementById("results");
  results.parentElement.hidden = !rows.length;
  const line = (name, cells) => {
    const row = document.createElement("tr");
    row.append(...cells.map(text => Object.assign(document.createElement(name), { textContent: text })));
    return row;
  };
  const boxes = rows.some(row => row.xyxy);
  results.replaceChildren(
    line("th", ["class", "score", ...(boxes ? ["left", "top", "right", "bottom"] : [])]),
    ...rows.map(({ label, score, xyxy }) => line("td", [label, score.toFixed(3), ...(xyxy ?? []).map(value => value.toFixed(0))])),
  );
}
