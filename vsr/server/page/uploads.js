/* Files on their way to the server, by tus: in pieces, on from where they stand after a break, and after
   a reload of the page once the same file is chosen again. What is known of them lies in localStorage. */

import {
  ask, button, byId, lasts, make, path, Refused, right, signedOut, size, sure, tell, wrong,
} from "./lib.js";

const KEPT = "vsr.sources";
const PIECE = 8 << 20; // bytes of a request
const PATIENCE = 45000; // milliseconds without a byte, after which a request is begun again
const TUS = { "Tus-Resumable": "1.0.0" };
const WAITS = [1, 2, 4, 8, 15, 30]; // seconds between tries
let sources = [], sending = null, changed = () => {};

/* A source: { key, name, size, modified, place, offset, state, wanted } and, while it is known, its file.
   `state`: waiting, sending, broken, paused, fileless, complete. `wanted`: jobs to be made of it. */

export const all = () => sources;
export const known = (id) => (sources.find((one) => one.place && one.place.endsWith(id)) || {}).name;

export async function restore(whenChanged) {
  changed = whenChanged;
  if (sources.some((one) => one.file)) { // signed in again
    for (const one of sources) if (one.state === "paused" && one.file) one.state = "waiting";
    keep();
    next();
    return;
  }
  sources = [];
  let kept = [];
  try { kept = JSON.parse(localStorage.getItem(KEPT)) || []; } catch { /* nothing that can be read */ }
  if (kept.some((one) => one.place)) {
    const there = new Map((await ask("GET", "/v1/files")).results.map((file) => [file.id, file]));
    for (const one of kept) {
      const file = one.place && there.get(one.place.split("/").pop());
      if (one.place && !file) wrong(`${one.name} is no longer on the server: upload it again.`);
      else sources.push({ ...one, ...(file ? { offset: file.offset } : {}), state: stateOf(one, file) });
    }
  } else sources = kept.filter((one) => one.path).map((one) => ({ ...one, state: "complete" }));
  keep();
  for (const source of sources) await finish(source);
}

const stateOf = (one, file) => (!file || file.offset === file.size ? "complete" : "fileless");

function keep() {
  const kept = sources.filter((one) => one.place || one.path)
    .map(({ file, row, request, error, ...rest }) => rest);
  try { localStorage.setItem(KEPT, JSON.stringify(kept)); } catch { /* then a reload forgets them */ }
  show();
  changed();
}

export function forget() {
  for (const one of sources) if (one.request) one.request.abort();
  sources = [];
  keep();
}

export function add(files) {
  right();
  for (const file of files) {
    const before = sources.find((one) => one.name === file.name && one.size === file.size
      && one.modified === file.lastModified);
    if (!file.size) wrong(`${file.name} is empty, or a folder; only files can be sent.`);
    else if (before && before.state === "fileless") Object.assign(before, { file, state: "waiting" });
    else if (!before) {
      sources.push({ key: crypto.getRandomValues(new Uint32Array(2)).join("-"), name: file.name,
        size: file.size, modified: file.lastModified, place: null, offset: 0, state: "waiting",
        wanted: [], file });
    }
  }
  keep();
  next();
}

export function addPath(name) {
  if (!sources.some((one) => one.path === name)) {
    sources.push({ key: `path ${name}`, name, path: name, state: "complete", wanted: [] });
  }
  keep();
}

/* Have jobs made of all that stand here, at once or when they are complete. */
export async function want(task, input) {
  for (const source of [...sources]) {
    const id = [...crypto.getRandomValues(new Uint8Array(16))].map((n) => n.toString(16).padStart(2, "0"));
    source.wanted.push({ id: id.join(""), task, input });
    keep();
    await finish(source);
  }
}

async function finish(source) {
  if (source.state !== "complete") return;
  const given = source.path || `upload:${source.place.split("/").pop()}`;
  while (source.wanted.length) {
    const { id, task, input } = source.wanted[0];
    try {
      await ask("PUT", `/v1/jobs/${id}`, { task, input: { ...input, source: given } });
    } catch (error) {
      source.wanted = [];
      keep();
      throw Object.assign(error, { source });
    }
    source.wanted.shift();
    if (task === "upscale") sources = sources.filter((one) => one !== source);
    tell(`${source.name} ${task === "upscale" ? "is in the queue" : "gets a preview"}.`);
    keep();
  }
}

/* --- sending --- */

async function next() {
  if (sending) return;
  const source = sources.find((one) => one.state === "waiting");
  if (!source) return;
  sending = source;
  try {
    await send(source);
  } finally {
    sending = null;
  }
  next();
}

async function send(source) {
  source.state = "sending";
  source.error = null;
  source.pace = null;
  for (let tries = 0; source.state === "sending" || source.state === "broken";) {
    try {
      const before = source.offset;
      await step(source);
      if (source.offset > before) tries = 0;
      if (source.state === "sending" && source.offset === source.size) {
        source.state = "complete";
        keep();
        tell(`${source.name} is on the server.`);
        await finish(source);
      }
    } catch (error) {
      if (!sources.includes(source) || source.state === "paused") return;
      if (source.state === "complete") { changed(error); return; }
      if (error.status === 401) signedOut();
      const lost = error.status === 404 || error.status === 410;
      if (lost) Object.assign(source, { place: null, offset: 0 });
      else if (![0, 400, 408, 409, 423, 429, 500, 502, 503, 504].includes(error.status)) {
        Object.assign(source, { state: "paused", error: error.message });
        if (error.status !== 401) wrong(`${source.name}: ${error.message}`);
        keep();
        return;
      }
      await pause(source, error, WAITS[Math.min(tries++, WAITS.length - 1)]);
    }
  }
}

