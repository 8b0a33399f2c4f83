
/* The page: what is asked for, in which order, and the keys. */
const { about, cards, sources } = JSON.parse(document.getElementById("data").textContent);
const $ = (selector) => document.querySelector(selector);
const all = (selector) => [...document.querySelectorAll(selector)];
const marks = new Marks(about, cards);
const asked = { words: [], show: "all", mark: null, news: false, order: "look" };
const states = new Map(); /* by group: what is picked, how it is looked at */
let current = -1;
let playing = null;

const page = {
  about,
  marks,
  mark(card, change) {
    marks.mark(card, change);
    texts.delete(card);
    say(change.review === undefined ? "" : `${card.id}: ${change.review || "mark taken away"}`);
  },
  plays(group) {
    if (playing && playing !== group) playing.together.pause();
    playing = group;
  },
  changed(group) { current = Number(group.element.dataset.at); },
};

const list = new List($("#list"), (item) => {
  if (!states.has(item.key)) states.set(item.key, { picked: 0 });
  return new Group(page, item.key, item.source, item.cards, states.get(item.key));
});

/* Which rows. */
const texts = new Map();
function textOf(card) {
  if (!texts.has(card)) {
    const own = (card.own ?? []).flat();
    const parts = [card.id, card.prompt, card.mode, card.status, card.error, card.code, card.doubt, card.warnings, card.note,
      card.clip?.name, sources[card.source][0], ...(card.facts ?? []), ...own, marks.of(card).note];
    texts.set(card, parts.filter(Boolean).join("\n").toLowerCase());
  }
  return texts.get(card);
}

function fits(card) {
  if (asked.show === "flagged" ? !card.flagged : asked.show === "look" ? !card.look : asked.show !== "all" && card.status !== asked.show) return false;
  if (asked.news && !card.news) return false;
  if (asked.mark && (marks.of(card).review || "none") !== asked.mark) return false;
  return asked.words.every((word) => textOf(card).includes(word));
}

/* In which order: a number or a text by which rows rise; groups stand where their first row does. */
function rankOf(order) {
  const [name, way] = order.split(":");
  const score = about.scores.indexOf(name.replace(/_score$/, "").replaceAll("_", " "));
  if (score >= 0) {
    const sign = way === "down" ? -1 : 1;
    return (card) => (card.scores?.[score] ?? null) === null ? Infinity : sign * card.scores[score];
  }
  return {
    row: (card) => card.row,
    newest: (card) => -(Date.parse(card.at) || 0),
    usd: (card) => -(card.usd ?? -1),
    look: (card, index) => index,
  }[name];
}

const byName = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

function ordered(chosen) {
  if (asked.order === "look") return chosen;
  if (asked.order === "id") return chosen.sort((one, other) => byName.compare(one.id, other.id));
  const rank = rankOf(asked.order);
  const ranks = new Map(chosen.map((card, index) => [card, rank(card, index)]));
  return chosen.sort((one, other) => ranks.get(one) - ranks.get(other) || one.row - other.row);
}

/* Outputs of one source stand together; those beyond what one looks at together make a further group. */
const MOST_TOGETHER = 24;

function groups(chosen) {
  const found = [];
  const open = new Map();
  for (const card of chosen) {
    let group = open.get(card.source);
    if (!group || group.cards.length === MOST_TOGETHER) {
      const part = group ? group.part + 1 : 0;
      group = { key: `${card.source}:${part}`, part, source: sources[card.source], cards: [] };
      open.set(card.source, group);
      found.push(group);
    }
    group.cards.push(card);
  }
  return found;
}

function filter() {
  const chosen = ordered(cards.filter(fits));
  playing = null;
  current = -1;
  list.use(groups(chosen));
  $("#nothing").hidden = chosen.length > 0;
  const number = (count) => count.toLocaleString("en");
  const clips = new Set(chosen.map((card) => card.source)).size;
  $("#count").textContent = chosen.length === cards.length && clips === cards.length ? "" : `${number(chosen.length)} of ${number(cards.length)} rows, ${number(clips)} ${clips === 1 ? "clip" : "clips"}`;
}

let typing = 0;
$("#filter").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => {
    asked.words = $("#filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    filter();
  }, 150);
});
$("#sort").addEventListener("change", () => { asked.order = $("#sort").value; filter(); });

function choose(selector, act) {
  for (const button of all(selector)) {
    button.addEventListener("click", () => {
      act(button);
      filter();
    });
  }
}
const press = (selector, is) => all(selector).forEach((button) => button.setAttribute("aria-pressed", String(is(button))));
choose("[data-show]", ({ dataset }) => { asked.show = dataset.show; press("[data-show]", (other) => other.dataset.show === asked.show); });
choose("[data-mark]", ({ dataset }) => {
  asked.mark = asked.mark === dataset.mark ? null : dataset.mark;
  press("[data-mark]", (other) => other.dataset.mark === asked.mark);
});
choose("[data-news]", () => { asked.news = !asked.news; press("[data-news]", () => asked.news); });

/* How many of each mark, and what a kept shot has cost. */
function counted() {
  const counts = { keep: 0, redo: 0, hold: 0, none: 0 };
  let inTable = 0;
  for (const card of cards) {
    counts[marks.of(card).review || "none"] += 1;
    if (card.review === "keep") inTable += 1;
  }
  for (const button of all("[data-mark]")) button.querySelector("b").textContent = counts[button.dataset.mark].toLocaleString("en");
  $("#export").textContent = marks.set.size ? `Export marks (${marks.set.size.toLocaleString("en")})` : "Export marks";
  const kept = counts.keep + Math.max(0, about.keptBeyond - inTable) * (about.keptBeyond ? 1 : 0);
  if (!about.client) $("#kept").textContent = perKept(kept);
}

