/* What a job is to be like: fields made of /v1/schema, /v1/presets and /v1/models. Only what somebody has
   set is sent. What is set is kept in sessionStorage, so that a reload loses nothing. */

import { ask, byId, make, size } from "./lib.js";

const KEPT = "vsr.settings";
const OWN = ["source", "output", "for", "compare", "at", "seconds", "model", "scale", "size", "height"];
const SIZES = [["", "as the network makes it"], ["2x", "2 times"], ["3x", "3 times"], ["4x", "4 times"],
  ["1080p", "1080 lines"], ["1440p", "1440 lines"], ["2160p", "2160 lines (4K)"], ["other", "another…"]];
const GROUPS = {
  model: "Network", size: "Size", device: "Computing", temporal: "Over time", source: "Source",
  colour: "Colours", encode: "Result", jobs: "Job", stabilise: "Over time",
};
const LABELS = {
  output: "Name of the result", preset: "Encoder's preset", crf: "CRF", fps: "FPS", at: "Moments",
  clip: "Part of the film", colours: "Colours of a GIF",
};
let presets = [], models = [];

export async function restore() {
  const [schema, presetList, modelList] = await Promise.all(
    ["/v1/schema", "/v1/presets", "/v1/models"].map((address) => ask("GET", address)));
  presets = presetList.results;
  models = modelList.results;
  const known = schema.properties;
  byId("first").replaceChildren(presetField(known.for), modelField(known.model), ...sizeFields());
  const common = [], groups = new Map();
  for (const [name, told] of Object.entries(known)) {
    if (OWN.includes(name)) continue;
    if (told["x-common"]) { common.push(field(name, told)); continue; }
    const group = GROUPS[told["x-group"]] || told["x-group"];
    if (!groups.has(group)) groups.set(group, []);
    groups.get(group).push(field(name, told));
  }
  byId("common").replaceChildren(field("output", known.output), ...common);
  byId("rare").replaceChildren(...[...groups].map(([group, fields]) => make("fieldset", {},
    make("legend", {}, group), make("div", { class: "settings" }, ...fields))));
  byId("tried").replaceChildren(rivals(), field("at", known.at));
  load();
  byId("settings").oninput = () => { react(); save(); };
  react();
}

/* --- fields --- */