async function pause(source, error, seconds) {
  source.state = "broken";
  source.error = `${error.message} Trying again in ${seconds} s.`;
  show();
  await new Promise((resolve) => {
    const timer = setTimeout(resolve, seconds * 1000);
    source.request = { abort: () => { clearTimeout(timer); resolve(); } };
  });
  if (source.state === "broken") Object.assign(source, { state: "sending", checked: false });
}

/* One request: begin, ask where it stands, or send a piece. */
async function step(source) {
  if (!source.place) {
    const name = btoa(String.fromCharCode(...new TextEncoder().encode(source.name)));
    const type = btoa(source.file.type.replace(/[^ -~]/g, ""));
    const answer = await request(source, "POST", "/v1/uploads", null, {
      "Upload-Length": source.size, "Upload-Metadata": `filename ${name},filetype ${type}`,
    });
    source.place = path(answer.getResponseHeader("Location"));
    source.checked = true;
    keep();
  } else if (!source.checked) {
    const answer = await request(source, "HEAD", source.place, null, {});
    source.offset = Number(answer.getResponseHeader("Upload-Offset"));
    source.checked = true;
  } else if (source.offset < source.size) {
    const from = source.offset, began = performance.now();
    const answer = await request(source, "PATCH", source.place, source.file.slice(from, from + PIECE), {
      "Upload-Offset": from, "Content-Type": "application/offset+octet-stream",
    }, (sent) => {
      source.offset = from + sent;
      source.pace = (sent * 1000) / (performance.now() - began);
      show();
    });
    source.offset = Number(answer.getResponseHeader("Upload-Offset"));
    keep();
  }
}

function request(source, method, address, body, headers, sent = () => {}) {
  return new Promise((resolve, reject) => {
    const line = new XMLHttpRequest();
    let timer = null;
    const alive = () => {
      clearTimeout(timer);
      timer = setTimeout(() => line.abort(), PATIENCE);
    };
    line.open(method, address);
    for (const [name, value] of Object.entries({ ...TUS, ...headers })) line.setRequestHeader(name, value);
    line.upload.onprogress = (event) => { alive(); if (source.request === line) sent(event.loaded); };
    const broken = () => reject(new Refused(0, "The line broke."));
    line.onerror = line.onabort = broken;
    line.onloadend = () => clearTimeout(timer);
    line.onload = () => {
      if (line.status >= 200 && line.status < 300) { resolve(line); return; }
      let told = null;
      try { told = JSON.parse(line.responseText); } catch { /* in no words */ }
      reject(new Refused(line.status, (told && told.detail) || `The server has answered ${line.status}.`));
    };
    source.request = line;
    alive();
    line.send(body);
  });
}

function hold(source) {
  source.state = "paused";
  if (source.request) source.request.abort();
  keep();
}

async function drop(source) {
  const begun = source.place && source.state !== "complete";
  if (begun && !(await sure(`Stop sending ${source.name}, and remove what is on the server?`, "Remove"))) return;
  sources = sources.filter((one) => one !== source);
  source.state = "paused";
  if (source.request) source.request.abort();
  keep();
  byId("choose").focus();
  next();
  if (!begun) return;
  await new Promise((resolve) => { setTimeout(resolve, 500); }); // until the server has seen it break off
  await ask("DELETE", source.place, undefined, TUS).catch(() => {}); // else it is swept in a day
}

/* --- showing --- */

function words(source) {
  const share = source.size ? Math.floor((source.offset / source.size) * 100) : 100;
  const jobs = source.wanted.length ? " Its job begins then." : "";
  const left = source.pace ? `, ${lasts((source.size - source.offset) / source.pace)} left` : "";
  switch (source.state) {
    case "complete": return source.path ? "On the server." : `On the server, ${size(source.size)}.`;
    case "sending": return `Sending: ${share} % of ${size(source.size)}${left}.${jobs}`;
    case "waiting": return `Waits to be sent, ${size(source.size)}.${jobs}`;
    case "fileless": return `${share} % of ${size(source.size)} is on the server. Choose or drop the same`
      + ` file again to go on.${jobs}`;
    case "paused": return source.error || `Paused at ${share} %.`;
    default: return source.error;
  }
}

function built(source) {
  const state = make("p", { class: "state" });
  const bar = make("progress", { max: 100, value: 0, "aria-label": `Upload of ${source.name}` });
  const hand = button("Pause", null, () => {
    if (source.state === "fileless") byId("files").click();
    else if (source.state === "paused" && source.file) {
      Object.assign(source, { state: "waiting", checked: false, error: null });
      show();
      next();
    } else hold(source);
  });
  const remove = button("Remove", `Remove ${source.name}`, () => drop(source));
  const row = make("li", { class: "card" }, make("h3", {}, source.name), state,
    make("div", { class: "row" }, hand, remove), bar);
  return Object.assign(row, { parts: { state, bar, hand } });
}

function show() {
  const list = byId("sources");
  for (const source of sources) {
    if (!source.row) { source.row = built(source); list.append(source.row); }
    const { state, bar, hand } = source.row.parts;
    const said = words(source);
    if (state.textContent !== said) state.textContent = said;
    state.classList.toggle("warning", ["broken", "fileless"].includes(source.state) || !!source.error);
    bar.value = source.size ? (source.offset / source.size) * 100 : 100;
    bar.hidden = hand.hidden = source.state === "complete";
    hand.textContent = { paused: "Go on", fileless: "Choose it again" }[source.state] || "Pause";
    hand.setAttribute("aria-label", `${hand.textContent}: ${source.name}`);
  }
  const rows = sources.map((one) => one.row);
  for (const row of [...list.children]) if (!rows.includes(row)) row.remove();
}
