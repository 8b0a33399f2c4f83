
/* One group: the outputs of one source beside it, played in step. */
const MOST_VIDEOS = 8; /* of one group at a time: a browser holds some 75 players in all */
const SETTLED_MS = 120;
const VIEWS = [["side", "Side by side"], ["wipe", "Wipe"], ["difference", "Difference"]];
const NO_OUTPUT = {
  failed: "no output", uncertain: "not known yet", invalid: "not sent", held: "held, not sent", submitted: "in the making",
};
const RATES = [0.1, 0.25, 0.5, 1, 1.5, 2];

function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false && child !== ""));
  return element;
}

const clockText = (seconds) => {
  const at = Math.max(0, seconds || 0);
  return `${Math.floor(at / 60)}:${(at % 60).toFixed(2).padStart(5, "0")}`;
};

class Group {
  constructor(page, key, source, cards, state) {
    Object.assign(this, { page, key, source, cards, state });
    this.together = new Together(() => this.tick(), () => this.open());
    this.parts = {};
    this.element = h("article", { class: "group", tabindex: "-1", "aria-label": this.label() });
    this.build();
  }

  label() {
    const count = this.cards.length;
    return count === 1 ? this.cards[0].id : `${this.source[0]}: ${count} rows`;
  }

  /* What stands beside the source: a row each, and earlier versions where one asked for them. */
  get picked() { return Math.min(this.state.picked ?? 0, this.cards.length - 1); }

  get card() { return this.cards[this.picked]; }

  versionsOf(card) { return [card.clip, ...(card.older || [])].filter(Boolean); }

  shownOf(card) {
    const versions = this.versionsOf(card);
    return versions.find((clip) => clip.v === this.state.versions?.[card.id]) ?? versions[0] ?? null;
  }

  /* The outputs that stand there as videos: eight around the one that is picked. */
  windowOf() {
    const first = Math.floor(this.picked / MOST_VIDEOS) * MOST_VIDEOS;
    return this.cards.slice(first, first + MOST_VIDEOS).map((card, index) => [first + index, card]);
  }

  build() {
    this.together.drop();
    this.first = this.windowOf()[0][0];
    const before = this.tile("before", { name: this.source[0], href: this.source[1], thumb: this.source[2] }, "Before");
    const tiles = this.windowOf().map(([index, card]) => this.outputTile(index, card));
    this.tiles = [before, ...tiles];
    this.stage = h("div", { class: "tiles" }, before, ...tiles, this.handle());
    this.detail = h("div", { class: "detail" });
    this.element.replaceChildren(
      this.head(), h("div", { class: "body" }, h("div", { class: "left" }, this.stage, this.bar(), this.strip()), this.detail),
    );
    const ratio = this.ratio();
    for (const tile of this.tiles) tile.querySelector(".media").style.setProperty("--ratio", ratio);
    this.together.use([...this.stage.querySelectorAll("video")]);
    this.show();
    clearTimeout(this.opening);
    this.opening = setTimeout(() => this.open(), SETTLED_MS);
  }

  /* The files are opened once the reader stays: who scrolls by thousands opens none. */
  open() {
    clearTimeout(this.opening);
    this.opening = 0;
    for (const video of this.element.querySelectorAll("video[data-src]")) {
      video.src = video.dataset.src;
      delete video.dataset.src;
    }
  }

  ratio() {
    const clip = this.versionsOf(this.card)[0] ?? this.cards.map((card) => card.clip).find(Boolean);
    return clip?.size ? `${clip.size[0]} / ${clip.size[1]}` : "16 / 9";
  }

  head() {
    const views = this.canCompare() && h("div", { class: "choices views", role: "group", "aria-label": "How before and after are compared" },
      ...VIEWS.map(([name, label]) => h("button", { type: "button", "data-view": name, onclick: () => this.view(name) }, label)));
    const single = this.cards.length === 1;
    const name = single ? this.cards[0].id : this.source[0];
    const quiet = single ? `row ${this.cards[0].row}` : `${this.cards.length} rows`;
    return h("header", {}, h("h3", { dir: "auto" }, name), h("span", { class: "quiet" }, quiet), views);
  }

