
"use strict";
const cards = [...document.querySelectorAll(".card")];
const videosOf = (card) => [...card.querySelectorAll("video")];

/* Filter: by text, and by status or flag. */
const box = document.getElementById("filter");
const count = document.getElementById("count");
const nothing = document.getElementById("nothing");
const choices = [...document.querySelectorAll("[data-show]")];
const words = new Map();
let show = "all";

function textOf(card) {
  if (!words.has(card)) words.set(card, card.textContent.toLowerCase());
  return words.get(card);
}

function chosen(card) {
  if (show === "flagged") return "flagged" in card.dataset;
  return show === "all" || card.dataset.status === show;
}

function filter() {
  const wanted = box.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const card of cards) {
    const fits = chosen(card) && wanted.every((word) => textOf(card).includes(word));
    if (card.hidden === fits) card.hidden = !fits;
    if (fits) shown += 1;
    else videosOf(card).forEach((video) => video.pause());
  }
  for (const section of document.querySelectorAll("section")) {
    section.hidden = !section.querySelector(".card:not([hidden])");
  }
  nothing.hidden = shown > 0;
  count.textContent = shown === cards.length ? "" : `${shown.toLocaleString("en")} of ${cards.length.toLocaleString("en")} shown`;
}

let typing = 0;
box.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(filter, 150);
});
for (const button of choices) {
  button.addEventListener("click", () => {
    show = button.dataset.show;
    choices.forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
    filter();
  });
}
document.querySelector(".tools").hidden = false;

/* Load near the reader, and let go far from him: browsers hold only so many players. */
const near = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    for (const video of videosOf(entry.target)) {
      if (entry.isIntersecting) {
        video.preload = "metadata";
      } else if (video.paused && video.readyState > 0 && video.preload !== "none") {
        video.preload = "none";
        video.load();
      }
    }
  }
}, { rootMargin: "1200px 0px" });
cards.forEach((card) => near.observe(card));

document.addEventListener("error", (event) => {
  if (event.target instanceof HTMLVideoElement) event.target.closest("figure").classList.add("gone");
}, true);
document.addEventListener("loadedmetadata", (event) => {
  event.target.closest("figure").classList.remove("gone");
}, true);

/* Play both from the start: they wait for each other, also at the end, so that a longer one is seen whole. */
const ready = (video) => new Promise((resolve, reject) => {
  const done = () => (video.readyState >= 3 && !video.seeking ? resolve() : undefined);
  video.addEventListener("canplay", done);
  video.addEventListener("seeked", done);
  video.addEventListener("error", reject, { once: true });
  video.preload = "auto";
  video.loop = false;
  video.pause();
  video.currentTime = 0;
  done();
});

async function playBoth(card) {
  const videos = videosOf(card);
  await Promise.all(videos.map(ready));
  await Promise.all(videos.map((video) => video.play()));
}

for (const card of cards) {
  const button = card.querySelector(".both");
  if (!button) continue;
  const videos = videosOf(card);
  let together = false;
  const tell = () => { button.textContent = together ? "Pause both" : "Play both"; };
  const start = () => playBoth(card).catch(() => { together = false; tell(); });
  button.hidden = false;
  button.addEventListener("click", () => {
    together = !together;
    tell();
    if (together) start();
    else videos.forEach((video) => { video.pause(); video.loop = true; });
  });
  for (const video of videos) {
    video.addEventListener("ended", () => { if (together && videos.every((each) => each.ended)) start(); });
  }
}
