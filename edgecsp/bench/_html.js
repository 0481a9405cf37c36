"use strict";
const root = document.documentElement;

const lights = document.getElementById("lights");
lights.hidden = false;
lights.addEventListener("click", () => {
  const dark = root.dataset.lights ? root.dataset.lights === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.lights = dark ? "light" : "dark";
});

const body = document.querySelector("tbody"), heads = [...document.querySelectorAll("thead th")];
const value = (row, at) => row.cells[at].dataset.sort;
heads.forEach((head, at) => head.querySelector("button").addEventListener("click", () => {
  const number = head.classList.contains("number");
  const down = head.getAttribute("aria-sort") === "ascending";
  heads.forEach(other => other.setAttribute("aria-sort", "none"));
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const order = (a, b) => {
    const [x, y] = [value(a, at), value(b, at)];
    if (x === "" || y === "") return (x === "") - (y === "");  // what was not measured stays below
    return (number ? x - y : x < y ? -1 : x > y) * (down ? -1 : 1);
  };
  body.append(...[...body.rows].sort(order));
}));

const alike = [...document.querySelectorAll("[data-model]")].filter(each => each.dataset.model);
const light = model => {
  root.classList.toggle("one", Boolean(model));
  alike.forEach(each => each.classList.toggle("lit", each.dataset.model === model));
};
alike.forEach(each => {
  if (each.tagName === "TR") return;
  each.addEventListener("pointerenter", () => light(each.dataset.model));
  each.addEventListener("pointerleave", () => light(null));
});
