"use strict";
/*
 * Draws CPUs and their threads as lanes over time, on a canvas. Knows nothing of the page around
 * it, nor of where the data is from: the report's page and the live view share it.
 *
 *   // `kinds`: the marks of Rust's `Kind`. `traced`: draw the lanes of the kernel's trace too.
 *   // `about`: an explanation for each lane, by its name.
 *   const lanes = new Lanes(kinds, { traced, about });
 *   const cpu = Lanes.cpu(1);    // has no data yet
 *   // The same for `states`, `running`, `sched`, and `steps[0]`, `steps[1]` (inner ones):
 *   cpu.power.push({ begin: 0, end: null, what: "online" });
 *   cpu.faults.push({ time: 5, text: "park: the CPU was offline" });
 *   lanes.event(cpu, { time: 5, kind: "wake", number: 0 });    // an event of the module
 *   // Two events of `cpu`. `first`: the wake that the latency counts from.
 *   lanes.join(cpu, { wake, run, first, pending });
 *   const { hits, counts } = lanes.draw(g, { cpus, actions }, from, to,
 *     { width, y0, y1, colors, hovered });
 *
 * Times are in nanoseconds. Arrays are in the order of time and may grow between two calls of
 * draw(). A span whose `end` is null lasts until `to`. `cpu.folded` makes it two rows: the CPU,
 * and its thread with the marks on it. draw() draws the part between y0 and y1 of the
 * `lanes.height(cpus)` px; the caller translates `g`. Each of `hits` is a rectangle and the item
 * drawn there, for find() and describe(). Lanes.colors() reads the colors of lanes.css.
 */
class Lanes {
  static GUTTER = 92;
  static RIGHT = 10;
  static AXIS = 24;
  static HEAD = 46;
  static FOLDED = 30;
  static PAD = 11;
  static POWER = { online: "online", going_offline: "going offline", offline: "offline", coming_online: "coming online" };
  static LEFT_AS = {
    S: "sleeping", P: "parked", D: "uninterruptible sleep", R: "preempted", "R+": "preempted",
    I: "idle", X: "exited", Z: "exited", T: "stopped",
  };

  constructor(kinds, { traced = false, about = {} } = {}) {
    this.about = about;
    this.kinds = new Map(kinds.map((kind) => [kind.name, { ...kind, shape: new Path2D(kind.path) }]));
    // Name, height, and the gap below.
    this.rows = [["CPU", 11, 5], ["wakes", 8, 12], ["callbacks", 13, 3], ["thread", 12, traced ? 6 : 0]];
    if (traced) this.rows.push(["sched", 9, 5], ["cpuhp", 25, 0]);
    this.unfoldedHeight = this.rows.reduce((sum, [, height, gap]) => sum + height + gap, 2 * Lanes.PAD);
  }

  static cpu(id) {
    return { id, folded: false, power: [], states: [], running: [], steps: [[], []], sched: [], events: [], wakes: [], runs: [],
      callbacks: [], joins: [], faults: [], longest: 0 };
  }

  event(cpu, event) {
    event.join = null;
    cpu.events.push(event);
    cpu[this.kinds.get(event.kind).lane].push(event);
  }

  join(cpu, join) {
    join.time = Math.min(join.wake.time, join.run.time);
    join.wake.join = join;
    if (join.first) join.run.join = join;
    cpu.longest = Math.max(cpu.longest, join.run.time - join.wake.time);
    cpu.joins.push(join);
  }

  cpuHeight(cpu) { return cpu.folded ? Lanes.FOLDED : this.unfoldedHeight; }

  height(cpus) { return Lanes.HEAD + Math.max(cpus.reduce((sum, cpu) => sum + this.cpuHeight(cpu), 0), Lanes.FOLDED); }

  /** Returns the colors of lanes.css by name, without dashes. They change with the scheme. */
  static colors(element) {
    const style = getComputedStyle(element);
    return new Proxy({}, { get: (known, name) => known[name] ??= style.getPropertyValue("--" + String(name)).trim() });
  }

  /** Formats a time in seconds, with digits in groups. */
  static seconds(time, digits = 9) {
    const [left, right = ""] = (Math.abs(time) / 1e9).toFixed(digits).split(".");
    return (time < 0 ? "−" : "") + left + (right ? "." + right.replace(/(\d{3})(?=\d)/g, "$1 ") : "") + " s";
  }

