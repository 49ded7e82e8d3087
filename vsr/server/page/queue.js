/* The jobs: what is in the queue, how far each is, and what can be done with it. Those that are worked on
   tell by SSE (the browser comes back with Last-Event-ID by itself), the rest is asked for now and then. */

import { ask, button, byId, lasts, make, path, size, sure, tell, wrong } from "./lib.js";
import { known } from "./uploads.js";

const PAGE = 50;
const SOON = 2000, LATER = 15000; // milliseconds between two looks, while there is something to do
const STREAMS = 1; // a browser has but six lines to a server, and films that are compared take two
const ENDED = ["succeeded", "failed", "canceled", "aborted"];
const WORDS = {
  starting: "Waits for its turn", processing: "Working", succeeded: "Done", failed: "Failed",
  canceled: "Canceled", aborted: "Not begun in time",
};
const jobs = new Map(), rows = new Map(), streams = new Map(), files = new Map();
let most = PAGE, timer = null, open = null, isDown = false, asked = 0;

export function start(opened) {
  if (!open) {
    byId("older").addEventListener("click", () => { most = Math.min(most + PAGE, 1000); look(); });
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) [...streams.keys()].forEach(unfollow); // leave the line to other tabs
      else if (jobs.size || isDown) look();
    });
  }
  open = opened;
  return look();
}

export function stop() {
  clearTimeout(timer);
  [...jobs.keys()].forEach(forget);
  asked++;
  document.title = "vsr";
}

export const again = () => look();

async function look() {
  clearTimeout(timer);
  const mine = ++asked;
  try {
    const told = await ask("GET", `/v1/jobs?limit=${most}`);
    if (mine !== asked) return;
    take(told);
    if (isDown) { isDown = false; tell("The server answers again."); byId("wrong").replaceChildren(); }
  } catch (error) {
    if (mine !== asked || error.status === 401) return;
    if (!isDown) wrong(`${error.message} What was taken on goes on; this page tries again.`);
    isDown = true;
  }
  const busy = isDown || [...jobs.values()].some((job) => !ENDED.includes(job.status));
  timer = setTimeout(look, busy && !document.hidden ? SOON : LATER);
}

function take(told) {
  const gone = new Set(jobs.keys());
  for (const job of told.results) {
    gone.delete(job.id);
    update(job);
  }
  for (const id of gone) forget(id);
  byId("older").hidden = !told.next || most >= 1000;
  byId("none").hidden = jobs.size > 0;
  order(told.results);
  entitle();
  names(told.results);
}

function update(job) {
  const before = jobs.get(job.id);
  if (before && before.status === job.status) job.doing = before.doing;
  jobs.set(job.id, job);
  if (before && before.status !== job.status && job.status !== "starting") {
    const said = job.error ? `: ${job.error}` : "";
    tell(`${nameOf(job)}: ${WORDS[job.status].toLowerCase()}${said}`);
  }
  if (job.status === "processing") follow(job);
  else unfollow(job.id);
  show(job);
}

/* --- events --- */

function follow(job) {
  if (streams.has(job.id) || streams.size >= STREAMS || document.hidden) return;
  const stream = new EventSource(`${path(job.urls.events)}?from=end`);
  streams.set(job.id, stream);
  stream.addEventListener("progress", (event) => {
    const told = JSON.parse(event.data), now = jobs.get(job.id);
    if (!now) return;
    now.metrics = { frames: told.frames, total_frames: told.total, seconds_left: told.seconds_left };
    now.doing = null;
    show(now);
    entitle();
  });
  stream.addEventListener("downloading", (event) => {
    const told = JSON.parse(event.data), now = jobs.get(job.id);
    if (!now || !told.total) return;
    now.doing = `Fetching ${told.name}: ${Math.floor((told.done / told.total) * 100)} %`;
    show(now);
  });
  stream.addEventListener("status", (event) => {
    if (JSON.parse(event.data).status !== "processing") { unfollow(job.id); look(); }
  });
  stream.addEventListener("error", () => {
    if (stream.readyState === EventSource.CLOSED) unfollow(job.id); // refused; looks tell the rest
  });
}

function unfollow(id) {
  const stream = streams.get(id);
  if (!stream) return;
  stream.close();
  streams.delete(id);
}

/* --- showing --- */

/* What an upload is called the page knows itself, or asks for once. */
async function names(list) {
  const unknown = list.map(uploaded).filter((id) => id && !known(id) && !files.has(id));
  if (!unknown.length) return;
  for (const id of unknown) files.set(id, null);
  for (const file of (await ask("GET", "/v1/files").catch(() => ({ results: [] }))).results) {
    files.set(file.id, file.name);
  }
  for (const job of jobs.values()) show(job);
}

const uploaded = (job) => (/^upload:(.*)$|\/v1\/(?:uploads|files)\/(.*)$/.exec(job.input.source) || [])
  .slice(1).find((one) => one);

export function nameOf(job) {
  const id = uploaded(job), source = String(job.input.source || "");
  const name = id ? known(id) || files.get(id) || (job.task === "upscale" && job.output_name) : source;
  return String(name || "a file").split("/").pop() || source;
}

function order(list) {
  const wanted = list.map((job) => rows.get(job.id)), all = byId("jobs");
  wanted.forEach((row, place) => {
    if (all.children[place] !== row) all.insertBefore(row, all.children[place] || null);
  });
}

