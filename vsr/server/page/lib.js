/* What all parts of the page need: elements, requests, words. */

export const byId = (id) => document.getElementById(id);

/* An element; texts are texts, whatever a file is called. */
export function make(tag, about = {}, ...inside) {
  const found = document.createElement(tag);
  for (const [name, value] of Object.entries(about)) {
    if (name === "class") found.className = value;
    else if (name.startsWith("on")) found.addEventListener(name.slice(2), value);
    else if (typeof value === "boolean") found.toggleAttribute(name, value);
    else if (value !== null && value !== undefined) found.setAttribute(name, value);
  }
  found.append(...inside.filter((one) => one !== null && one !== undefined));
  return found;
}

export const button = (words, name, onclick) =>
  make("button", { type: "button", "aria-label": name, onclick }, words);

/* What the server has refused, in its words. */
export class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

/* The server names addresses whole; behind a proxy only their paths are right. */
export const path = (address) => {
  const { pathname, search } = new URL(address, location.href);
  return pathname + search;
};

let leaving = () => {};
export const whenSignedOut = (what) => { leaving = what; };
export const signedOut = () => leaving();

export async function ask(method, address, data, headers = {}) {
  const body = data === undefined ? undefined : JSON.stringify(data);
  if (body !== undefined) headers = { "Content-Type": "application/json", ...headers };
  let answer;
  try {
    answer = await fetch(address, { method, body, headers, cache: "no-store" });
  } catch {
    throw new Refused(0, "The server does not answer.");
  }
  const text = await answer.text();
  let told = null;
  try { told = JSON.parse(text); } catch { /* an answer of another kind */ }
  if (answer.ok) return told;
  return refuse(answer.status, told, address);
}

function refuse(status, told, address) {
  if (status === 401 && address !== "/v1/session") signedOut();
  throw new Refused(status, (told && told.detail) || `The server has answered ${status}.`);
}

/* --- telling people --- */

export function tell(text) {
  byId("news").textContent = text;
}

export function wrong(text) {
  const line = make("p", { class: "warning" }, text, " ");
  line.append(button("Dismiss", `Dismiss: ${text}`, () => line.remove()));
  byId("wrong").replaceChildren(line);
}

export const right = () => byId("wrong").replaceChildren();

/* Ask before something is lost; resolves to whether it shall be. */
export function sure(question, yes) {
  byId("question").textContent = question;
  byId("yes").textContent = yes;
  const dialog = byId("ask");
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

/* --- words for numbers --- */

export function size(bytes) {
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (bytes < 1000) return `${bytes < 10 && unit !== "B" ? bytes.toFixed(1) : Math.round(bytes)} ${unit}`;
    bytes /= 1000;
  }
  return `${bytes.toFixed(1)} TB`;
}

export function lasts(seconds) {
  const whole = Math.max(Math.round(seconds), 0);
  const hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${whole % 60} s` : `${whole} s`;
}

export function clock(seconds, withTenths) {
  const tenths = Math.floor(Math.max(seconds, 0) * 10 + 1e-6), whole = Math.floor(tenths / 10);
  const minutes = Math.floor(whole / 60) % 60, hours = Math.floor(whole / 3600);
  const two = (number) => String(number).padStart(2, "0");
  return (hours ? `${hours}:${two(minutes)}` : minutes) + `:${two(whole % 60)}${withTenths ? `.${tenths % 10}` : ""}`;
}