  canCompare() { return Boolean(this.source[1] && this.cards.some((card) => card.clip)); }

  outputTile(index, card) {
    const clip = this.shownOf(card);
    const number = h("button", { type: "button", class: "pick", "aria-label": `Select ${card.id}`, onclick: () => this.pick(index) },
      String(index - this.first + 1));
    const name = this.cards.length === 1 ? "After" : card.id;
    const tile = this.tile("after", clip ?? { name: NO_OUTPUT[card.status] ?? "not made yet" }, name, this.cards.length > 1 && number,
      ...this.badges(card, clip));
    tile.dataset.index = index;
    tile.addEventListener("click", () => this.pick(index));
    return tile;
  }

  badges(card, clip) {
    const badge = (kind, text) => h("span", { class: `badge ${kind}` }, text);
    const versions = this.versionsOf(card).length;
    const news = { new: "new", version: "new version", failed: "failed now", sent: "on its way" }[card.news];
    return [
      this.cards.length > 1 && card.mode && h("span", { class: "quiet" }, card.mode),
      clip && (versions > 1 || clip.v > 1) && h("span", { class: "quiet" }, versions > 1 ? `v${clip.v} of ${versions}` : `v${clip.v}`),
      card.status !== "succeeded" && badge(card.status, card.status),
      card.flagged && badge("flagged", "flagged"),
      news && badge("fresh", news),
      h("span", { class: "badge mark", hidden: true }),
    ];
  }

  tile(side, clip, name, number, ...badges) {
    const label = `${side}: ${this.cards.length === 1 ? this.cards[0].id : name}`;
    const media = clip.href
      ? h("video", {
        muted: true, playsinline: true, preload: clip.thumb ? "none" : "metadata", poster: clip.thumb, "data-src": clip.href, "aria-label": label,
      })
      : h("p", { class: "none", dir: "auto" }, clip.name);
    if (clip.href) {
      media.muted = true;
      media.addEventListener("error", () => media.closest("figure")?.classList.add("gone"));
      media.addEventListener("loadedmetadata", () => media.closest("figure")?.classList.remove("gone"));
    }
    return h("figure", { class: side },
      h("div", { class: "media" }, media),
      h("figcaption", {}, number, h("b", { dir: "auto" }, name), ...badges));
  }

  handle() {
    const slider = h("input", {
      type: "range", class: "edge", min: 0, max: 100, step: 0.5, value: this.state.edge ?? 50, "aria-label": "Edge of the wipe: before on the left, after on the right",
      oninput: () => { this.state.edge = Number(slider.value); this.cut(); },
    });
    this.slider = slider;
    return h("div", { class: "wiper", hidden: true }, slider, h("span", { class: "line" }));
  }

  /* The row under the videos: play, time, seek, speed, loop, sound. */
  bar() {
    if (!this.tiles.some((tile) => tile.querySelector("video"))) return "";
    const button = (text, what, act, more = {}) => h("button", { type: "button", title: what, "aria-label": what, onclick: act, ...more }, text);
    this.parts = {
      play: button("Play", "Play all in step", () => this.together.toggle(), { class: "play" }),
      seek: h("input", { type: "range", class: "seek", min: 0, max: 1, step: "any", value: 0, "aria-label": "Where in the clip",
        oninput: () => this.together.seek(Number(this.parts.seek.value)) }),
      time: h("output", { class: "time" }, "0:00.00"),
      rate: button("1×", "Speed", () => this.speed(1, true)),
      loop: button("Loop", "Begin again at the end", () => this.toggleLoop(), { "aria-pressed": "true" }),
      sound: button("Sound", "Sound of the selected output", () => this.toggleSound(), { "aria-pressed": "false" }),
    };
    const { play, seek, time, rate, loop, sound } = this.parts;
    return h("div", { class: "bar" }, play, button("‹", "One frame back", () => this.step(-1)), button("›", "One frame on", () => this.step(1)),
      seek, time, rate, loop, sound);
  }

