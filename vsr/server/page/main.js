/* The page of `vsr serve`: who is here, what is dropped, and what the buttons do. */

import { ask, byId, path, right, tell, whenSignedOut, wrong } from "./lib.js";
import * as compare from "./compare.js";
import * as queue from "./queue.js";
import * as settings from "./settings.js";
import * as uploads from "./uploads.js";

/* --- who is here --- */

async function enter() {
  const session = await ask("GET", "/v1/session");
  const isIn = !session.needs_token || session.name !== undefined;
  byId("sign-in").hidden = isIn;
  byId("work").hidden = !isIn;
  byId("leave").hidden = !isIn || !session.needs_token;
  byId("about").textContent = session.needs_token && isIn ? `Signed in as ${session.name}.`
    : "Upscales films and pictures on this server.";
  if (!isIn) { byId("token").focus(); return; }
  try {
    await settings.restore();
    await uploads.restore(ready);
  } finally {
    await queue.start({ preview: look, compare: compare.open });
  }
}

byId("token-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const token = byId("token").value.trim();
  try {
    await ask("POST", "/v1/session", {}, { Authorization: `Bearer ${token}` });
  } catch (error) {
    const text = error.status === 401 ? "That is none of this server's tokens." : error.message;
    byId("token").setAttribute("aria-invalid", "true");
    byId("token").select();
    wrong(text);
    return;
  }
  byId("token").value = "";
  byId("token").removeAttribute("aria-invalid");
  right();
  tell("Signed in.");
  await enter().catch(failed);
  byId("choose").focus();
});

byId("leave").addEventListener("click", async () => {
  await ask("DELETE", "/v1/session").catch(failed);
  queue.stop();
  uploads.forget();
  sessionStorage.clear();
  location.reload();
});

whenSignedOut(() => {
  queue.stop();
  byId("work").hidden = byId("leave").hidden = true;
  byId("sign-in").hidden = false;
  wrong("You are signed out: show the token again. What was begun goes on.");
  byId("token").focus();
});

/* --- what is to be upscaled --- */

byId("choose").addEventListener("click", () => byId("files").click());
byId("files").addEventListener("change", (event) => {
  uploads.add([...event.target.files]);
  event.target.value = "";
});
byId("path-form").addEventListener("submit", (event) => {
  event.preventDefault();
  uploads.addPath(byId("path").value.trim());
  byId("path").value = "";
});

const carriesFiles = (event) => event.dataTransfer && [...event.dataTransfer.types].includes("Files");
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    const leaves = kind === "drop" || (kind === "dragleave" && !event.relatedTarget);
    byId("drop").classList.toggle("over", !leaves);
    if (kind === "drop" && !byId("work").hidden) uploads.add([...event.dataTransfer.files]);
  });
}

/* Called whenever the files of the new job have changed, or making a job of one has failed. */
function ready(error) {
  const count = uploads.all().filter((one) => !one.wanted.some((job) => job.task === "upscale")).length;
  byId("preview").disabled = byId("upscale").disabled = count === 0;
  byId("upscale").textContent = count > 1 ? `Upscale ${count} files` : "Upscale";
  byId("to-do").textContent = uploads.all().length ? "" : "Choose a file first.";
  if (error) failed(error);
  else if (!byId("work").hidden) queue.again();
}

for (const [id, task] of [["preview", "preview"], ["upscale", "upscale"]]) {
  byId(id).addEventListener("click", async () => {
    right();
    try {
      await uploads.want(task, settings.input(task));
    } catch (error) {
      failed(error);
    }
    queue.again();
  });
}

function failed(error) {
  settings.blame(error.message);
  wrong(error.source ? `${error.source.name}: ${error.message}` : error.message);
}

/* --- previews --- */

async function trial(job) {
  const { output, clip, ...input } = job.input; // a preview looks at moments of the whole
  try {
    await ask("POST", "/v1/jobs", { task: "preview", input });
    tell("The preview is in the queue.");
  } catch (error) {
    failed(error);
  }
  queue.again();
}

function look(job, name) {
  byId("look-title").textContent = `Preview of ${name}`;
  byId("frame").title = `Preview of ${name}`;
  byId("frame").src = path(job.urls.preview);
  byId("look").showModal();
}

byId("look").addEventListener("close", () => byId("frame").removeAttribute("src"));
for (const dialog of document.querySelectorAll("dialog")) {
  dialog.querySelector(".close").addEventListener("click", () => dialog.close());
}
byId("yes").addEventListener("click", () => byId("ask").close("yes"));

compare.start(trial);
enter().catch((error) => {
  wrong(`${error.message} Load the page again when it does.`);
});
