"use strict";
/* The viewer of `vsr preview`: one canvas, in which all panes share one view (place and zoom). */

const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const stage = byId("stage"), pen = stage.getContext("2d");
const names = data.names; // the source's first
const state = {
  moment: 0, left: 0, right: 1, mode: "split", split: 0.5, flipped: false, playing: false,
  zoom: 1, x: 0, y: 0, // of the picture's middle from the pane's, in screen pixels
};
const MODES = ["split", "side", "flip", "difference", "heat"];
const AMPLIFIED = 2; // doublings of the difference
let scene = null, dirty = true, redone = 0;
let kept = {}; // what was made of whole pictures, by what it shows

/* --- what is shown --- */

/* Pictures are decoded once, into bitmaps: an <img> is decoded, or scaled, again for each zoom. */
function picture(source) {
  const found = { bitmap: null };
  const image = new Image();
  image.onload = async () => {
    found.bitmap = await createImageBitmap(image);
    kept = {};
    dirty = true;
  };
  image.src = source;
  return found;
}

function drop(pictures) {
  for (const one of pictures) if (one && one.bitmap) one.bitmap.close();
}

function film(source) {
  const text = atob(source), bytes = new Uint8Array(text.length);
  for (let n = 0; n < text.length; n++) bytes[n] = text.charCodeAt(n);
  const video = document.createElement("video");
  video.muted = video.loop = video.playsInline = true;
  video.src = URL.createObjectURL(new Blob([bytes], { type: "video/mp4" }));
  return video;
}

function choose(number) {
  state.moment = (number + data.moments.length) % data.moments.length;
  const told = data.moments[state.moment];
  if (scene && scene.video) { scene.video.pause(); URL.revokeObjectURL(scene.video.src); }
  if (scene) drop([...scene.images, ...scene.heats]);
  kept = {};
  scene = {
    told, images: told.pictures.map(picture),
    heats: told.heats.map((heat) => heat && picture(heat)),
    video: told.loop ? film(told.loop.data) : null,
  };
  byId("moment").value = String(state.moment);
  byId("play").disabled = !scene.video;
  play(state.playing && !!scene.video);
  fit();
}

function play(on) {
  state.playing = on;
  press("play", on);
  byId("play").textContent = on ? "Stop" : "Play";
  if (scene.video) { if (on) scene.video.play().catch(() => play(false)); else scene.video.pause(); }
  dirty = true;
}

/* --- drawing --- */

const panes = () => (state.mode === "side" ? 2 : 1);
const paneWidth = () => stage.width / panes();

function corner(pane) {
  const width = paneWidth(), told = scene.told;
  return {
    left: pane * width + width / 2 + state.x - (told.width * state.zoom) / 2,
    top: stage.height / 2 + state.y - (told.height * state.zoom) / 2,
  };
}

function draw(which, pane) {
  const { left, top } = corner(pane), told = scene.told, zoom = state.zoom;
  pen.imageSmoothingEnabled = zoom < 2;
  const { bitmap } = scene.images[which];
  if (bitmap) pen.drawImage(bitmap, left, top, told.width * zoom, told.height * zoom);
  const video = scene.video;
  if (state.playing && video && video.readyState >= 2) {
    const box = told.loop;
    pen.drawImage(video, 0, which * box.height, box.width, box.height,
      left + box.left * zoom, top + box.top * zoom, box.width * zoom, box.height * zoom);
  }
}

/* What is made of whole pictures, before anything is zoomed: once, unless they move. */
const moves = () => state.playing && !!scene.video;

function made(name, make) {
  const key = `${name} ${state.left} ${state.right}`;
  if (!kept[key] || moves()) {
    const slate = document.createElement("canvas"), chalk = slate.getContext("2d");
    slate.width = scene.told.width;
    slate.height = scene.told.height;
    make(chalk, slate);
    kept = { [key]: slate };
  }
  return kept[key];
}

function subtracted(chalk, slate) {
  flat(chalk, state.left);
  chalk.globalCompositeOperation = "difference";
  flat(chalk, state.right);
  chalk.globalCompositeOperation = "lighter";
  for (let n = 0; n < AMPLIFIED; n++) chalk.drawImage(slate, 0, 0);
}

/* Grey and darker, so that only the map has colours. */
function mapped(chalk, slate) {
  flat(chalk, state.right);
  chalk.globalCompositeOperation = "saturation";
  chalk.fillStyle = "#777";
  chalk.fillRect(0, 0, slate.width, slate.height);
  chalk.globalCompositeOperation = "source-over";
  chalk.fillStyle = "rgba(0, 0, 0, .5)";
  chalk.fillRect(0, 0, slate.width, slate.height);
  const heat = scene.heats[state.right];
  if (heat && heat.bitmap) chalk.drawImage(heat.bitmap, 0, 0, slate.width, slate.height);
}