  /* Where there are more outputs than stand there as videos: all of them, small. */
  strip() {
    if (this.cards.length <= MOST_VIDEOS) return "";
    return h("div", { class: "strip", role: "group", "aria-label": "All outputs of this clip" }, ...this.cards.map((card, index) =>
      h("button", { type: "button", "data-index": index, title: card.id, onclick: () => this.pick(index) }, String(index + 1))));
  }

  tick() {
    const { together, parts } = this;
    if (!parts.play) return;
    const text = together.wanted ? "Pause" : "Play";
    if (parts.play.textContent !== text) parts.play.textContent = text;
    const length = together.length();
    const now = together.now();
    if (length && Number(parts.seek.max) !== length) parts.seek.max = length;
    if (document.activeElement !== parts.seek || together.running) parts.seek.value = now;
    parts.seek.setAttribute("aria-valuetext", `${now.toFixed(1)} of ${length.toFixed(1)} seconds`);
    parts.time.textContent = `${clockText(now)} / ${clockText(length)}`;
    if (together.wanted) this.page.plays(this);
  }

  fps() { return this.shownOf(this.card)?.fps || 24; }

  step(frames) { this.together.step(frames, this.fps()); }

  speed(by, around = false) {
    const at = RATES.indexOf(this.together.rate) + by;
    const rate = RATES[around ? (at + RATES.length) % RATES.length : Math.max(0, Math.min(RATES.length - 1, at))];
    this.together.setRate(rate);
    if (this.parts.rate) this.parts.rate.textContent = `${rate}×`;
  }

  toggleLoop() {
    this.together.loop = !this.together.loop;
    this.parts.loop?.setAttribute("aria-pressed", String(this.together.loop));
  }

  toggleSound() {
    this.isLoud = !this.isLoud;
    this.parts.sound?.setAttribute("aria-pressed", String(this.isLoud));
    this.hear();
  }

  hear() {
    const loud = this.isLoud ? this.chosenTile()?.querySelector("video") : null;
    for (const video of this.together.videos) video.muted = video !== loud;
  }

  view(name) {
    this.state.view = this.state.view === name ? "side" : name;
    if (!this.canCompare()) this.state.view = "side";
    this.show();
    this.page.changed(this);
  }

  /* The same key again shows the row's earlier version. */
  pick(index, { again = false } = {}) {
    if (index < 0 || index >= this.cards.length) return;
    if (index === this.picked && again) {
      const versions = this.versionsOf(this.card);
      if (versions.length > 1) this.pickVersion(versions[(versions.indexOf(this.shownOf(this.card)) + 1) % versions.length].v);
      return;
    }
    if (index === this.picked) return;
    const moved = Math.floor(index / MOST_VIDEOS) !== Math.floor(this.picked / MOST_VIDEOS);
    this.state.picked = index;
    if (moved) this.rebuild();
    else this.show();
    this.page.changed(this);
  }

  pickVersion(version) {
    this.state.versions = { ...this.state.versions, [this.card.id]: version };
    this.rebuild();
    this.page.changed(this);
  }

  /* With other videos, from where the others were. */
  rebuild() {
    const { wanted } = this.together;
    const at = this.together.now();
    this.build();
    this.together.at = at;
    if (wanted) this.together.play();
    else if (at) this.together.seek(at);
  }

  chosenTile() { return this.tiles.find((tile) => Number(tile.dataset.index) === this.picked); }

