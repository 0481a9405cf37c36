// Geometry of lines and zones. Points are [x, y] relative to the image, 0 to 1; places are pixels of its view.

export const LEAST = { line: 2, zone: 3 };
export const MOST = { line: 2, zone: 64 };

const STEP = 0.01, LARGE_STEP = 0.05;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

// The step of an arrow key, undefined for other keys.
export function stepOf(event) { return ARROWS[event.key]?.map(value => value * (event.shiftKey ? LARGE_STEP : STEP)); }

const clamp = value => Math.min(1, Math.max(0, value));
const rounded = value => Math.round(clamp(value) * 1e4) / 1e4;

export const point = (x, y) => [rounded(x), rounded(y)];

export const percent = ([x, y]) => `${Math.round(x * 100)} % across, ${Math.round(y * 100)} % down`;

// All points moved by the same, as far as all stay in the image.
export function moved(points, dx, dy) {
  const limit = (at, by) => {
    const values = points.map(each => each[at]);
    return Math.min(1 - Math.max(...values), Math.max(-Math.min(...values), by));
  };
  const [x, y] = [limit(0, dx), limit(1, dy)];
  return points.map(each => point(each[0] + x, each[1] + y));
}

export const middle = (a, b) => point((a[0] + b[0]) / 2, (a[1] + b[1]) / 2);

export function rectangle([x0, y0], [x1, y1]) { return [point(x0, y0), point(x1, y0), point(x1, y1), point(x0, y1)]; }

// Where the name of an area stands.
export function centre(points) {
  const total = points.reduce(([x, y], each) => [x + each[0], y + each[1]], [0, 0]);
  return [total[0] / points.length, total[1] / points.length];
}

// An arrow across a line, from its left to its right: the direction that counts as "in". Takes and returns places.
export function arrow([[x0, y0], [x1, y1]]) {
  const length = Math.hypot(x1 - x0, y1 - y0) || 1;
  const [ax, ay] = [(x1 - x0) / length, (y1 - y0) / length], [nx, ny] = [-ay, ax];
  const [x, y] = [(x0 + x1) / 2, (y0 + y1) / 2], at = (along, across) => [x + ax * along + nx * across, y + ay * along + ny * across];
  return { shaft: [at(0, -11), at(0, 17)], head: [at(-6, 12), at(0, 20), at(6, 12)], name: at(0, -30) };
}

export const path = (places, closed) => `M${places.map(each => each.map(value => value.toFixed(1)).join(" ")).join("L")}${closed ? "Z" : ""}`;

// A name that no other area has: line-1, zone-2 ...
export function freeName(kind, names) {
  for (let number = 1; ; number += 1) if (!names.includes(`${kind}-${number}`)) return `${kind}-${number}`;
}