  static duration(ns) {
    for (const [unit, size] of [["s", 1e9], ["ms", 1e6], ["µs", 1e3]]) {
      if (Math.abs(ns) >= size) return (ns / size).toPrecision(Math.abs(ns) >= 1000 * size ? 6 : 3).replace(/e.*/, "") + " " + unit;
    }
    return Math.round(ns) + " ns";
  }

  /** Returns the first index whose item is not before `time`. */
  static lower(items, time, name = "time", low = 0) {
    let high = items.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((items[middle][name] ?? Infinity) < time) low = middle + 1; else high = middle;
    }
    return low;
  }

  static x(time, { from, to, width }) {
    return Lanes.GUTTER + (time - from) / (to - from) * (width - Lanes.GUTTER - Lanes.RIGHT);
  }

  static time(x, { from, to, width }) {
    return from + (x - Lanes.GUTTER) / (width - Lanes.GUTTER - Lanes.RIGHT) * (to - from);
  }

  draw(g, { cpus, actions = [] }, from, to, { width, y0 = 0, y1 = Infinity, colors, hovered = null }) {
    const height = this.height(cpus);
    Object.assign(this, { g, from, to, width, y0, y1: Math.min(y1, height), colors, hovered });
    this.perPixel = (to - from) / (width - Lanes.GUTTER - Lanes.RIGHT);
    this.hits = [];
    this.counts = { marks: 0, thinned: 0, spans: 0, joins: 0, arrows: 0 };
    g.clearRect(0, y0, width, this.y1 - y0);
    this.grid();
    this.bands(actions);
    let top = Lanes.HEAD;
    for (const cpu of cpus) {
      const size = this.cpuHeight(cpu);
      if (top < this.y1 && top + size > y0) {
        if (cpu.folded) this.folded(cpu, top); else this.unfolded(cpu, top);
      }
      top += size;
    }
    this.head(actions);
    return { hits: this.hits, counts: this.counts };
  }

  /** Returns the hit at a place: the most specific, and of those the nearest. */
  find(x, y) {
    const RANK = { fault: -2, event: 0, many: 1, sched: 2, running: 3, step: 4, action: 5, states: 6, power: 7, lane: 8 };
    let best = null, bestScore = Infinity;
    for (const h of this.hits) {
      if (x < h.x0 || x > h.x1 || y < h.y0 - 2 || y > h.y1 + 2) continue;
      const callback = h.kind === "event" && this.kinds.get(h.item.kind).lane === "callbacks" ? -1 : 0;
      const score = (RANK[h.kind] + callback) * 1e6 + Math.abs(x - (h.x0 + h.x1) / 2);
      if (score < bestScore) { best = h; bestScore = score; }
    }
    return best;
  }

  /** Returns the title and the lines of a hit's tooltip. */
  describe({ kind, item, cpu }) {
    const { seconds, duration } = Lanes;
    const lines = [];
    const add = (line) => lines.push(line);
    const span = () => add(`${seconds(item.begin)}, for ${duration((item.end ?? this.to) - item.begin)}`);
    const kept = (join) => join.pending ? " (pending while the CPU was offline)" : "";
    let title = "";
    switch (kind) {
      case "event": {
        title = `${item.kind} — cpu${cpu.id}, number ${item.number}`;
        add(seconds(item.time));
        const join = item.join;
        if (join && item === join.run) add(`woken ${duration(item.time - join.wake.time)} before${kept(join)}, by number ${join.wake.number}`);
        if (join && item === join.wake) add(`run ${duration(join.run.time - item.time)} later${kept(join)}, number ${join.run.number}`);
        break;
      }
      case "many": {
        const names = new Map();
        const items = item.items.slice(item.first, item.next);
        for (const one of items) {
          const name = item.kind === "event" ? one.kind : one.name;
          names.set(name, (names.get(name) || 0) + 1);
        }
        title = `${items.length} events — cpu${cpu.id}`;
        add([...names].map(([name, count]) => `${count} ${name}`).join(", "));
        add(`${seconds(items[0].time)} to ${seconds(items.at(-1).time)}`);
        break;
      }
      case "power": title = `cpu${cpu.id} is ${Lanes.POWER[item.what]}`; span(); break;
      case "states": title = `cpu${cpu.id}: the thread is ${item.what ?? "unknown (events lost)"}`; span(); break;
      case "running":
        title = `cpu${cpu.id}: the thread is on CPU`;
        span();
        if (item.what) add(`then ${Lanes.LEFT_AS[item.what] || "off CPU"} (${item.what})`);
        break;
      case "sched":
        title = `${item.name} — on cpu${item.on}, by ${item.by}`;
        add(seconds(item.time, 6));
        add(item.text);
        break;
      case "step":
        title = item.function;
        span();
        add(`cpu${cpu.id}, step ${item.number}, target ${item.target}, ` + (item.ret === null ? "end not seen" : `result ${item.ret}`));
        break;
      case "action":
        title = item.label;
        span();
        for (const command of item.commands) add(`$ ${command}`);
        if (item.end === null) add("did not end");
        break;
      case "fault": title = `FAULT — cpu${cpu.id}`; add(seconds(item.time)); add(item.text); break;
      case "lane": title = item.name; add(item.about); break;
    }
    return [title, lines];
  }

  // --- below: one frame ---

  X(time) { return Lanes.x(time, this); }
  T(x) { return Lanes.time(x, this); }
  get right() { return this.width - Lanes.RIGHT; }

  hit(x0, x1, y0, y1, kind, item, cpu) { this.hits.push({ x0, x1, y0, y1, kind, item, cpu }); }

  text(string, x, y, most, color, size = 11, align = "left", weight = "") {
    const { g } = this;
    g.font = `${weight} ${size}px system-ui, "DejaVu Sans", sans-serif`;
    g.textAlign = align;
    g.textBaseline = "middle";
    g.fillStyle = color;
    if (most !== null && g.measureText(string).width > most) {
      let length = Math.floor(string.length * most / g.measureText(string).width);
      while (length > 2 && g.measureText(string.slice(0, length) + "…").width > most) length--;
      if (length < 3) return;
      string = string.slice(0, length) + "…";
    }
    g.fillText(string, x, y);
  }

  /** Shows a state by hatching and by a word too, never by its color alone. */
  hatch(x, y, w, h) {
    const { g, colors } = this;
    g.save();
    g.beginPath(); g.rect(x, y, w, h); g.clip();
    g.strokeStyle = colors.hatch;
    g.lineWidth = 1;
    g.beginPath();
    for (let at = Math.floor((x - h) / 6) * 6; at < x + w; at += 6) { g.moveTo(at, y + h); g.lineTo(at + h, y); }
    g.stroke();
    g.restore();
  }

  mark({ shape, stroke, color }, x, y, scale) {
    const { g, colors } = this;
    g.save();
    g.translate(x, y);
    g.scale(scale, scale);
    g.fillStyle = g.strokeStyle = colors[color];
    g.lineWidth = stroke;
    if (stroke) g.stroke(shape); else g.fill(shape);
    g.restore();
  }

  /** Draws points: `one(item, x)` a single one, `many(x, count)` several that would overlap. */
  points(items, y, h, kind, cpu, apart, one, many) {
    const end = Lanes.lower(items, this.T(this.right + 8));
    let index = Lanes.lower(items, this.T(Lanes.GUTTER - 8));
    while (index < end) {
      const { time } = items[index], x = this.X(time), near = time + apart * this.perPixel;
      let next = index + 1;
      if (next < end && items[next].time < near) next = Math.min(Lanes.lower(items, near, "time", next), end);
      if (next - index === 1) {
        one(items[index], x);
        this.hit(x - 3.5, x + 3.5, y, y + h, kind, items[index], cpu);
        this.counts.marks++;
      } else {
        const last = this.X(items[next - 1].time);
        many((x + last) / 2, next - index);
        this.hit(x - 2, last + 2, y, y + h, "many", { kind, items, first: index, next }, cpu);
        this.counts.thinned += next - index;
      }
      index = next;
    }
  }

  /** Draws spans of time. One mark stands for several spans that are too short to see. */
  spans(items, y, h, kind, cpu, color, { label, hatched } = {}) {
    const { g, colors } = this;
    // Spans of a lane do not overlap: their ends are in order too.
    let index = Lanes.lower(items, this.from, "end");
    while (index < items.length && items[index].begin <= this.to) {
      const item = items[index], end = item.end ?? this.to;
      const x0 = Math.max(this.X(item.begin), Lanes.GUTTER), x1 = Math.min(this.X(end), this.right);
      // Skips the spans that would be drawn over a short one.
      index = x1 - x0 < 0.5 ? Math.max(Lanes.lower(items, this.T(x1 + 0.5), "end", index), index + 1) : index + 1;
      const w = Math.max(x1 - x0, 0.8);
      g.fillStyle = color(item);
      g.fillRect(x0, y, w, h);
      if (hatched?.(item)) this.hatch(x0, y, w, h);
      if (colors.edge) { g.strokeStyle = colors.edge; g.lineWidth = 1; g.strokeRect(x0 + 0.5, y + 0.5, w - 1, h - 1); }
      const word = label?.(item);
      // In the middle, where nothing that began the span covers it.
      if (word && x1 - x0 > 26) this.text(word, (x0 + x1) / 2, y + h / 2 + 0.5, x1 - x0 - 8, colors.text, 10, "center");
      this.hit(x0 - 1.5, Math.max(x1, x0 + 1) + 1.5, y, y + h, kind, item, cpu);
      this.counts.spans++;
    }
  }

  ticks() {
    const { from, to } = this;
    const room = (this.width - Lanes.GUTTER - Lanes.RIGHT) / 110;
    let step = 10 ** Math.floor(Math.log10((to - from) / room));
    for (const factor of [1, 2, 5, 10]) if ((to - from) / (step * factor) <= room) { step *= factor; break; }
    const digits = Math.max(0, Math.min(9, 9 - Math.floor(Math.log10(step) + 1e-9)));
    const ticks = [];
    for (let n = Math.ceil(this.T(Lanes.GUTTER) / step); n * step <= to; n++) {
      const x = Math.round(this.X(n * step)) + 0.5;
      if (x > this.right) break;
      ticks.push([x, Lanes.seconds(n * step, digits)]);
    }
    return ticks;
  }

  grid() {
    const { g, colors } = this;
    g.strokeStyle = colors.line;
    g.lineWidth = 1;
    g.globalAlpha = 0.7;
    for (const [x] of this.ticks()) { g.beginPath(); g.moveTo(x, this.y0); g.lineTo(x, this.y1); g.stroke(); }
    g.globalAlpha = 1;
  }

  place(action) {
    const x0 = Math.max(this.X(action.begin), Lanes.GUTTER), x1 = Math.min(this.X(action.end ?? this.to), this.right);
    return [x0, Math.max(x1 - x0, 1)];
  }

  visible(actions) {
    return actions.filter(({ begin, end }) => (end ?? this.to) >= this.from && begin <= this.to);
  }

  bands(actions) {
    const { g, colors } = this;
    const top = Math.max(this.y0, Lanes.AXIS);
    for (const action of this.visible(actions)) {
      const [x0, w] = this.place(action);
      g.fillStyle = colors.action;
      g.fillRect(x0, top, w, this.y1 - top);
      g.fillStyle = colors["action-edge"];
      g.fillRect(x0, top, 1, this.y1 - top);
      if (action.end !== null) g.fillRect(x0 + w - 1, top, 1, this.y1 - top);
    }
  }

  /** Draws the axis and the names of the actions, above what scrolls below them. */
  head(actions) {
    const { g, colors, y0 } = this;
    g.fillStyle = colors.card;
    g.fillRect(0, y0, this.width, Lanes.HEAD);
    for (const [x, label] of this.ticks()) {
      // A label at the right edge would be cut.
      if (x < this.width - 40) this.text(label, x, y0 + Lanes.AXIS / 2, null, colors.dim, 11, "center");
    }
    this.text("host", 12, y0 + Lanes.AXIS + 12, null, colors.dim, 11);
    const shown = this.visible(actions);
    let until = 0;
    shown.forEach((action, index) => {
      const [x0, w] = this.place(action);
      g.fillStyle = colors["action-edge"];
      g.fillRect(x0, y0 + Lanes.AXIS, w, 2);
      g.fillRect(x0, y0 + Lanes.AXIS, 1, Lanes.HEAD - Lanes.AXIS);
      // A label may reach past its band, up to the next one.
      const next = shown.slice(index + 1).find((other) => this.X(other.begin) > x0 + 2);
      const room = Math.min(next ? this.X(next.begin) : this.width, this.width) - x0 - 8;
      if (x0 >= until && room > 20) {
        this.text(action.label, x0 + 5, y0 + Lanes.AXIS + 12, room, colors.text, 11);
        until = x0 + Math.min(room, g.measureText(action.label).width + 8);
      }
      this.hit(x0 - 2, x0 + Math.max(w, Math.min(room, 60)) + 2, y0 + Lanes.AXIS, y0 + Lanes.HEAD, "action", action);
    });
    g.fillStyle = colors.line;
    g.fillRect(0, y0 + Lanes.HEAD, this.width, 1);
  }

  arrows(cpu, y0, y1) {
    const { g, colors, hovered } = this;
    const { joins } = cpu;
    const from = Lanes.lower(joins, this.from - cpu.longest), to = Lanes.lower(joins, this.to);
    if (to - from > 1500) { this.counts.arrows += to - from; return; }
    for (let index = from; index < to; index++) {
      const join = joins[index];
      if (join.run.time < this.from) continue;
      const x0 = this.X(join.wake.time), x1 = this.X(join.run.time);
      const lit = hovered && (hovered.item === join.wake || hovered.item === join.run);
      g.strokeStyle = g.fillStyle = colors.wake;
      g.globalAlpha = lit ? 1 : join.first ? 0.6 : 0.3;
      g.lineWidth = lit ? 2 : 1;
      g.beginPath();
      g.moveTo(x0, y0);
      const bend = Math.min((x1 - x0) * 0.5, 60);
      if (x1 - x0 < 1.5) g.lineTo(x1, y1 - 4); else g.bezierCurveTo(x0 + bend * 0.1, y1 - 2, x1 - bend, y0 + 2, x1, y1 - 4);
      g.stroke();
      if (to - from < 300 || lit) {
        g.beginPath(); g.moveTo(x1 - 2.8, y1 - 5); g.lineTo(x1 + 2.8, y1 - 5); g.lineTo(x1, y1); g.fill();
      }
      this.counts.joins++;
    }
    g.globalAlpha = 1;
  }

  power(cpu, y, h) {
    const { colors } = this;
    this.spans(cpu.power, y, h, "power", cpu, (s) => colors[s.what],
      { label: (s) => s.what === "online" ? null : Lanes.POWER[s.what], hatched: (s) => s.what === "offline" });
  }

  thread(cpu, y, h) {
    const { colors } = this;
    this.spans(cpu.states, y, h, "states", cpu, (s) => colors[s.what ?? "unknown"],
      { label: (s) => s.what === "parked" ? "parked" : null, hatched: (s) => s.what === "parked" });
    this.spans(cpu.running, y, h, "running", cpu, () => colors.running);
  }

  marks(cpu, name, y, h, middle, apart, color, size) {
    const { g, colors, hovered } = this;
    this.points(cpu[name], y, h, "event", cpu, apart,
      (item, x) => this.mark(this.kinds.get(item.kind), x, middle, hovered?.item === item ? 1.3 : 1),
      (x, count) => {
        g.fillStyle = colors[color];
        g.globalAlpha = Math.min(0.45 + Math.log10(count) * 0.25, 1);
        g.fillRect(x - 1.5, middle - size / 2, 3, size);
        g.globalAlpha = 1;
      });
  }

  clip(top, h) {
    const { g } = this;
    g.save();
    g.beginPath(); g.rect(Lanes.GUTTER, top, this.width - Lanes.GUTTER - Lanes.RIGHT + 4, h); g.clip();
  }

  /** Draws a line through all lanes of the CPU, with a cross: the only red of the picture. */
  faults(cpu, top) {
    const { g, colors } = this;
    const h = this.cpuHeight(cpu);
    for (const fault of cpu.faults) {
      const x = this.X(fault.time);
      if (x < Lanes.GUTTER || x > this.right) continue;
      g.strokeStyle = colors.fault;
      g.lineWidth = 2;
      g.beginPath(); g.moveTo(x, top + 1); g.lineTo(x, top + h);
      g.moveTo(x - 5, top + 3); g.lineTo(x + 5, top + 13); g.moveTo(x + 5, top + 3); g.lineTo(x - 5, top + 13);
      g.stroke();
      this.hit(x - 6, x + 6, top, top + 14, "fault", fault, cpu);
    }
  }

  title(cpu, top) {
    const { g, colors } = this;
    g.fillStyle = colors.line;
    g.fillRect(0, top, this.width, 1);
    this.text(`${cpu.folded ? "▸" : "▾"} cpu${cpu.id}`, 10, top + (cpu.folded ? Lanes.FOLDED / 2 : Lanes.PAD + 6), null, colors.text, 12, "left", "600");
  }

  folded(cpu, top) {
    this.title(cpu, top);
    this.clip(top, Lanes.FOLDED);
    this.power(cpu, top + 3, 11);
    this.thread(cpu, top + 15, 12);
    const middle = top + 21;
    this.marks(cpu, "wakes", top + 15, 12, middle, 2.5, "wake", 8);
    this.marks(cpu, "runs", top + 15, 12, middle, 4, "run", 6);
    this.marks(cpu, "callbacks", top + 15, 12, middle, 3, "create", 12);
    this.faults(cpu, top);
    this.g.restore();
  }

  unfolded(cpu, top) {
    const { g, colors } = this;
    const y = {};
    let at = top + Lanes.PAD;
    for (const [name, h, gap] of this.rows) { y[name] = at; at += h + gap; }
    this.title(cpu, top);
    for (const [name, h] of this.rows.slice(1)) {
      const middle = y[name] + (name === "cpuhp" ? 6 : h / 2);
      this.text(name, Lanes.GUTTER - 10, middle, null, colors.dim, 10, "right");
      if (this.about[name]) this.hit(0, Lanes.GUTTER, y[name] - 2, y[name] + h + 2, "lane", { name, about: this.about[name] }, cpu);
    }
    this.clip(top, this.unfoldedHeight);
    this.power(cpu, y.CPU, 11);
    for (const span of cpu.power) {
      if (span.what !== "offline" || (span.end ?? this.to) < this.from || span.begin > this.to) continue;
      const x0 = Math.max(this.X(span.begin), Lanes.GUTTER), x1 = Math.min(this.X(span.end ?? this.to), this.right);
      g.globalAlpha = 0.1;
      g.fillStyle = colors.offline;
      g.fillRect(x0, y.CPU + 11, x1 - x0, this.unfoldedHeight - Lanes.PAD - 15);
      g.globalAlpha = 1;
    }
    this.thread(cpu, y.thread, 12);
    this.marks(cpu, "wakes", y.wakes, 8, y.wakes + 4, 2.5, "wake", 8);
    this.arrows(cpu, y.wakes + 8, y.callbacks + 3);
    const middle = y.callbacks + 6.5;
    this.marks(cpu, "runs", y.callbacks, 13, middle, 4, "run", 6);
    const from = this.hits.length;
    this.marks(cpu, "callbacks", y.callbacks, 13, middle, 3, "create", 12);
    this.names(this.hits.slice(from).filter((hit) => hit.kind === "event"), middle);
    if (this.rows.length > 4) this.kernel(cpu, y);
    this.faults(cpu, top);
    g.restore();
  }

  /** Writes the name of each callback beside its mark, if there is room up to the next. */
  names(hits, middle) {
    const { g, colors } = this;
    let until = -Infinity;
    g.lineJoin = "round";
    hits.forEach(({ x0, x1, item }, index) => {
      g.font = '11px system-ui, "DejaVu Sans", sans-serif';
      const x = (x0 + x1) / 2, end = x + 9 + g.measureText(item.kind).width;
      if (x < until || end > (hits[index + 1]?.x0 ?? Infinity) - 2) return;
      g.textAlign = "left"; g.textBaseline = "middle";
      g.strokeStyle = colors.card; g.lineWidth = 4; g.globalAlpha = 0.85;
      g.strokeText(item.kind, x + 9, middle);
      g.globalAlpha = 1;
      g.fillStyle = colors[this.kinds.get(item.kind).color];
      g.fillText(item.kind, x + 9, middle);
      until = end;
    });
  }

  kernel(cpu, y) {
    const { g, colors } = this;
    this.points(cpu.sched, y.sched, 9, "sched", cpu, 2, (item, x) => {
      g.fillStyle = colors.sched;
      if (item.name === "sched_switch") g.fillRect(x - 0.6, y.sched, 1.2, 9);
      else if (item.name === "sched_waking") g.fillRect(x - 0.6, y.sched, 1.2, 5);
      else g.fillRect(x - 0.6, y.sched + 4, 1.2, 5);
    }, (x, count) => {
      g.fillStyle = colors.sched;
      g.globalAlpha = Math.min(0.45 + Math.log10(count) * 0.25, 1);
      g.fillRect(x - 1.5, y.sched, 3, 9);
      g.globalAlpha = 1;
    });
    const color = (s) => colors[s.ret ? "step-failed" : s.function.startsWith("smpboot_") ? "step-smpboot" : "step"];
    // Inner steps are drawn below outer ones; gaps between them show that they are several.
    const more = { label: (s) => s.function, hatched: (s) => s.ret };
    this.spans(cpu.steps[0], y.cpuhp, 12, "step", cpu, color, more);
    this.spans(cpu.steps[1], y.cpuhp + 13, 12, "step", cpu, color, more);
  }
}