  show() {
    const view = this.canCompare() && this.chosenTile()?.querySelector("video") ? this.state.view ?? "side" : "side";
    this.stage.dataset.view = view;
    this.element.querySelectorAll("[data-view]").forEach((button) => {
      if (button.tagName === "BUTTON") button.setAttribute("aria-pressed", String(button.dataset.view === view));
    });
    for (const tile of this.tiles) {
      const isChosen = tile === this.chosenTile();
      tile.classList.toggle("chosen", isChosen);
      tile.querySelector(".pick")?.setAttribute("aria-pressed", String(isChosen));
    }
    this.stage.classList.toggle("several", this.cards.length > 1);
    this.element.querySelectorAll(".strip button").forEach((button) => {
      button.setAttribute("aria-current", String(Number(button.dataset.index) === this.picked));
    });
    this.element.querySelector(".wiper").hidden = view !== "wipe";
    this.cut();
    this.hear();
    this.detail.replaceChildren(...detailOf(this));
    if (!this.opening) this.open();
    this.marked();
  }

  cut() {
    const isWipe = this.stage.dataset.view === "wipe";
    const edge = this.state.edge ?? 50;
    for (const tile of this.tiles) {
      tile.querySelector(".media").style.clipPath = isWipe && tile === this.chosenTile() ? `inset(0 0 0 ${edge}%)` : "";
    }
    this.stage.style.setProperty("--edge", `${edge}%`);
    this.slider.setAttribute("aria-valuetext", `${Math.round(edge)} percent before`);
  }

  /* What is marked, on the tiles and on the buttons. */
  marked() {
    const { marks } = this.page;
    for (const tile of this.tiles.slice(1)) {
      const card = this.cards[Number(tile.dataset.index)];
      const { review, of } = marks.of(card);
      const here = review && (!of || of === this.shownOf(card)?.v || review !== "keep");
      const badge = tile.querySelector(".badge.mark");
      badge.hidden = !here;
      badge.textContent = here ? review : "";
      tile.dataset.said = here ? review : "";
    }
    const { review, of, note } = marks.of(this.card);
    const isThis = !of || of === this.shownOf(this.card)?.v;
    this.detail.querySelectorAll("[data-review]").forEach((button) => {
      button.setAttribute("aria-pressed", String(button.dataset.review === review && (isThis || review !== "keep")));
    });
    const box = this.detail.querySelector("textarea");
    if (box && document.activeElement !== box) box.value = note;
  }

  /* keep is a word on the version one looks at; redo and hold are on the row, so on its newest. */
  mark(review) {
    const newest = newestOf(this.card);
    if (!newest && review !== "hold") return "";
    const version = review === "redo" ? newest : this.shownOf(this.card)?.v ?? newest;
    const before = this.page.marks.of(this.card);
    const again = before.review === review && (before.of === version || review !== "keep");
    this.page.mark(this.card, { review: again ? "" : review, of: version });
    return again ? "" : review;
  }

  note() {
    const box = this.detail.querySelector("textarea");
    box.closest("details").open = true;
    box.focus();
  }

  drop() {
    clearTimeout(this.opening);
    this.together.drop();
  }
}

/* What is said of the output that is picked. */
function* detailOf(group) {
  const { card, page } = group;
  const clip = group.shownOf(card);
  const single = group.cards.length === 1;
  if (!single) yield h("h4", { dir: "auto" }, card.id, " ", h("span", { class: "quiet" }, `row ${card.row}`));
  const versions = group.versionsOf(card);
  if (versions.length > 1) {
    yield h("div", { class: "choices versions", role: "group", "aria-label": "Versions" }, ...versions.map((each) =>
      h("button", { type: "button", "aria-pressed": String(each === clip), title: [each.at, each.cost].filter(Boolean).join(" · "),
        onclick: () => group.pickVersion(each.v) }, `v${each.v}`)));
    if (clip?.about) yield h("p", { class: "quiet", dir: "auto" }, `v${clip.v} was made with: ${clip.about}`);
  }
  yield frames(group, card, clip);
  if (card.prompt) yield h("p", { class: "prompt", dir: "auto" }, card.prompt);
  yield trouble(card);
  yield scores(card, page.about);
  yield facts(card, page.about);
  yield files(group, clip);
  yield marking(group);
  if (card.own?.length) yield h("details", {}, h("summary", {}, "Your columns"), table(card.own, "own"));
}

