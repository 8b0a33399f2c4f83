"use strict";

/* Videos in step: one of them, the longest, is the clock; the others are held to it. Time is what is compared, so that
   rates and lengths may differ: a shorter one waits on its last frame, and all begin again together. */
class Together {
  constructor(tell, open) {
    this.tell = tell;
    this.open = open;
    this.videos = [];
    this.rate = 1;
    this.loop = true;
    this.wanted = false; /* what the reader asked for */
    this.running = false; /* what the videos do: they stop for one that has to load */
    this.turn = 0; /* a later wish makes what is still being waited for void */
    this.at = 0;
  }

  use(videos) {
    this.videos = videos;
    for (const video of videos) {
      video.loop = false;
      video.preservesPitch = true;
      for (const kind of ["waiting", "stalled"]) video.addEventListener(kind, () => this.catchUp(video));
      video.addEventListener("loadedmetadata", () => {
        if (this.at > 0 && !this.running) video.currentTime = this.within(video, this.at);
        this.tell();
      });
      video.addEventListener("ended", () => video === this.clock() && this.over());
    }
  }

  /* Those that can be shown. */
  usable() { return this.videos.filter((video) => !video.error && video.readyState >= 1); }

  clock() {
    return this.usable().reduce((best, video) => (!best || video.duration > best.duration + 0.001 ? video : best), null);
  }

  length() { return this.clock()?.duration ?? 0; }

  now() { return (this.running ? this.clock()?.currentTime : undefined) ?? this.at; }

  within(video, at) { return Math.max(0, Math.min(at, (video.duration || at) - 0.001)); }

  toggle() { return this.wanted ? this.pause() : this.play(); }

  pause() {
    this.at = this.now();
    this.wanted = this.running = false;
    this.turn += 1;
    for (const video of this.videos) { video.pause(); video.playbackRate = this.rate; }
    this.tell();
  }

  async play() {
    this.wanted = true;
    if (this.length() && this.at >= this.length() - 0.02) this.at = 0;
    await this.begin(this.at);
  }

  async seek(at) {
    const turn = this.turn += 1;
    this.running = false;
    this.at = Math.max(0, at);
    this.open();
    for (const video of this.videos) { video.preload = "auto"; video.pause(); }
    await Promise.all(this.videos.map(loaded));
    if (turn !== this.turn) return undefined;
    this.at = Math.min(this.at, this.length());
    if (this.wanted) return this.begin(this.at);
    await this.place(this.at);
    if (turn === this.turn) this.tell();
    return undefined;
  }

  /* One frame on or back: to the frame's middle, where no rounding shows its neighbour. */
  step(frames, fps) {
    this.pause();
    return this.seek((Math.floor(this.at * fps + 0.01) + frames + 0.5) / fps);
  }

  setRate(rate) {
    this.rate = rate;
    for (const video of this.videos) video.playbackRate = rate;
    this.tell();
  }

  /* From the same moment, once all of them are there. */
  async begin(at) {
    const turn = this.turn += 1;
    this.running = false;
    this.at = at;
    this.open();
    for (const video of this.videos) { video.preload = "auto"; video.pause(); }
    this.tell();
    await Promise.all(this.videos.map(loaded));
    await this.place(at);
    if (turn !== this.turn) return;
    const going = this.usable().filter((video) => at < video.duration - 0.02);
    for (const video of going) video.playbackRate = this.rate;
    const done = await Promise.allSettled(going.map((video) => video.play()));
    if (turn !== this.turn) return;
    if (!going.length || done.every((each) => each.status === "rejected")) { this.pause(); return; }
    this.running = true;
    this.watch(turn);
    this.tell();
  }

  place(at) {
    return Promise.all(this.usable().map((video) => {
      const to = this.within(video, at);
      if (Math.abs(video.currentTime - to) > 0.004) video.currentTime = to;
      return settled(video);
    }));
  }

  watch(turn) {
    const look = () => {
      if (turn !== this.turn || !this.running) return;
      this.hold();
      this.tell();
      requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  }

  /* A little faster or slower while they differ by less than a third of a second; what is farther off is put there. */
  hold() {
    const clock = this.clock();
    for (const video of this.usable()) {
      if (video === clock || video.ended || video.seeking || video.paused) continue;
      const off = video.currentTime - clock.currentTime;
      if (Math.abs(off) > 0.35) {
        this.catchUp(video);
        return;
      }
      const nudge = Math.abs(off) < 0.004 ? 0 : Math.max(-0.4, Math.min(0.4, -off * 4));
      const rate = Math.round(this.rate * (1 + nudge) * 50) / 50;
      if (video.playbackRate !== rate) video.playbackRate = rate;
    }
  }

  catchUp(video) {
    if (this.running && !video.ended) this.begin(this.now());
  }

  over() {
    if (!this.running) return;
    if (this.loop) { this.begin(0); return; }
    this.at = this.length();
    this.wanted = this.running = false;
    this.turn += 1;
    this.tell();
  }

  drop() {
    this.pause();
    for (const video of this.videos) {
      video.removeAttribute("src");
      video.load();
    }
    this.videos = [];
  }
}

const until = (video, kinds, is) => new Promise((resolve) => {
  if (is()) { resolve(); return; }
  const look = () => {
    if (!is()) return;
    for (const kind of kinds) video.removeEventListener(kind, look);
    resolve();
  };
  for (const kind of kinds) video.addEventListener(kind, look);
});

/* Far enough to begin, or never: one that cannot be played keeps nobody waiting. */
const loaded = (video) => until(
  video, ["canplay", "canplaythrough", "error", "emptied"], () => video.error || !video.getAttribute("src") || video.readyState >= 3,
);

const settled = (video) => until(
  video, ["seeked", "canplay", "error", "emptied"], () => video.error || !video.getAttribute("src") || (!video.seeking && video.readyState >= 2),
);
