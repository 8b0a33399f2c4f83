
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
  const old = clip && clip !== card.clip ? clip : null; /* an earlier version has scores and facts of its own */
  yield trouble(card, old ? { doubt: old.doubt } : card);
  yield scores(old ?? card, page.about);
  yield facts(old ? "" : card.mode, old ?? card, page.about);
  yield files(group, clip, old ? null : card.copy);
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

function trouble(card, { doubt, warnings }) {
  const parts = [];
  if (card.error || card.code) parts.push(h("p", { dir: "auto" }, card.code && h("code", {}, card.code), card.code && " ", card.error ?? ""));
  if (doubt) parts.push(h("p", { dir: "auto" }, `Flagged: ${doubt}`));
  if (warnings) parts.push(h("p", { dir: "auto" }, `Noticed: ${warnings}`));
  if (card.advice) {
    parts.push(h("p", { class: "advice" }, ...card.advice.split("`").map((text, index) => (index % 2 ? h("code", {}, text) : text))));
  }
  return parts.length ? h("div", { class: `trouble ${card.status}` }, ...parts) : "";
}

function scores(of, about) {
  if (!of.scores) return "";
  const bars = of.scores.map((score, index) => score !== null && h("div", {},
    h("dt", {}, about.scores[index]),
    h("dd", {}, h("meter", { min: 0, max: 100, low: 50, high: 75, optimum: 100, value: score, "aria-label": `${about.scores[index]} score` }),
      h("span", {}, String(Math.round(score))))));
  return h("dl", { class: "scores" }, ...bars);
}

function facts(mode, of, about) {
  const pairs = [["mode", mode], ...about.facts.map((name, index) => [name, of.facts?.[index]])];
  return table(pairs.filter(([, text]) => text), "facts");
}

function files(group, clip, copy) {
  const [name, href] = group.source;
  const link = (to, text) => h("a", { href: to, dir: "auto" }, text);
  const named = [href && ["before", link(href, name)], clip && ["after", link(clip.href, clip.name.split("/").pop())],
    copy && ["copy", link(copy[1], copy[0].split("/").pop())]];
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