function flat(chalk, which) {
  const { bitmap } = scene.images[which], box = scene.told.loop;
  if (bitmap) chalk.drawImage(bitmap, 0, 0);
  if (state.playing && scene.video && scene.video.readyState >= 2) {
    chalk.drawImage(scene.video, 0, which * box.height, box.width, box.height,
      box.left, box.top, box.width, box.height);
  }
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
  heat() {
    if (state.flipped) draw(state.right, 0); else whole(made("heat", mapped));
    label(`invented by ${names[state.right]}`, 0, "left");
  },
};

function paint() {
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.clearRect(0, 0, stage.width, stage.height);
  painters[state.mode]();
  redone++;
}

function everyFrame() {
  if (dirty || moves()) { dirty = false; paint(); }
  requestAnimationFrame(everyFrame);
}

/* --- place and zoom --- */

const ratio = () => window.devicePixelRatio || 1;

function sized() {
  const width = Math.round(stage.clientWidth * ratio());
  const height = Math.round(stage.clientHeight * ratio());
  if (width !== stage.width || height !== stage.height) {
    stage.width = width; stage.height = height;
    fit();
  }
}

const fitting = () => Math.min(paneWidth() / scene.told.width, stage.height / scene.told.height);

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

/* --- words --- */

function tell() {
  dirty = true;
  if (!scene) return;
  const share = scene.told.shares[state.right];
  const invented = share === null ? "" : ` Of its detail ${Math.round(share * 100)} % is invented.`;
  byId("said").textContent = `${names[state.right]} at ${scene.told.time}, ${scene.told.reason};`
    + ` shown at ${Math.round((state.zoom / ratio()) * 100)} %.${invented}`;
  stage.setAttribute("aria-label", `${names[state.left]} and ${names[state.right]} at`
    + ` ${scene.told.time}, ${state.mode}`);
}

function press(id, on) { byId(id).setAttribute("aria-pressed", String(on)); }

function setMode(mode) {
  state.mode = mode;
  state.flipped = false;
  for (const other of MODES) press(`mode-${other}`, other === mode);
  byId("split").disabled = mode !== "split";
  fit();
}

function flip() {
  if (state.mode === "flip" || state.mode === "heat") state.flipped = !state.flipped;
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
  const { x, y } = at(event);
  zoomTo(state.zoom * Math.exp(-Math.sign(event.deltaY) * 0.2), x, y);
}, { passive: false });

stage.addEventListener("dblclick", (event) => {
  const { x, y } = at(event);
  if (state.zoom > fitting() * 1.01) fit(); else zoomTo(state.zoom * 4, x, y);
});

/* --- keys --- */

const STEP = 60;
const keys = {
  " ": flip, "+": () => zoomBy(1.25), "=": () => zoomBy(1.25), "-": () => zoomBy(0.8), 0: fit,
  1: () => zoomTo(ratio(), paneWidth() / 2, stage.height / 2),
  ArrowLeft: () => pan(STEP, 0), ArrowRight: () => pan(-STEP, 0),
  ArrowUp: () => pan(0, STEP), ArrowDown: () => pan(0, -STEP),
  "[": () => setSplit(state.split - 0.02), "]": () => setSplit(state.split + 0.02),
  n: () => choose(state.moment + 1), p: () => choose(state.moment - 1),
  l: () => scene.video && play(!state.playing), r: () => next(1),
  s: () => setMode("split"), b: () => setMode("side"), d: () => setMode("difference"),
  h: () => setMode("heat"), f: () => setMode("flip"),
};

function next(by) {
  state.right = ((state.right - 1 + by + names.length - 1) % (names.length - 1)) + 1;
  byId("right").value = String(state.right);
  tell();
}

document.addEventListener("keydown", (event) => {
  const own = event.target.closest("input, select, summary, a") || (event.key === " "
    && event.target.closest("button"));
  if (own || event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
  event.preventDefault();
  keys[event.key]();
});

/* --- controls --- */

for (const mode of MODES) byId(`mode-${mode}`).addEventListener("click", () => setMode(mode));
for (const side of ["left", "right"]) {
  byId(side).addEventListener("change", (event) => { state[side] = Number(event.target.value); tell(); });
}
byId("moment").addEventListener("change", (event) => choose(Number(event.target.value)));
byId("split").addEventListener("input", (event) => setSplit(event.target.value / 100));
byId("zoom-in").addEventListener("click", () => zoomBy(1.25));
byId("zoom-out").addEventListener("click", () => zoomBy(0.8));
byId("fit").addEventListener("click", fit);
byId("actual").addEventListener("click", keys[1]);
byId("play").addEventListener("click", () => play(!state.playing));
new ResizeObserver(sized).observe(stage);

choose(0);
sized();
setMode("split");
everyFrame();
const ready = () => [...scene.images, ...scene.heats].every((one) => !one || one.bitmap) && !dirty;
window.vsr = { state, scene: () => scene, painted: () => redone, ready };
