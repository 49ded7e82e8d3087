"use strict";
/* A viewer: one canvas in which all panes share one view (place and zoom). Two pictures, or films, are
   split, beside each other, flipped or subtracted.

   Its page has the elements `stage`, `split` and a button for each mode. It sets `names` and `scene`
   ({ width, height, draw(pen, which, left, top, zoom), moves() }), says in `say` what is seen, adds
   painters and keys of its own, and calls `begin` at the end. vsr preview: viewer.js; vsr serve:
   page/compare.js. */

const byId = (id) => document.getElementById(id);
const stage = byId("stage"), pen = stage.getContext("2d");
const state = {
  left: 0, right: 1, mode: "split", split: 0.5, flipped: false,
  zoom: 1, x: 0, y: 0, // of the picture's middle from the pane's, in screen pixels
};
const AMPLIFIED = 2; // doublings of the difference
let names = [], scene = null, say = () => {}, dirty = true, redone = 0;
let kept = {}; // what was made of whole pictures, by what it shows

/* --- drawing --- */

const panes = () => (state.mode === "side" ? 2 : 1);
const paneWidth = () => stage.width / panes();

function corner(pane) {
  const width = paneWidth();
  return {
    left: pane * width + width / 2 + state.x - (scene.width * state.zoom) / 2,
    top: stage.height / 2 + state.y - (scene.height * state.zoom) / 2,
  };
}

function draw(which, pane) {
  const { left, top } = corner(pane);
  pen.imageSmoothingEnabled = state.zoom < 2;
  scene.draw(pen, which, left, top, state.zoom);
}

/* The pictures are others now. */
function changed() { kept = {}; dirty = true; }

/* What is made of whole pictures, before anything is zoomed: once, unless they move. */
function made(name, make) {
  const key = `${name} ${state.left} ${state.right}`;
  if (!kept[key] || scene.moves()) {
    const slate = document.createElement("canvas"), chalk = slate.getContext("2d");
    slate.width = scene.width;
    slate.height = scene.height;
    make(chalk, slate);
    kept = { [key]: slate };
  }
  return kept[key];
}

function subtracted(chalk, slate) {
  scene.draw(chalk, state.left, 0, 0, 1);
  chalk.globalCompositeOperation = "difference";
  scene.draw(chalk, state.right, 0, 0, 1);
  chalk.globalCompositeOperation = "lighter";
  for (let n = 0; n < AMPLIFIED; n++) chalk.drawImage(slate, 0, 0);
}

function whole(slate) {
  const { left, top } = corner(0), zoom = state.zoom;
  pen.imageSmoothingEnabled = zoom < 2;
  pen.drawImage(slate, left, top, slate.width * zoom, slate.height * zoom);
}

function clipped(left, width, what) {
  pen.save();
  pen.beginPath();
  pen.rect(left, 0, width, stage.height);
  pen.clip();
  what();
  pen.restore();
}

function label(text, x, align, row = 0) {
  const size = 14 * ratio(), top = row * size * 1.8;
  pen.font = `${size}px system-ui, sans-serif`;
  pen.textAlign = align;
  const width = pen.measureText(text).width + size, from = align === "left" ? x : x - width;
  pen.fillStyle = "rgba(0, 0, 0, .72)";
  pen.fillRect(from, top, width, size * 1.8);
  pen.fillStyle = "#fff";
  pen.fillText(text, align === "left" ? x + size / 2 : x - size / 2, top + size * 1.25);
}

/* The names of both sides, under each other where they would meet. */
function labels() {
  pen.font = `${14 * ratio()}px system-ui, sans-serif`;
  const [one, other] = [state.left, state.right].map((n) => pen.measureText(names[n]).width);
  label(names[state.left], 0, "left");
  label(names[state.right], stage.width, "right", one + other + 32 * ratio() > stage.width ? 1 : 0);
}

const painters = {
  split() {
    const at = state.split * stage.width;
    clipped(0, at, () => draw(state.left, 0));
    clipped(at, stage.width - at, () => draw(state.right, 0));
    pen.fillStyle = "#fff";
    pen.fillRect(at - ratio(), 0, 2 * ratio(), stage.height);
    pen.beginPath();
    pen.arc(at, stage.height / 2, 14 * ratio(), 0, 7);
    pen.fill();
    pen.fillStyle = "#222";
    pen.font = `${16 * ratio()}px system-ui, sans-serif`;
    pen.textAlign = "center";
    pen.fillText("↔", at, stage.height / 2 + 5 * ratio());
    labels();
  },
  side() {
    const half = stage.width / 2;
    clipped(0, half - ratio(), () => draw(state.left, 0));
    clipped(half + ratio(), half, () => draw(state.right, 1));
    labels();
  },
  flip() {
    const which = state.flipped ? state.left : state.right;
    draw(which, 0);
    label(names[which], 0, "left");
  },
  difference() {
    whole(made("difference", subtracted));
    label(`${names[state.left]} − ${names[state.right]}, × ${2 ** AMPLIFIED}`, 0, "left");
  },
};

function paint() {
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.clearRect(0, 0, stage.width, stage.height);
  painters[state.mode]();
  redone++;
}

function everyFrame() {
  if (scene && (dirty || scene.moves())) { dirty = false; paint(); }
  requestAnimationFrame(everyFrame);
}

/* --- place and zoom --- */

const ratio = () => window.devicePixelRatio || 1;

