/* A result beside its source, in the viewer that previews have, too: `scene`, `names`, `say`, `changed`, `keys`,
   `state`, `press`, `setMode` and `begin` are those of view.js. */

import { button, byId, clock, make, path } from "./lib.js";

const PICTURE = /\.(png|jpe?g|webp|gif|apng|avif|bmp)$/i;
const PARTS = ["clip", "crop", "stream", "fps"]; // after which source and result do not fall in step
const APART = 0.2; // seconds, from which on the source is put where the result is
const STEP = 0.5; // seconds that a key goes
let shown = null, trial = () => {};

export function start(makePreview) {
  trial = makePreview;
  names = ["source", "result"];
  say = () => {
    const percent = Math.round((state.zoom / (window.devicePixelRatio || 1)) * 100);
    byId("said").textContent = `Result of ${scene.width} × ${scene.height}, shown at ${percent} %.`;
    stage.setAttribute("aria-label", `Source and result, ${state.mode}`);
  };
  Object.assign(keys, {
    l: () => shown.film && play(!shown.playing), ",": () => go(-STEP), ".": () => go(STEP),
  });
  begin();
  byId("play").addEventListener("click", () => play(!shown.playing));
  byId("sound").addEventListener("click", () => sound(shown.result.muted));
  byId("seek").addEventListener("input", (event) => seek(Number(event.target.value)));
  byId("compare").addEventListener("close", close);
}

export async function open(job, name) {
  const now = shown = { playing: false, film: false, job };
  byId("compare-title").textContent = name;
  const download = byId("compare-download");
  download.href = path(job.urls.output);
  download.download = job.output_name;
  byId("viewer").hidden = true;
  cannot("Loading…");
  byId("compare").showModal();
  try {
    now.result = await load(path(job.urls.output), PICTURE.test(job.output_name));
  } catch {
    if (shown === now) cannot(`This browser cannot show ${job.output_name}: download it for a player that can. `
      + "A preview shows stills of source and result here.", again(job));
    return;
  }
  const part = PARTS.find((one) => job.input[one] !== undefined && job.input[one] !== null);
  if (!part) {
    now.source = await load(path(job.urls.source), !now.result.duration).catch(() => null);
  }
  if (shown !== now) { unload(now); return; }
  show(now, part);
}

function again(job) {
  return button("Make a preview", null, () => { byId("compare").close(); trial(job); });
}

function cannot(text, ...more) {
  byId("cannot").hidden = !text;
  byId("cannot").replaceChildren(text, " ", ...more);
}

/* A picture or a film, as the browser takes it: the likelier one first. */
async function load(address, isPicture) {
  const ways = isPicture ? [picture, film] : [film, picture];
  return ways[0](address).catch(() => ways[1](address));
}

function picture(address) {
  return new Promise((resolve, reject) => {
    const found = new Image();
    found.onload = () => resolve(found);
    found.onerror = reject;
    found.src = address;
  });
}

function film(address) {
  return new Promise((resolve, reject) => {
    const found = document.createElement("video");
    found.muted = found.playsInline = true;
    found.preload = "auto";
    found.onloadeddata = () => (found.videoWidth ? resolve(found) : reject(new Error("no picture")));
    found.onerror = reject;
    found.onseeked = changed;
    found.src = address;
  });
}

const width = (one) => one.videoWidth || one.naturalWidth;
const height = (one) => one.videoHeight || one.naturalHeight;

function show(now, part) {
  const { result, source } = now;
  const shape = source && (width(source) / height(source)) / (width(result) / height(result));
  if (source && (shape < 0.97 || shape > 1.03)) { unload({ source }); now.source = null; }
  now.film = !!result.duration;
  const why = part ? `its source is not shown beside it, because of ${part}`
    : "its source is no longer there, has another shape, or is nothing that this browser can show";
  cannot(now.source ? "" : `The result alone: ${why}. A preview shows both.`, ...(now.source ? [] : [again(now.job)]));
  byId("viewer").hidden = false;
  byId("viewer").classList.toggle("alone", !now.source);
  byId("film-controls").hidden = !now.film;
  byId("seek").max = String(now.film ? result.duration : 1);
  result.ontimeupdate = told;
  result.onended = () => play(false);
  state.left = now.source ? 0 : 1;
  scene = {
    width: width(result), height: height(result), moves,
    draw(pen, which, left, top, zoom) {
      pen.drawImage(which ? result : now.source, left, top, scene.width * zoom, scene.height * zoom);
    },
  };
  changed();
  setMode(now.source ? "split" : "flip");
  if (now.film) { sound(false); play(false); told(); }
  stage.focus();
}

/* Whether it moves; where the source has run away from the result, it is brought back. */
function moves() {
  const { result, source, playing } = shown;
  if (playing && source && source.duration) {
    const ahead = source.currentTime - result.currentTime;
    if (Math.abs(ahead) > APART) source.currentTime = result.currentTime;
    source.playbackRate = Math.min(Math.max(1 - ahead, 0.8), 1.2);
  }
  return playing;
}

function play(on) {
  const { result, source } = shown;
  shown.playing = on;
  press("play", on);
  byId("play").textContent = on ? "Stop" : "Play";
  const films = [result, source].filter((one) => one && one.duration);
  if (on) for (const one of films) one.play().catch(() => { if (shown) play(false); });
  else for (const one of films) one.pause();
  if (!on) seek(result.currentTime);
}

function sound(on) {
  shown.result.muted = !on;
  press("sound", on);
}

function seek(seconds) {
  const { result, source } = shown;
  const place = Math.min(Math.max(seconds, 0), result.duration || 0);
  if (Math.abs(result.currentTime - place) > 1e-6) result.currentTime = place;
  if (source && source.duration) source.currentTime = place;
  told();
}

const go = (seconds) => shown.film && seek(shown.result.currentTime + seconds);

function told() {
  const { result } = shown || {};
  if (!result || !result.duration) return;
  const short = result.duration < 60;
  const said = `${clock(result.currentTime, short)} of ${clock(result.duration, short)}`;
  byId("seek").value = String(result.currentTime);
  byId("seek").setAttribute("aria-valuetext", said);
  byId("clock").textContent = said;
}

function unload({ result, source }) {
  for (const one of [result, source]) {
    if (!one || !one.pause) continue;
    one.onerror = one.ontimeupdate = one.onended = null;
    one.pause();
    one.removeAttribute("src");
    one.load();
  }
}

function close() {
  if (shown) unload(shown);
  scene = shown = null;
}

/* For tests, as the viewer of previews has it. */
window.vsr = { state, shown: () => shown, scene: () => scene };