function dollars(usd) { return `${about.estimated && usd ? "about " : ""}$${usd.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: usd === 0 || usd >= 0.1 ? 2 : 4 })}`; }

function perKept(kept) {
  const made = about.generations;
  const spent = `${made.toLocaleString("en")} generation${made === 1 ? "" : "s"}, ${dollars(about.usd)}`;
  if (!kept) return `${spent}; no shot is kept yet.`;
  return `${spent}; ${kept.toLocaleString("en")} kept: ${(made / kept).toFixed(1)} generations and ${dollars(about.usd / kept)} per kept shot.`;
}

marks.listeners.push(() => {
  counted();
  for (const made of list.there.values()) made.marked();
});

/* The marks as a file. */
function exportMarks() {
  const count = marks.set.size;
  const advice = about.client ? "Send the file back." : "Then: batchmod run marks.csv, or batchmod report PATH --marks marks.csv to write them into your sheet.";
  $("#marksay").textContent = count
    ? `${count.toLocaleString("en")} ${count === 1 ? "row" : "rows"}. ${advice}${marks.isStored ? "" : " This browser keeps nothing of a page from disk: save them before you leave."}`
    : "Nothing is marked here yet: keep, redo and hold stand beside each output.";
  $("#markstext").value = count ? marks.file() : "";
  for (const button of [$("#save"), $("#copy"), $("#forget")]) button.disabled = !count;
  $("#marks").showModal();
}
$("#export").addEventListener("click", exportMarks);
$("#save").addEventListener("click", () => {
  /* the mark at its head tells a spreadsheet that it is UTF-8 */
  const url = URL.createObjectURL(new Blob(["\ufeff", marks.file()], { type: "text/csv" }));
  h("a", { href: url, download: "marks.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
});
$("#copy").addEventListener("click", async () => {
  const box = $("#markstext");
  try {
    await navigator.clipboard.writeText(box.value);
    say("copied");
  } catch {
    box.select();
    say(document.execCommand("copy") ? "copied" : "press Ctrl-C to copy");
  }
});
$("#forget").addEventListener("click", () => { marks.forget(); $("#marks").close(); say("forgotten"); });
$("#help").addEventListener("click", () => $("#keys").showModal());
for (const button of all("[data-close]")) button.addEventListener("click", () => button.closest("dialog").close());

let saying = 0;
function say(text) {
  if (!text) return;
  clearTimeout(saying);
  $("#said").textContent = text;
  saying = setTimeout(() => { $("#said").textContent = ""; }, 2500);
}

/* Keys. */
function go(by) {
  const next = Math.max(0, Math.min(list.items.length - 1, current + by));
  const made = list.reach(current < 0 ? 0 : next);
  if (!made) return;
  current = current < 0 ? 0 : next;
  made.element.focus({ preventScroll: true });
}

function groupNow() {
  const focused = document.activeElement?.closest?.(".group");
  if (focused) return list.there.get(Number(focused.dataset.at));
  if (list.there.has(current)) return list.there.get(current);
  const seen = [...list.there.entries()].sort(([one], [other]) => one - other).map(([, made]) => made);
  return seen.find((made) => made.element.getBoundingClientRect().bottom > HEADROOM() + 80) ?? null;
}

document.addEventListener("focusin", ({ target }) => {
  const group = target.closest?.(".group");
  if (group) current = Number(group.dataset.at);
});

const KEYS = {
  j: () => go(1), J: () => go(-1), ArrowDown: () => go(1), ArrowUp: () => go(-1),
  k: (group) => group.mark("keep"), r: (group) => group.mark("redo"), h: (group) => group.mark("hold"),
  u: (group) => page.mark(group.card, { review: "" }), n: (group) => group.note(),
  " ": (group) => group.together.toggle(), ",": (group) => group.step(-1), ".": (group) => group.step(1),
  "[": (group) => group.speed(-1), "]": (group) => group.speed(1),
  w: (group) => { group.view("wipe"); if (group.stage.dataset.view === "wipe") group.slider.focus({ preventScroll: true }); },
  d: (group) => group.view("difference"), l: (group) => group.toggleLoop(), m: (group) => group.toggleSound(),
  "/": () => $("#filter").focus(), e: exportMarks, "?": () => $("#keys").showModal(),
};
const ANYWHERE = new Set(["j", "J", "/", "e", "?"]);

document.addEventListener("keydown", (event) => {
  const { target, key } = event;
  if (event.ctrlKey || event.altKey || event.metaKey || document.querySelector("dialog[open]")) return;
  if (key === "Escape" && target.matches("textarea, #filter")) { target.blur(); return; }
  if (target.matches("textarea, select, input:not([type=range])")) return;
  const inGroup = target.closest(".group");
  if (key === " " && target.matches("button, summary, a")) return;
  if (key.startsWith("Arrow") && (!inGroup || target.matches("input"))) return;
  const digit = /^[1-9]$/.test(key) ? Number(key) : 0;
  if (!digit && !Object.hasOwn(KEYS, key)) return;
  const group = groupNow();
  if (!group && !ANYWHERE.has(key)) return;
  event.preventDefault();
  if (group && !ANYWHERE.has(key)) {
    current = Number(group.element.dataset.at);
    if (!inGroup && !key.startsWith("Arrow")) group.element.focus({ preventScroll: true });
  }
  if (digit) group.pick(group.first + digit - 1, { again: true });
  else KEYS[key](group);
});

const newsCount = cards.filter((card) => card.news).length;
const newsButton = $("[data-news]");
newsButton.hidden = !newsCount;
newsButton.querySelector("b").textContent = newsCount.toLocaleString("en");
$(".tools").hidden = false;
counted();
filter();