function sized() {
  const width = Math.round(stage.clientWidth * ratio());
  const height = Math.round(stage.clientHeight * ratio());
  if (width !== stage.width || height !== stage.height) {
    stage.width = width; stage.height = height;
    if (scene) fit();
  }
}

const fitting = () => Math.min(paneWidth() / scene.width, stage.height / scene.height);

function fit() { state.zoom = fitting(); state.x = state.y = 0; tell(); }

/* Zoom so that what lies under (x, y), in pixels of the canvas, stays there. */
function zoomTo(zoom, x, y) {
  zoom = Math.min(Math.max(zoom, fitting() / 2), 32);
  const width = paneWidth(), fromLeft = (x % width) - width / 2, fromTop = y - stage.height / 2;
  const by = zoom / state.zoom;
  state.x = fromLeft - (fromLeft - state.x) * by;
  state.y = fromTop - (fromTop - state.y) * by;
  state.zoom = zoom;
  tell();
}

const zoomBy = (factor) => zoomTo(state.zoom * factor, paneWidth() / 2, stage.height / 2);

function pan(right, down) { state.x += right; state.y += down; dirty = true; }

function setSplit(share) {
  state.split = Math.min(Math.max(share, 0), 1);
  byId("split").value = String(Math.round(state.split * 100));
  dirty = true;
}

/* --- modes --- */

function tell() {
  dirty = true;
  if (scene) say();
}

function press(id, on) { byId(id).setAttribute("aria-pressed", String(on)); }

function setMode(mode) {
  state.mode = mode;
  state.flipped = false;
  for (const other of Object.keys(painters)) press(`mode-${other}`, other === mode);
  byId("split").disabled = mode !== "split";
  if (scene) fit();
}

function flip() {
  if (["flip", "heat", "doubt"].includes(state.mode)) state.flipped = !state.flipped;
  else { setMode("flip"); state.flipped = true; }
  dirty = true;
}

/* --- pointer and touch --- */

const pointers = new Map();
let dragging = null, pinched = 0;

function at(event) {
  const box = stage.getBoundingClientRect();
  return { x: (event.clientX - box.left) * ratio(), y: (event.clientY - box.top) * ratio() };
}

stage.addEventListener("pointerdown", (event) => {
  if (!scene) return;
  stage.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, at(event));
  const near = Math.abs(at(event).x - state.split * stage.width) < 24 * ratio();
  dragging = state.mode === "split" && near ? "split" : "pan";
  pinched = 0;
});

stage.addEventListener("pointermove", (event) => {
  if (!pointers.has(event.pointerId)) return;
  const before = pointers.get(event.pointerId), now = at(event);
  pointers.set(event.pointerId, now);
  if (pointers.size === 2) {
    const [a, b] = [...pointers.values()];
    const apart = Math.hypot(a.x - b.x, a.y - b.y), x = (a.x + b.x) / 2, y = (a.y + b.y) / 2;
    if (pinched) zoomTo((state.zoom * apart) / pinched, x, y);
    pinched = apart;
    pan((now.x - before.x) / 2, (now.y - before.y) / 2);
  } else if (dragging === "split") setSplit(now.x / stage.width);
  else pan(now.x - before.x, now.y - before.y);
});

for (const end of ["pointerup", "pointercancel"]) {
  stage.addEventListener(end, (event) => { pointers.delete(event.pointerId); pinched = 0; });
}

stage.addEventListener("wheel", (event) => {
  event.preventDefault();
  if (!scene) return;
  const { x, y } = at(event);
  zoomTo(state.zoom * Math.exp(-Math.sign(event.deltaY) * 0.2), x, y);
}, { passive: false });

stage.addEventListener("dblclick", (event) => {
  if (!scene) return;
  const { x, y } = at(event);
  if (state.zoom > fitting() * 1.01) fit(); else zoomTo(state.zoom * 4, x, y);
});

/* --- keys and buttons --- */

const STEP = 60;
const keys = {
  " ": flip, "+": () => zoomBy(1.25), "=": () => zoomBy(1.25), "-": () => zoomBy(0.8), 0: fit,
  1: () => zoomTo(ratio(), paneWidth() / 2, stage.height / 2),
  ArrowLeft: () => pan(STEP, 0), ArrowRight: () => pan(-STEP, 0),
  ArrowUp: () => pan(0, STEP), ArrowDown: () => pan(0, -STEP),
  "[": () => setSplit(state.split - 0.02), "]": () => setSplit(state.split + 0.02),
  s: () => setMode("split"), b: () => setMode("side"), d: () => setMode("difference"),
  f: () => setMode("flip"),
};

document.addEventListener("keydown", (event) => {
  if (!scene || !stage.clientWidth) return;
  const own = event.target.closest("input, select, summary, a") || (event.key === " "
    && event.target.closest("button"));
  if (own || event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
  event.preventDefault();
  keys[event.key]();
});

function begin() {
  for (const mode of Object.keys(painters)) {
    byId(`mode-${mode}`).addEventListener("click", () => setMode(mode));
  }
  byId("split").addEventListener("input", (event) => setSplit(event.target.value / 100));
  byId("zoom-in").addEventListener("click", () => scene && zoomBy(1.25));
  byId("zoom-out").addEventListener("click", () => scene && zoomBy(0.8));
  byId("fit").addEventListener("click", () => scene && fit());
  byId("actual").addEventListener("click", () => scene && keys[1]());
  new ResizeObserver(sized).observe(stage);
  sized();
  setMode("split");
  everyFrame();
}
