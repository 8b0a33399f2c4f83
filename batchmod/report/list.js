
/* A list of which only what is near the reader stands in the page: thousands of groups would choke a browser. */
const NEAR = 900; /* pixels above and below what is seen */
const GAP = 16;

class List {
  constructor(element, make) {
    this.element = element;
    this.make = make;
    this.items = [];
    this.heights = new Map(); /* by key, as measured */
    this.there = new Map(); /* by index, what stands in the page */
    this.above = h("div", { class: "space", "aria-hidden": "true" });
    this.below = h("div", { class: "space", "aria-hidden": "true" });
    element.replaceChildren(this.above, this.below);
    this.sized = new ResizeObserver((entries) => this.measured(entries));
    this.usual = 420;
    let asked = 0;
    const ask = () => { asked ||= requestAnimationFrame(() => { asked = 0; this.draw(); }); };
    addEventListener("scroll", ask, { passive: true });
    addEventListener("resize", () => { this.heights.clear(); this.tops = null; ask(); });
  }

  use(items) {
    for (const index of [...this.there.keys()]) this.remove(index);
    this.items = items;
    this.tops = null;
    this.draw();
  }

  heightOf(index) { return this.heights.get(this.items[index].key) ?? this.usual; }

  /* Where each begins, from the list's own top; counted again only where a height has changed. */
  places() {
    if (this.tops?.length === this.items.length + 1) return this.tops;
    const tops = new Float64Array(this.items.length + 1);
    for (let index = 0; index < this.items.length; index += 1) tops[index + 1] = tops[index] + this.heightOf(index) + GAP;
    this.tops = tops;
    return tops;
  }

  indexAt(y) {
    const tops = this.places();
    let low = 0;
    let high = this.items.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (tops[middle + 1] <= y) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  draw() {
    const top = -this.element.getBoundingClientRect().top;
    const from = Math.max(0, this.indexAt(top - NEAR));
    const to = Math.min(this.items.length, this.indexAt(top + innerHeight + NEAR) + 1);
    for (const index of [...this.there.keys()]) if (index < from || index >= to) this.remove(index);
    for (let index = from; index < to; index += 1) if (!this.there.has(index)) this.add(index);
    const tops = this.places();
    this.above.style.height = `${tops[from] ?? 0}px`;
    this.below.style.height = `${Math.max(0, tops[this.items.length] - (tops[to] ?? 0))}px`;
  }

  add(index) {
    const made = this.make(this.items[index]);
    made.element.dataset.at = index;
    made.element.setAttribute("aria-posinset", index + 1);
    made.element.setAttribute("aria-setsize", this.items.length);
    const next = [...this.there.keys()].filter((other) => other > index).sort((a, b) => a - b)[0];
    this.element.insertBefore(made.element, next === undefined ? this.below : this.there.get(next).element);
    this.there.set(index, made);
    this.sized.observe(made.element);
  }

  remove(index) {
    const made = this.there.get(index);
    this.there.delete(index);
    this.sized.unobserve(made.element);
    made.drop();
    made.element.remove();
  }

  measured(entries) {
    let changed = false;
    for (const { target } of entries) {
      const item = this.items[Number(target.dataset.at)];
      const height = target.offsetHeight;
      if (!item || !target.isConnected || !height || this.heights.get(item.key) === height) continue;
      this.heights.set(item.key, height);
      changed = true;
    }
    if (!changed) return;
    const known = [...this.heights.values()].slice(-40);
    this.usual = known.reduce((sum, height) => sum + height, 0) / known.length;
    this.tops = null;
    requestAnimationFrame(() => this.draw());
  }

  /* Brings one into sight and gives what stands there. */
  reach(index) {
    const place = () => scrollBy(0, this.places()[index] + this.element.getBoundingClientRect().top - HEADROOM());
    if (!this.there.has(index)) { place(); this.draw(); }
    const made = this.there.get(index);
    made?.element.scrollIntoView({ block: "nearest" });
    return made;
  }
}

const HEADROOM = () => document.querySelector(".tools").getBoundingClientRect().height + 8;
