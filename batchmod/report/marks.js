
/* Marks: a person's word on an output, one for each row: keep, redo or hold, the version it is about, and a note.
   They live in memory, and in the browser's storage where a page from disk has one; the exported file is what counts. */
class Marks {
  constructor(about, cards) {
    this.about = about;
    this.cards = cards;
    this.name = `batchmod marks ${about.folder || about.title}`;
    this.listeners = [];
    this.set = new Map();
    this.isStored = true;
    this.read();
  }

  read() {
    let stored = {};
    try {
      stored = JSON.parse(localStorage.getItem(this.name) || "{}") || {};
    } catch {
      this.isStored = false;
    }
    const here = new Map(this.cards.map((card) => [card.id, card]));
    for (const [id, mark] of Object.entries(stored)) {
      const card = here.get(id);
      /* a redo is over once there is a newer version than the one it was said of */
      const isOver = !card || !mark || (mark.review === "redo" && mark.of < newestOf(card));
      if (!isOver && !sameMark(mark, said(card))) this.set.set(id, mark);
    }
  }

  store() {
    try {
      localStorage.setItem(this.name, JSON.stringify(Object.fromEntries(this.set)));
      this.isStored = true;
    } catch {
      this.isStored = false;
    }
    for (const listener of this.listeners) listener();
  }

  /* What counts for a row: what was said here, else what its table says. */
  of(card) { return this.set.get(card.id) ?? said(card); }

  mark(card, change) {
    const next = { ...this.of(card), ...change };
    if (sameMark(next, said(card))) this.set.delete(card.id);
    else this.set.set(card.id, next);
    this.store();
  }

  forget() { this.set.clear(); this.store(); }

  /* The file: a manifest of its own kind, which `batchmod run marks.csv` takes. */
  file() {
    const names = ["id", "review", "review_of", "review_note", "output", "job_key", "run_id", "manifest"];
    const lines = this.cards.filter((card) => this.set.has(card.id)).map((card) => {
      const { review, of, note } = this.of(card);
      const clip = [card.clip, ...(card.older || [])].find((each) => each && each.v === of);
      return [card.id, review, of || "", note, clip ? clip.name : "", card.key, card.run, card.manifest];
    });
    return [names, ...lines].map((cells) => `${cells.map(cell).join(",")}\r\n`).join("");
  }
}

const newestOf = (card) => card.clip?.v ?? card.older?.[0]?.v ?? 0;

/* What the table says; a redo that was done is said no more, for it was about the version before. */
const said = (card) => {
  const newest = newestOf(card);
  const isDone = card.review === "redo" && card.of < newest;
  return { review: isDone ? "" : card.review || "", of: (!isDone && card.of) || newest, note: card.note || "" };
};

const sameMark = (one, other) => one.review === other.review && one.note === other.note
  && (one.of === other.of || !one.review);

/* A cell that a spreadsheet would take for a formula is kept from that, as in results.csv. */
function cell(value) {
  const text = String(value ?? "");
  const safe = /^[=+\-@\t\r']/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
