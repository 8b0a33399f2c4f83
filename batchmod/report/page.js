
"use strict";
const cards = [...document.querySelectorAll(".card")];
const videosOf = (card) => [...card.querySelectorAll("video")];

/* Filter: by text, and by status or flag. */
const box = document.getElementById("filter");
const count = document.getElementById("count");
const nothing = document.getElementById("nothing");
const choices = [...document.querySelectorAll("[data-show]")];
const fullGrids = [...document.querySelectorAll(".full")];
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
  for (const part of document.querySelectorAll("section, .cards")) {
    part.hidden = !part.querySelector(".card:not([hidden])");
  }
  /* The height that the style sheet guesses for a grid out of sight is a full grid's. */
  for (const grid of fullGrids) grid.classList.toggle("full", !grid.querySelector(".card[hidden]"));
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

/* Videos stand in the page near the reader only: thousands of them, even unloaded, would choke a browser. */
function videoFor(place) {
  const video = document.createElement("video");
  Object.assign(video, { controls: true, muted: true, loop: true, playsInline: true, preload: "metadata" });
  for (const name of ["width", "height", "aria-label"]) video.setAttribute(name, place.getAttribute(name));
  video.src = place.closest("figure").querySelector("a").href;
  return video;
}

function placeFor(video) {
  const place = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  for (const name of ["width", "height", "aria-label"]) place.setAttribute(name, video.getAttribute(name));
  place.setAttribute("role", "img");
  return place;
}

function fill(card) {
  card.querySelectorAll("figure > svg").forEach((place) => place.replaceWith(videoFor(place)));
}

function empty(card) {
  const videos = videosOf(card);
  if (card.contains(document.activeElement) || videos.some((video) => !video.paused)) return;
  for (const video of videos) {
    video.replaceWith(placeFor(video));
    video.removeAttribute("src");
    video.load();
  }
}

const near = new IntersectionObserver((entries) => {
  for (const entry of entries) (entry.isIntersecting ? fill : empty)(entry.target);
}, { rootMargin: "1200px 0px" });

const nearGrids = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    for (const card of entry.target.children) {
      if (entry.isIntersecting) {
        near.observe(card);
      } else {
        near.unobserve(card);
        empty(card);
      }
    }
  }
}, { rootMargin: "2400px 0px" });
document.querySelectorAll(".cards").forEach((grid) => nearGrids.observe(grid));

document.addEventListener("error", (event) => {
  if (event.target instanceof HTMLVideoElement) event.target.closest("figure").classList.add("gone");
}, true);
document.addEventListener("loadedmetadata", (event) => {
  event.target.closest("figure").classList.remove("gone");
}, true);

/* Play both from the start: they wait for each other, also at the end, so that a longer one is seen whole. */
const ready = (video) => new Promise((resolve, reject) => {
  if (video.error) reject(video.error);
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

function together(card, button) {
  let on = false;
  const tell = () => { button.textContent = on ? "Pause both" : "Play both"; };
  const start = () => playBoth(card).catch(() => { on = false; tell(); });
  button.hidden = false;
  button.addEventListener("click", () => {
    on = !on;
    tell();
    fill(card);
    if (on) start();
    else videosOf(card).forEach((video) => { video.pause(); video.loop = true; });
  });
  card.addEventListener("ended", () => { if (on && videosOf(card).every((video) => video.ended)) start(); }, true);
}

for (const button of document.querySelectorAll(".both")) together(button.closest(".card"), button);