/* The first frame that was given, and the one that was got. */
function frames(group, card, clip) {
  const given = card.frame ?? (group.source[2] && ["the clip's own", group.source[2]]);
  if (!given && !clip?.thumb) return "";
  const frame = (name, href, what) => h("figure", {}, href
    ? h("a", { href }, h("img", { src: href, alt: `${what} of ${card.id}`, loading: "lazy", title: name }))
    : h("p", { class: "none" }, name), h("figcaption", {}, what));
  const got = clip && (clip.thumb ? frame(clip.name, clip.thumb, "first frame got") : firstFrameOf(clip));
  return h("div", { class: "frames" }, given && frame(given[0], given[1], card.frame ? "first frame given" : "first frame of the clip"), got);
}

function firstFrameOf(clip) {
  const video = h("video", { "data-src": `${clip.href}#t=0`, preload: "metadata", "aria-label": "first frame got" });
  video.muted = true;
  return h("figure", {}, video, h("figcaption", {}, "first frame got"));
}

function trouble(card) {
  const parts = [];
  if (card.error || card.code) parts.push(h("p", { dir: "auto" }, card.code && h("code", {}, card.code), card.code && " ", card.error ?? ""));
  if (card.doubt) parts.push(h("p", { dir: "auto" }, `Flagged: ${card.doubt}`));
  if (card.warnings) parts.push(h("p", { dir: "auto" }, `Noticed: ${card.warnings}`));
  if (card.advice) {
    parts.push(h("p", { class: "advice" }, ...card.advice.split("`").map((text, index) => (index % 2 ? h("code", {}, text) : text))));
  }
  return parts.length ? h("div", { class: `trouble ${card.status}` }, ...parts) : "";
}

function scores(card, about) {
  if (!card.scores) return "";
  const bars = card.scores.map((score, index) => score !== null && h("div", {},
    h("dt", {}, about.scores[index]),
    h("dd", {}, h("meter", { min: 0, max: 100, low: 50, high: 75, optimum: 100, value: score, "aria-label": `${about.scores[index]} score` }),
      h("span", {}, String(Math.round(score))))));
  return h("dl", { class: "scores" }, ...bars);
}

function facts(card, about) {
  const pairs = [["mode", card.mode], ...about.facts.map((name, index) => [name, card.facts?.[index]])];
  return table(pairs.filter(([, text]) => text), "facts");
}

function files(group, clip) {
  const [name, href] = group.source;
  const link = (to, text) => h("a", { href: to, dir: "auto" }, text);
  const named = [href && ["before", link(href, name)], clip && ["after", link(clip.href, clip.name.split("/").pop())]];
  const found = named.filter(Boolean);
  return found.length ? table(found, "facts files") : "";
}

const table = (pairs, kind) => h("dl", { class: kind }, ...pairs.map(([name, text]) =>
  h("div", {}, h("dt", { dir: "auto" }, name), h("dd", { dir: "auto" }, text))));

function marking(group) {
  const { card, page } = group;
  const { note } = page.marks.of(card);
  const names = newestOf(card) ? ["keep", "redo", "hold"] : ["hold"];
  const buttons = names.map((name) => h("button", {
    type: "button", "data-review": name, "aria-pressed": "false", title: `${name} (${name[0]})`, onclick: () => group.mark(name),
  }, name[0].toUpperCase() + name.slice(1)));
  const box = h("textarea", { rows: 2, "aria-label": `Note on ${card.id}`, placeholder: "A note",
    oninput: () => page.mark(card, { note: box.value }) });
  box.value = note;
  return h("div", { class: "marking" },
    h("div", { class: "choices", role: "group", "aria-label": `Mark ${card.id}` }, ...buttons),
    h("details", { class: "note", open: Boolean(note) }, h("summary", {}, "Note"), box));
}
