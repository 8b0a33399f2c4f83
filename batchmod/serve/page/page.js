"use strict";

const at = (id) => document.getElementById(id);
const token = document.querySelector("meta[name=page-token]").content;
const chosen = { clip: null, frame: null };
const before = at("before"), after = at("after"), stage = at("stage");

function take(role, file) {
  chosen[role] = file;
  at(`${role}-name`).textContent = file.name;
  at(`${role}-drop`).classList.add("given");
  if (role === "clip") {
    URL.revokeObjectURL(before.src);
    before.src = URL.createObjectURL(file);
    at("save-frame").hidden = false;
    at("compare").hidden = true;
  }
  at("go").disabled = !chosen.clip;
}

function roleOf(file, fallback) {
  if (file.type.startsWith("image/")) return "frame";
  return file.type.startsWith("video/") ? "clip" : fallback;
}

for (const role of ["clip", "frame"]) {
  const input = at(role), drop = at(`${role}-drop`);
  input.addEventListener("change", () => input.files[0] && take(role, input.files[0]));
  drop.addEventListener("dragover", () => drop.classList.add("over"));
  for (const name of ["dragleave", "drop"]) drop.addEventListener(name, () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => { event.role = role; });
}
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  for (const file of event.dataTransfer.files) take(roleOf(file, event.role || "clip"), file);
});

at("save-frame").addEventListener("click", () => {
  const clip = document.createElement("video");
  clip.muted = true;
  clip.preload = "auto";
  clip.src = before.src;
  // loaded is not drawn yet: only a seek leaves a frame that a canvas can take
  clip.addEventListener("loadeddata", () => { clip.currentTime = 0; }, { once: true });
  clip.addEventListener("seeked", () => {
    const canvas = document.createElement("canvas");
    canvas.width = clip.videoWidth;
    canvas.height = clip.videoHeight;
    canvas.getContext("2d").drawImage(clip, 0, 0);
    canvas.toBlob((picture) => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(picture);
      link.download = chosen.clip.name.replace(/\.[^.]*$/, "") + ".png";
      link.click();
    });
  }, { once: true });
});

function headers() {
  const key = at("key").value;
  return key ? { "x-page-token": token, "x-api-key": key } : { "x-page-token": token };
}

function say(text, { bad = false, done = null } = {}) {
  at("work").hidden = false;
  at("said").textContent = text;
  at("said").classList.toggle("bad", bad);
  at("progress").hidden = bad;
  if (done === null) at("progress").removeAttribute("value");
  else at("progress").value = done;
}

function errorOf(text, status) {
  try { return JSON.parse(text).error || `HTTP ${status}`; } catch { return `HTTP ${status}`; }
}

function submitted(form) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", "/v2/modify-video");
    for (const [name, value] of Object.entries(headers())) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => {
      if (event.lengthComputable) say("sending the clip", { done: event.loaded / event.total });
    };
    request.onerror = () => reject(new Error("the service cannot be reached"));
    request.onload = () => {
      if (request.status === 200) resolve(JSON.parse(request.responseText));
      else reject(new Error(errorOf(request.responseText, request.status)));
    };
    request.send(form);
  });
}

async function asked(path) {
  const answer = await fetch(path, { headers: headers() });
  const text = await answer.text();
  if (!answer.ok) throw new Error(errorOf(text, answer.status));
  return JSON.parse(text);
}

async function made(id) {
  for (;;) {
    const job = await asked(`/v2/requests/${id}/status`);
    if (job.status === "COMPLETED") return asked(`/v2/requests/${id}`);
    if (job.status === "QUEUED") say(job.queue_position ? `waiting; ${job.queue_position} before it` : "waiting");
    else if (!job.metrics.frames) say("getting ready");
    else say(`${job.metrics.frames_done} of ${job.metrics.frames} frames`, { done: job.progress });
    await new Promise((resume) => setTimeout(resume, 500));
  }
}

at("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = new FormData();
  form.append("video_url", chosen.clip);
  if (chosen.frame) form.append("first_frame_url", chosen.frame);
  form.append("mode", at("mode").value);
  form.append("prompt", at("prompt").value);
  at("go").disabled = true;
  at("compare").hidden = true;
  say("sending the clip", { done: 0 });
  try {
    const job = await submitted(form);
    show(await made(job.request_id));
    say("done", { done: 1 });
  } catch (error) {
    say(error.message, { bad: true });
  } finally {
    at("go").disabled = false;
  }
});

function show(result) {
  const place = new URL(result.output).pathname;
  after.src = place;
  at("save").href = place;
  at("save").download = chosen.clip.name.replace(/\.[^.]*$/, "") + "_" + at("mode").value + ".mp4";
  at("warnings").replaceChildren(...result.warnings.map((text) => {
    const item = document.createElement("li");
    item.textContent = text;
    return item;
  }));
  at("compare").hidden = false;
  wipe(50);
  after.addEventListener("loadeddata", () => { before.currentTime = 0; after.currentTime = 0; play(); }, { once: true });
}

function play() {
  at("play").textContent = "Pause";
  Promise.all([before.play(), after.play()]).catch(() => { at("play").textContent = "Play"; });
}

at("play").addEventListener("click", () => {
  if (!before.paused) {
    before.pause();
    after.pause();
    after.currentTime = before.currentTime;
    at("play").textContent = "Play";
  } else play();
});

// two players drift apart; the one on top follows
setInterval(() => {
  if (!before.paused && Math.abs(after.currentTime - before.currentTime) > 0.06) after.currentTime = before.currentTime;
}, 250);

function wipe(percent) {
  stage.style.setProperty("--wipe", `${percent}%`);
  at("wipe").value = percent;
}

at("wipe").addEventListener("input", () => wipe(at("wipe").value));
function follow(event) {
  if (event.type === "pointermove" && !event.buttons) return;
  const box = stage.getBoundingClientRect();
  wipe(Math.max(0, Math.min(100, 100 * (event.clientX - box.left) / box.width)));
}
stage.addEventListener("pointerdown", follow);
stage.addEventListener("pointermove", follow);