function forget(id) {
  unfollow(id);
  jobs.delete(id);
  const row = rows.get(id);
  if (!row) return;
  const near = row.nextElementSibling || row.previousElementSibling;
  const had = row.contains(document.activeElement);
  row.remove();
  rows.delete(id);
  if (had) (near ? near.querySelector("h3") : byId("choose")).focus();
  byId("none").hidden = jobs.size > 0;
}

function built(job) {
  const parts = {
    title: make("h3", { tabindex: "-1" }), state: make("p", { class: "state" }),
    bar: make("progress", { max: 1 }), about: make("p", { class: "quiet" }),
    buttons: make("div", { class: "row" }), said: make("pre", { tabindex: "0" }),
  };
  parts.more = make("details", {
    ontoggle: async () => {
      if (!parts.more.open) return;
      const { logs } = await ask("GET", path(job.urls.get)).catch((error) => ({ logs: error.message }));
      const lines = (logs || "").split("\n").filter((line) => line && !/^\d+%\|/.test(line));
      parts.said.textContent = lines.join("\n") || "Nothing.";
    },
  }, make("summary", {}, "What was said", make("span", { class: "unseen" })), parts.said);
  const row = make("li", { class: "card" }, parts.title, parts.state, parts.buttons, parts.bar, parts.about,
    parts.more);
  rows.set(job.id, Object.assign(row, { parts }));
  return row;
}

function show(job) {
  const { title, state, bar, about, buttons, more } = (rows.get(job.id) || built(job)).parts;
  const name = nameOf(job), isPreview = job.task === "preview";
  set(title, isPreview ? `Preview of ${name}` : name);
  set(state, stateOf(job));
  state.classList.toggle("warning", job.status === "failed" || job.status === "aborted");
  const { frames, total_frames: total } = job.metrics;
  bar.hidden = job.status !== "processing";
  if (!bar.hidden && total) bar.value = Math.min((frames || 0) / total, 1);
  else if (!bar.hidden) bar.removeAttribute("value");
  bar.setAttribute("aria-label", `Progress of ${name}`);
  set(about, aboutOf(job));
  set(more.firstChild.lastChild, ` of ${isPreview ? "the preview of " : ""}${name}`);
  const kind = `${job.status} ${name}`;
  if (buttons.dataset.kind === kind) return;
  const had = buttons.contains(document.activeElement);
  buttons.dataset.kind = kind;
  buttons.replaceChildren(...actions(job, name));
  if (had) (buttons.querySelector("a, button") || title).focus();
}

/* How far it is also stands where tabs have their names. */
function entitle() {
  const { metrics: { frames, total_frames: total } } =
    [...jobs.values()].find((job) => job.status === "processing") || { metrics: {} };
  const title = total ? `${Math.floor(Math.min((frames || 0) / total, 1) * 100)} % · vsr` : "vsr";
  if (document.title !== title) document.title = title;
}

function set(element, text) { if (element.textContent !== text) element.textContent = text; }

function stateOf(job) {
  const { frames, total_frames: total, seconds_left: left } = job.metrics;
  if (job.status === "processing") {
    if (job.doing) return job.doing;
    if (frames === null || frames === undefined) return "Working: looking at the film";
    const share = total ? `${Math.floor(Math.min(frames / total, 1) * 100)} %, ${frames} of ${total} frames`
      : `${frames} frames`;
    return `Working: ${share}${left === null || left === undefined ? "" : `, ${lasts(left)} left`}`;
  }
  if (job.status === "succeeded") {
    const took = job.metrics.predict_time;
    return `Done: ${job.output_name}, ${size(job.metrics.bytes || 0)}${took ? `, took ${lasts(took)}` : ""}`;
  }
  return job.error ? `${WORDS[job.status]}: ${job.error}` : `${WORDS[job.status]}.`;
}

const when = (time) => new Date(time).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });

function aboutOf(job) {
  const plain = (value) => (Array.isArray(value) ? value.join(", ") : String(value));
  const said = Object.entries(job.input).filter(([name, value]) => name !== "source" && value !== null)
    .map(([name, value]) => `${name.replace(/_/g, " ")} ${plain(value)}`);
  return [...said, when(job.created_at)].join(" · ");
}

function actions(job, name) {
  const found = [], isDone = job.status === "succeeded";
  if (isDone && job.task === "preview") {
    found.push(button("Look at it", `Look at it: preview of ${name}`, () => open.preview(job, name)));
  } else if (isDone) {
    found.push(button("Compare", `Compare ${name} with its result`, () => open.compare(job, name)));
    found.push(make("a", { class: "button", href: path(job.urls.output), download: job.output_name,
      "aria-label": `Download ${job.output_name}` }, "Download"));
  }
  if (ENDED.includes(job.status)) found.push(button("Delete", `Delete ${name}`, () => remove(job, name)));
  else found.push(button("Cancel", `Cancel ${name}`, () => cancel(job, name)));
  return found;
}

async function cancel(job, name) {
  const far = (jobs.get(job.id) || job).metrics.frames;
  if (far && !(await sure(`Cancel ${name}? What is done of it is lost.`, "Cancel it"))) return;
  await ask("POST", path(job.urls.cancel), {}).then(update, (error) => wrong(`${name}: ${error.message}`));
  look();
}

async function remove(job, name) {
  if (job.status === "succeeded" && !(await sure(`Delete ${name} and its result?`, "Delete"))) return;
  try {
    await ask("DELETE", path(job.urls.get));
    forget(job.id);
    tell(`${name} is deleted.`);
  } catch (error) {
    wrong(`${name}: ${error.message}`);
  }
  look();
}