/* What the schema says of an option, without the marks of the command line. */
const unquoted = (text) => text.replace(/`([^`]*)`/g, "$1").replace(/\s*\[default: [^\]]*\]/, "")
  .replace(/--([a-z][a-z-]+)/g, "$1");
const named = (name) => LABELS[name]
  || (name.charAt(0).toUpperCase() + name.slice(1)).replace(/_/g, " ");

function held(name, label, control, about) {
  const hint = `${name}-about`;
  control.id = name;
  control.dataset.option = name;
  if (about) control.setAttribute("aria-describedby", hint);
  return make("div", { class: "setting" }, make("label", { for: name }, label), control,
    about ? make("p", { class: "quiet", id: hint }, about) : null);
}

const choices = (pairs) => make("select", {},
  ...pairs.map(([value, said]) => make("option", { value }, said)));

function field(name, told) {
  const option = `o-${name}`, about = unquoted(told.description);
  const usual = told.default === undefined ? (/\[default: ([^\]]*)\]/.exec(told.description) || [])[1]
    : told.default;
  let control;
  if (told.enum) {
    const rest = told.enum.filter((one) => one !== told.default).map((one) => [JSON.stringify(one), one]);
    control = choices([["", usual === undefined ? "as usual" : `${usual} (usual)`], ...rest]);
  } else if (told.type === "boolean") {
    control = choices([["", told.default ? "yes (usual)" : "no (usual)"],
      [JSON.stringify(!told.default), told.default ? "no" : "yes"]]);
  } else {
    const number = told.type === "number" || told.type === "integer";
    const like = (told.items || told.anyOf?.find((one) => one["x-like"]) || told)["x-like"];
    control = make("input", {
      type: "text", inputmode: number ? "decimal" : null, spellcheck: "false", autocapitalize: "off",
      autocomplete: "off", placeholder: usual ?? like ?? null,
    });
  }
  control.dataset.kind = told.type || (told.enum ? "enum" : told.anyOf[0].type);
  return held(option, named(name), control, about);
}

function presetField(told) {
  const control = choices([["", "none"], ...presets.map((one) => [one.name, one.name])]);
  return held("o-for", "Preset", control, unquoted(told.description));
}

const title = (one) => [one.name, one.title && `: ${one.title}`,
  one.scale > 1 && !one.title?.includes(`${one.scale}x`) ? `, ${one.scale}×` : "",
  one.installed ? "" : ` (to be fetched${one.bytes ? `, ${size(one.bytes)}` : ""})`].join("");

function modelField(told) {
  const control = choices([["", "as usual, or as the preset says"],
    ...models.map((one) => [one.name, title(one)])]);
  const about = unquoted(told.description).replace(/^Network: .*?\. (?=[A-Z])/, "");
  return held("o-model", "Network", control, `Usual is ${told.default}. ${about}`);
}

function sizeFields() {
  const other = held("size-other", "Another size", make("input", {
    type: "text", placeholder: "1.5x, 900p or 1920x1080", spellcheck: "false", autocapitalize: "off",
  }), "A factor, lines, or a frame that it has to fit in.");
  other.id = "other";
  return [held("size", "Size", choices(SIZES), null), other];
}

function rivals() {
  const boxes = models.map((one) => make("label", { class: "check" },
    make("input", { type: "checkbox", id: `r-${one.name}`, value: one.name }), one.name));
  return make("fieldset", { class: "setting wide" }, make("legend", {}, "Compare these networks"), ...boxes);
}

/* --- what is set --- */

function react() {
  byId("other").hidden = byId("size").value !== "other";
  const preset = presets.find((one) => one.name === byId("o-for").value);
  byId("o-for-about").textContent = preset ? preset.about : "A choice of options for a kind of film.";
  for (const one of document.querySelectorAll("#settings [aria-invalid]")) {
    one.removeAttribute("aria-invalid");
  }
}

const controls = () => [...document.querySelectorAll("#settings select, #settings input")];

function save() {
  const values = {};
  for (const one of controls()) {
    const value = one.type === "checkbox" ? one.checked : one.value;
    if (value) values[one.id] = value;
  }
  try { sessionStorage.setItem(KEPT, JSON.stringify(values)); } catch { /* then they are forgotten */ }
}

function load() {
  let values = {};
  try { values = JSON.parse(sessionStorage.getItem(KEPT)) || {}; } catch { /* none that can be read */ }
  for (const [id, value] of Object.entries(values)) {
    const control = byId(id);
    if (control && control.type === "checkbox") control.checked = value;
    else if (control) control.value = value;
    if (control && control.tagName === "SELECT" && control.selectedIndex < 0) control.value = "";
    const inside = control && control.closest("details");
    if (inside && value) inside.open = true;
    if (inside && value && inside.parentElement.tagName === "DETAILS") inside.parentElement.open = true;
  }
}

/* The input of a job, without its source. */
export function input(task) {
  const found = {};
  for (const control of controls()) {
    const text = control.value.trim(), { option, kind } = control.dataset;
    if (!option || !option.startsWith("o-") || !text) continue;
    const name = option.slice(2);
    if (name === "at" && task !== "preview") continue;
    if (["output", "clip"].includes(name) && task === "preview") continue; // it looks at moments
    found[name] = control.tagName === "SELECT" && kind ? JSON.parse(text) : read(text, kind);
  }
  const chosen = byId("size").value;
  const wanted = chosen === "other" ? byId("size-other").value.trim() : chosen;
  if (wanted) Object.assign(found, sized(wanted));
  const tried = [...byId("tried").querySelectorAll(":checked")].map((one) => one.value);
  if (task === "preview" && tried.length) found.compare = [`model=${tried.join(",")}`];
  return found;
}

function read(text, kind) {
  if (kind === "array") return text.split(/[,;]\s*/).filter((one) => one);
  const number = Number(text.replace(",", "."));
  return (kind === "number" || kind === "integer") && Number.isFinite(number) ? number : text;
}

function sized(text) {
  const factor = /^([\d.,/]+)\s*[x×]$/i.exec(text);
  if (factor) return { scale: read(factor[1], "number") };
  return /\d\s*[x×]\s*\d/i.test(text) ? { size: text.replace(/\s*×\s*/, "x") } : { height: text };
}

/* Show at its field what the server has refused; says whether there is one. */
export function blame(text) {
  const name = (/^([a-z_]+)[: ]/.exec(text) || [])[1];
  const isSize = ["scale", "size", "height"].includes(name);
  const control = isSize ? byId(byId("size").value === "other" ? "size-other" : "size") : byId(`o-${name}`);
  if (!control || !name) return false;
  control.setAttribute("aria-invalid", "true");
  for (let one = control.closest("details"); one; one = one.parentElement.closest("details")) one.open = true;
  control.focus();
  return true;
}
