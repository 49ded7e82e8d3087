"use strict";
/* `vsr preview`: what the viewer (view.js) shows are moments of a film, each in all settings. */

const data = JSON.parse(document.getElementById("data").textContent);
names = data.names; // the source's first
Object.assign(state, { moment: 0, playing: false });

/* --- what is shown --- */

/* Pictures are decoded once, into bitmaps: an <img> is decoded, or scaled, again for each zoom. */
function picture(source) {
  const found = { bitmap: null };
  const image = new Image();
  image.onload = async () => {
    found.bitmap = await createImageBitmap(image);
    changed();
  };
  image.src = source;
  return found;
}

const overlay = (source) => source && picture(source);
const bitmaps = () => [...scene.images, ...scene.maps.heat, ...scene.maps.doubt];

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
  if (scene) drop(bitmaps());
  kept = {};
  scene = {
    told, width: told.width, height: told.height, draw: drawn, moves: isPlaying,
    images: told.pictures.map(picture),
    maps: { heat: told.heats.map(overlay), doubt: told.doubts.map(overlay) },
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

const isPlaying = () => state.playing && !!scene.video;

function drawn(pen, which, left, top, zoom) {
  const { bitmap } = scene.images[which], box = scene.told.loop;
  if (bitmap) pen.drawImage(bitmap, left, top, scene.width * zoom, scene.height * zoom);
  if (isPlaying() && scene.video.readyState >= 2) {
    pen.drawImage(scene.video, 0, which * box.height, box.width, box.height,
      left + box.left * zoom, top + box.top * zoom, box.width * zoom, box.height * zoom);
  }
}

/* Grey and darker, so that only the map has colours. */
function mapped(name, said) {
  painters[name] = () => {
    const map = scene.maps[name][state.right];
    if (state.flipped) draw(state.right, 0);
    else whole(made(name, (chalk, slate) => {
      scene.draw(chalk, state.right, 0, 0, 1);
      chalk.globalCompositeOperation = "saturation";
      chalk.fillStyle = "#777";
      chalk.fillRect(0, 0, slate.width, slate.height);
      chalk.globalCompositeOperation = "source-over";
      chalk.fillStyle = "rgba(0, 0, 0, .5)";
      chalk.fillRect(0, 0, slate.width, slate.height);
      if (map && map.bitmap) chalk.drawImage(map.bitmap, 0, 0, slate.width, slate.height);
    }));
    label(map ? `${said} ${names[state.right]}` : `no map of ${names[state.right]}`, 0, "left");
  };
}

mapped("heat", "invented by");
mapped("doubt", "unsure:");

/* --- words --- */

say = () => {
  const share = scene.told.shares[state.right];
  const invented = share === null ? "" : ` Of its detail ${Math.round(share * 100)} % is invented.`;
  byId("said").textContent = `${names[state.right]} at ${scene.told.time}, ${scene.told.reason};`
    + ` shown at ${Math.round((state.zoom / ratio()) * 100)} %.${invented}`;
  stage.setAttribute("aria-label", `${names[state.left]} and ${names[state.right]} at`
    + ` ${scene.told.time}, ${state.mode}`);
};

function next(by) {
  state.right = ((state.right - 1 + by + names.length - 1) % (names.length - 1)) + 1;
  byId("right").value = String(state.right);
  tell();
}

/* --- keys and buttons --- */

Object.assign(keys, {
  n: () => choose(state.moment + 1), p: () => choose(state.moment - 1),
  l: () => scene.video && play(!state.playing), r: () => next(1), h: () => setMode("heat"),
  u: () => setMode("doubt"),
});

for (const side of ["left", "right"]) {
  byId(side).addEventListener("change", (event) => { state[side] = Number(event.target.value); tell(); });
}
byId("moment").addEventListener("change", (event) => choose(Number(event.target.value)));
byId("play").addEventListener("click", () => play(!state.playing));

choose(0);
begin();
const ready = () => bitmaps().every((one) => !one || one.bitmap) && !dirty;
window.vsr = { state, scene: () => scene, painted: () => redone, ready };
