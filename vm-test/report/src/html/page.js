"use strict";
(() => {
  const run = JSON.parse(document.getElementById("run").textContent);
  const $ = (id) => document.getElementById(id);
  const chart = $("chart"), canvas = $("timeline"), tip = $("tip"), hair = $("hair");
  const g = canvas.getContext("2d");

  // --- data ---

  const POWER = { online: "online", going_offline: "going offline", offline: "offline", coming_online: "coming online" };
  const LEFT_AS = {
    S: "sleeping", P: "parked", D: "uninterruptible sleep", R: "preempted", "R+": "preempted",
    I: "idle", X: "exited", Z: "exited", T: "stopped",
  };

  /** Returns the rows of a table that has an array for each field, or words and their numbers. */
  function rows(table) {
    const columns = Object.entries(table).map(([name, values]) =>
      [name, Array.isArray(values) ? values : values.at.map((index) => values.words[index])]);
    return columns.length ? columns[0][1].map((_, row) => Object.fromEntries(columns.map(([name, values]) => [name, values[row]]))) : [];
  }

  const kinds = new Map(run.kinds.map((kind) => [kind.name, Object.assign(kind, { shape: new Path2D(kind.path) })]));
  for (const cpu of run.cpus) {
    for (const [lane, table] of Object.entries(cpu)) if (lane !== "id") cpu[lane] = rows(table);
    for (const event of cpu.events) event.join = null;
    for (const join of cpu.joins) {
      join.wake = cpu.events[join.wake];
      join.run = cpu.events[join.run];
      join.time = Math.min(join.wake.time, join.run.time);
      join.wake.join = join;
      if (join.first) join.run.join = join;
    }
    cpu.joins.sort((a, b) => a.time - b.time);
    cpu.longest = cpu.joins.reduce((most, j) => Math.max(most, j.run.time - j.wake.time), 0);
    for (const lane of ["wakes", "runs", "callbacks"]) cpu[lane] = cpu.events.filter((event) => kinds.get(event.kind).lane === lane);
    cpu.steps = [cpu.steps.filter((step) => step.depth === 0), cpu.steps.filter((step) => step.depth > 0)];
  }
  const actions = run.actions.map(({ label, begin, end }) => ({ label, begin, end: end ?? run.end, finished: end !== null }));

  // --- layout ---

  const GUTTER = 92, AXIS = 24, BANDS = 22, RIGHT = 10;
  const LANES = run.traced
    ? [["CPU", 10, 5], ["wakes", 8, 12], ["callbacks", 13, 3], ["thread", 11, 6], ["sched", 9, 5], ["cpuhp", 25, 0]]
    : [["CPU", 10, 5], ["wakes", 8, 12], ["callbacks", 13, 3], ["thread", 11, 0]];
  const PAD = 11;
  const CPU_HEIGHT = LANES.reduce((sum, [, height, gap]) => sum + height + gap, 2 * PAD);
  const height = AXIS + BANDS + Math.max(run.cpus.length, 1) * CPU_HEIGHT;

  const whole = run.end - run.begin;
  const full = { begin: run.begin - whole * 0.01, end: run.end + whole * 0.01 };
  const SMALLEST = 2000;
  let view = { ...full };
  let width = 0, hits = [], counts, colors, hovered = null, pending = false, selection = null;

  const X = (time) => GUTTER + (time - view.begin) / (view.end - view.begin) * (width - GUTTER - RIGHT);
  const T = (x) => view.begin + (x - GUTTER) / (width - GUTTER - RIGHT) * (view.end - view.begin);

  function show(begin, end) {
    let size = Math.min(Math.max(end - begin, SMALLEST), full.end - full.begin);
    begin = (begin + end) / 2 - size / 2;
    begin = Math.min(Math.max(begin, full.begin), full.end - size);
    view = { begin, end: begin + size };
    redraw();
  }
  const zoom = (factor, at = (view.begin + view.end) / 2) =>
    show(at - (at - view.begin) * factor, at + (view.end - at) * factor);
  const pan = (share) => {
    const by = (view.end - view.begin) * share;
    show(view.begin + by, view.end + by);
  };
  const showSpan = (span) => {
    const margin = Math.max(span.end - span.begin, SMALLEST) * 0.12;
    show(span.begin - margin, span.end + margin);
  };

  function redraw() {
    if (pending) return;
    pending = true;
    requestAnimationFrame(() => { pending = false; draw(); });
  }

  // --- text ---

  /** Formats a time in seconds, with digits in groups. */
  function seconds(time, digits = 9) {
    const text = (Math.abs(time) / 1e9).toFixed(digits);
    const [left, right = ""] = text.split(".");
    return (time < 0 ? "−" : "") + left + (right ? "." + right.replace(/(\d{3})(?=\d)/g, "$1 ") : "") + " s";
  }
  function duration(ns) {
    for (const [unit, size] of [["s", 1e9], ["ms", 1e6], ["µs", 1e3]]) {
      if (Math.abs(ns) >= size) return (ns / size).toPrecision(Math.abs(ns) >= 1000 * size ? 6 : 3).replace(/e.*/, "") + " " + unit;
    }
    return Math.round(ns) + " ns";
  }

  // --- drawing ---

  /** The first index whose item is not before `time`. */
  function lower(items, time, name = "time") {
    let low = 0, high = items.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (items[middle][name] < time) low = middle + 1; else high = middle;
    }
    return low;
  }
  const hit = (x0, x1, y0, y1, kind, item, cpu) => hits.push({ x0, x1, y0, y1, kind, item, cpu });

  /**
   * Draws points in time. One mark stands for all points that would overlap.
   * `one(item, x)` draws a single point, `many(x, count)` a mark for several.
   */
  function points(items, y, h, kind, cpu, apart, one, many) {
    const from = lower(items, T(GUTTER - 8)), to = lower(items, T(width - RIGHT + 8));
    let index = from;
    while (index < to) {
      const x = X(items[index].time);
      let next = index + 1;
      while (next < to && X(items[next].time) - x < apart) next++;
      if (next - index === 1) {
        one(items[index], x);
        hit(x - 3.5, x + 3.5, y, y + h, kind, items[index], cpu);
        counts.marks++;
      } else {
        const last = X(items[next - 1].time);
        many((x + last) / 2, next - index);
        hit(x - 2, last + 2, y, y + h, "many", { kind, items: items.slice(index, Math.min(next, index + 5000)) }, cpu);
        counts.thinned += next - index;
      }
      index = next;
    }
  }

  /** Draws spans of time. One mark stands for several spans that are too short to see. */
  function spans(items, y, h, kind, cpu, color, label) {
    let last = -1;
    // Spans of a lane do not overlap, so the one before the first may reach into the view.
    for (let index = Math.max(lower(items, view.begin, "begin") - 1, 0); index < items.length; index++) {
      const item = items[index];
      if (item.begin > view.end) break;
      if (item.end < view.begin) continue;
      const x0 = Math.max(X(item.begin), GUTTER), x1 = Math.min(X(item.end), width - RIGHT);
      if (x1 - last < 0.5 && x1 - x0 < 0.5) continue;
      g.fillStyle = color(item);
      g.fillRect(x0, y, Math.max(x1 - x0, 0.8), h);
      if (label && x1 - x0 > 26) {
        text(label(item), x0 + 4, y + h / 2, x1 - x0 - 8, colors.text, 10);
      }
      hit(x0 - 1.5, Math.max(x1, x0 + 1) + 1.5, y, y + h, kind, item, cpu);
      counts.spans++;
      last = x1;
    }
  }

  function text(string, x, y, most, color, size = 11, align = "left", weight = "") {
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

  function shape({ shape, stroke, color }, x, y, scale) {
    g.save();
    g.translate(x, y);
    g.scale(scale, scale);
    g.fillStyle = g.strokeStyle = colors[color];
    g.lineWidth = stroke;
    if (stroke) g.stroke(shape); else g.fill(shape);
    g.restore();
  }

  function axis() {
    const room = (width - GUTTER - RIGHT) / 110;
    let step = 10 ** Math.floor(Math.log10((view.end - view.begin) / room));
    for (const factor of [1, 2, 5, 10]) {
      if ((view.end - view.begin) / (step * factor) <= room) { step *= factor; break; }
    }
    const digits = Math.max(0, Math.min(9, 9 - Math.floor(Math.log10(step) + 1e-9)));
    g.strokeStyle = colors.line;
    g.lineWidth = 1;
    for (let n = Math.ceil(T(GUTTER) / step); n * step <= view.end; n++) {
      const x = Math.round(X(n * step)) + 0.5;
      if (x > width - RIGHT) break;
      g.globalAlpha = 0.7;
      g.beginPath(); g.moveTo(x, AXIS - 4); g.lineTo(x, height); g.stroke();
      g.globalAlpha = 1;
      // A label at the right edge would be cut.
      if (x < width - 40) text(seconds(n * step, digits), x, AXIS / 2, null, colors.dim, 11, "center");
    }
  }

  function bands() {
    let until = 0;
    actions.forEach((action, index) => {
      if (action.end < view.begin || action.begin > view.end) return;
      const x0 = Math.max(X(action.begin), GUTTER), x1 = Math.min(X(action.end), width - RIGHT);
      const w = Math.max(x1 - x0, 1);
      g.fillStyle = colors.action;
      g.fillRect(x0, AXIS, w, height - AXIS);
      g.fillStyle = colors["action-edge"];
      g.fillRect(x0, AXIS, w, 2);
      g.fillRect(x0, AXIS + 2, 1, height);
      if (action.finished) g.fillRect(x0 + w - 1, AXIS + 2, 1, height);
      // A label may reach past its band, up to the next one.
      const next = actions.slice(index + 1).find((other) => X(other.begin) > x0 + 2);
      const room = Math.min(next ? X(next.begin) : width, width) - x0 - 8;
      if (x0 >= until && room > 20) {
        text(action.label, x0 + 5, AXIS + BANDS / 2 + 1, room, colors.text, 11);
        until = x0 + Math.min(room, g.measureText(action.label).width + 8);
      }
      hit(x0 - 2, x0 + Math.max(w, Math.min(room, 60)) + 2, AXIS, AXIS + BANDS, "action", action);
    });
  }

  function arrows(cpu, y0, y1) {
    const { joins } = cpu;
    const from = lower(joins, view.begin - cpu.longest), to = lower(joins, view.end);
    if (to - from > 1500) { counts.arrows += to - from; return; }
    for (let index = from; index < to; index++) {
      const join = joins[index];
      if (join.run.time < view.begin) continue;
      const x0 = X(join.wake.time), x1 = X(join.run.time);
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
      counts.joins++;
    }
    g.globalAlpha = 1;
  }

  function drawCpu(cpu, top) {
    const y = {};
    let at = top + PAD;
    for (const [name, h, gap] of LANES) { y[name] = at; at += h + gap; }

    g.fillStyle = colors.line;
    g.fillRect(0, top, width, 1);
    text(`cpu${cpu.id}`, 12, y.CPU + 5, null, colors.text, 13, "left", "600");
    for (const [name, h] of LANES.slice(1)) {
      text(name, GUTTER - 10, y[name] + (name === "cpuhp" ? 6 : h / 2), null, colors.dim, 10, "right");
    }

    g.save();
    g.beginPath(); g.rect(GUTTER, top, width - GUTTER - RIGHT + 4, CPU_HEIGHT); g.clip();

    spans(cpu.power, y.CPU, 10, "power", cpu, (s) => colors[s.what]);
    for (const span of cpu.power) {
      if (span.what === "online" || span.end < view.begin || span.begin > view.end) continue;
      const x0 = Math.max(X(span.begin), GUTTER), x1 = Math.min(X(span.end), width - RIGHT);
      if (span.what === "offline") {
        g.globalAlpha = 0.1;
        g.fillStyle = colors.offline;
        g.fillRect(x0, y.CPU + 10, x1 - x0, CPU_HEIGHT - PAD - 14);
        g.globalAlpha = 1;
      }
      if (x1 - x0 > 34) text(POWER[span.what], x0 + 5, y.CPU + 5.5, x1 - x0 - 8, colors.text, 9);
    }

    spans(cpu.states, y.thread, 11, "states", cpu, (s) => colors[s.what ?? "unknown"]);
    spans(cpu.running, y.thread, 11, "running", cpu, () => colors.running);

    const mark = (yy) => (item, x) => shape(kinds.get(item.kind), x, yy, hovered?.item === item ? 1.3 : 1);
    const heap = (color, h, yy) => (x, count) => {
      g.fillStyle = color;
      g.globalAlpha = Math.min(0.45 + Math.log10(count) * 0.25, 1);
      g.fillRect(x - 1.5, yy, 3, h);
      g.globalAlpha = 1;
    };
    points(cpu.wakes, y.wakes, 8, "event", cpu, 2.5, mark(y.wakes + 4), heap(colors.wake, 8, y.wakes));
    arrows(cpu, y.wakes + 8, y.callbacks + 3);
    const middle = y.callbacks + 6.5;
    points(cpu.runs, y.callbacks, 13, "event", cpu, 4, mark(middle), heap(colors.run, 6, middle - 3));

    let until = -Infinity;
    const labels = [];
    points(cpu.callbacks, y.callbacks, 13, "event", cpu, 3, (item, x) => {
      mark(middle)(item, x);
      labels.push([item.kind, x, colors[kinds.get(item.kind).color]]);
    }, (x, count) => {
      g.fillStyle = colors.create;
      g.globalAlpha = 0.85;
      g.fillRect(x - 2.5, middle - 6, 5, 12);
      g.globalAlpha = 1;
    });
    g.lineJoin = "round";
    labels.forEach(([name, x, color], index) => {
      g.font = '11px system-ui, "DejaVu Sans", sans-serif';
      const end = x + 9 + g.measureText(name).width;
      if (x < until || end > (labels[index + 1]?.[1] ?? Infinity) - 6) return;
      g.textAlign = "left"; g.textBaseline = "middle";
      g.strokeStyle = colors.card; g.lineWidth = 4; g.globalAlpha = 0.85;
      g.strokeText(name, x + 9, middle);
      g.globalAlpha = 1;
      g.fillStyle = color;
      g.fillText(name, x + 9, middle);
      until = end;
    });

    if (run.traced) {
      points(cpu.sched, y.sched, 9, "sched", cpu, 2, (item, x) => {
        g.fillStyle = colors.sched;
        if (item.name === "sched_switch") g.fillRect(x - 0.6, y.sched, 1.2, 9);
        else if (item.name === "sched_waking") g.fillRect(x - 0.6, y.sched, 1.2, 5);
        else g.fillRect(x - 0.6, y.sched + 4, 1.2, 5);
      }, heap(colors.sched, 9, y.sched));
      const color = (s) => colors[s.ret !== 0 ? "step-failed" : s.function.startsWith("smpboot_") ? "step-smpboot" : "step"];
      // Inner steps are drawn below outer ones; gaps between them show that they are several.
      spans(cpu.steps[0], y.cpuhp, 12, "step", cpu, color, (s) => s.function);
      spans(cpu.steps[1], y.cpuhp + 13, 12, "step", cpu, color, (s) => s.function);
    }
    g.restore();
  }

  function draw() {
    width = chart.clientWidth;
    const wanted = window.devicePixelRatio || 1;
    const scale = height * wanted > 16000 ? 1 : wanted;
    const w = Math.round(width * scale), h = Math.round(height * scale);
    if (canvas.width !== w || canvas.height !== h) {
      canvas.width = w; canvas.height = h;
      canvas.style.height = height + "px";
    }
    g.setTransform(scale, 0, 0, scale, 0, 0);
    g.clearRect(0, 0, width, height);
    hits = [];
    counts = { marks: 0, thinned: 0, spans: 0, joins: 0, arrows: 0 };

    axis();
    bands();
    text("host", 12, AXIS + BANDS / 2 + 1, null, colors.dim, 11);
    run.cpus.forEach((cpu, index) => drawCpu(cpu, AXIS + BANDS + index * CPU_HEIGHT));
    if (selection) {
      g.fillStyle = colors.select;
      const x0 = X(selection.begin), x1 = X(selection.end);
      g.fillRect(Math.min(x0, x1), 0, Math.abs(x1 - x0), height);
      text(duration(Math.abs(selection.end - selection.begin)), (x0 + x1) / 2, AXIS + BANDS + 8, null, colors.text, 12, "center", "600");
    }

    const notes = [];
    if (counts.thinned) {
      notes.push(`${(counts.thinned + counts.marks).toLocaleString("en")} events in view; ` +
        `${counts.thinned.toLocaleString("en")} overlap and share marks. Zoom in to separate them.`);
    }
    if (counts.arrows) notes.push(`${counts.arrows.toLocaleString("en")} arrows are hidden. Zoom in to show them.`);
    $("thinned").textContent = notes.join(" ") || "Every event in view is drawn.";
    canvas.dataset.marks = counts.marks;
    canvas.dataset.thinned = counts.thinned;
    canvas.dataset.spans = counts.spans;
    canvas.dataset.joins = counts.joins;
  }

  // --- tooltips ---

  const without = (join) => join.pending ? " (pending while the CPU was offline)" : "";

  function describe({ kind, item, cpu }) {
    const lines = [];
    const add = (line) => lines.push(line);
    const span = () => add(`${seconds(item.begin)}, for ${duration(item.end - item.begin)}`);
    let title = "";
    switch (kind) {
      case "event": {
        title = `${item.kind} — cpu${cpu.id}, number ${item.number}`;
        add(seconds(item.time));
        const join = item.join;
        if (join && item === join.run) add(`woken ${duration(item.time - join.wake.time)} before${without(join)}, by number ${join.wake.number}`);
        if (join && item === join.wake) add(`run ${duration(join.run.time - item.time)} later${without(join)}, number ${join.run.number}`);
        break;
      }
      case "many": {
        const names = new Map();
        for (const one of item.items) {
          const name = item.kind === "event" ? one.kind : one.name;
          names.set(name, (names.get(name) || 0) + 1);
        }
        title = `${item.items.length} events — cpu${cpu.id}`;
        add([...names].map(([name, count]) => `${count} ${name}`).join(", "));
        add(`${seconds(item.items[0].time)} to ${seconds(item.items.at(-1).time)}`);
        break;
      }
      case "power": title = `cpu${cpu.id} is ${POWER[item.what]}`; span(); break;
      case "states": title = `cpu${cpu.id}: the thread is ${item.what ?? "unknown (events lost)"}`; span(); break;
      case "running":
        title = `cpu${cpu.id}: the thread is on CPU`;
        span();
        if (item.what) add(`then ${LEFT_AS[item.what] || "off CPU"} (${item.what})`);
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
      case "action": title = item.label; span(); if (!item.finished) add("did not end"); break;
    }
    return [title, lines];
  }

  const RANK = { event: 0, many: 1, sched: 2, running: 3, step: 4, action: 5, states: 6, power: 7 };
  function find(x, y) {
    let best = null, bestScore = Infinity;
    for (const h of hits) {
      if (x < h.x0 || x > h.x1 || y < h.y0 - 2 || y > h.y1 + 2) continue;
      const lifeCycle = h.kind === "event" && kinds.get(h.item.kind).lane === "callbacks" ? -1 : 0;
      const score = (RANK[h.kind] + lifeCycle) * 1e6 + Math.abs(x - (h.x0 + h.x1) / 2);
      if (score < bestScore) { best = h; bestScore = score; }
    }
    return best;
  }
  function hover(event) {
    const box = canvas.getBoundingClientRect();
    const x = event.clientX - box.left, y = event.clientY - box.top;
    hair.hidden = x < GUTTER || x > width - RIGHT;
    hair.style.left = x + "px";
    const found = x < GUTTER ? null : find(x, y);
    tip.hidden = !found;
    if (found) {
      const [title, lines] = describe(found);
      const head = document.createElement("b");
      head.textContent = title;
      tip.replaceChildren(head, ...lines.map((line) => {
        const div = document.createElement("div");
        div.textContent = line;
        return div;
      }));
      const { offsetWidth: w, offsetHeight: h } = tip;
      tip.style.left = Math.max(8, Math.min(event.clientX + 14, innerWidth - w - 8)) + "px";
      tip.style.top = (event.clientY + 18 + h > innerHeight ? event.clientY - h - 12 : event.clientY + 18) + "px";
    }
    if (found?.item !== hovered?.item) { hovered = found; redraw(); }
  }
  function leave() { tip.hidden = hair.hidden = true; if (hovered) { hovered = null; redraw(); } }

  // --- input ---

  let drag = null;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const x = event.clientX - canvas.getBoundingClientRect().left;
    drag = { x: event.clientX, view: { ...view }, select: event.shiftKey ? T(x) : null };
    canvas.setPointerCapture(event.pointerId);
    if (!event.shiftKey) canvas.style.cursor = "grabbing";
    chart.focus({ preventScroll: true });
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!drag) return hover(event);
    leave();
    if (drag.select !== null) {
      selection = { begin: drag.select, end: T(event.clientX - canvas.getBoundingClientRect().left) };
      return redraw();
    }
    const by = (drag.x - event.clientX) / (width - GUTTER - RIGHT) * (drag.view.end - drag.view.begin);
    show(drag.view.begin + by, drag.view.end + by);
  });
  const drop = () => {
    if (selection) {
      const { begin, end } = selection;
      if (Math.abs(X(end) - X(begin)) > 4) show(Math.min(begin, end), Math.max(begin, end));
    }
    drag = selection = null;
    canvas.style.cursor = "";
    redraw();
  };
  canvas.addEventListener("pointerup", drop);
  canvas.addEventListener("pointercancel", drop);
  canvas.addEventListener("pointerleave", () => { if (!drag) leave(); });
  canvas.addEventListener("dblclick", (event) => {
    const box = canvas.getBoundingClientRect();
    const found = find(event.clientX - box.left, event.clientY - box.top);
    if (found?.item.end !== undefined && found.kind !== "power" && found.kind !== "states") showSpan(found.item);
    else zoom(0.25, T(event.clientX - box.left));
  });
  chart.addEventListener("wheel", (event) => {
    const unit = event.deltaMode ? 30 : 1;
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      const x = event.clientX - canvas.getBoundingClientRect().left;
      zoom(Math.exp(Math.max(-300, Math.min(300, event.deltaY * unit)) * 0.004), T(Math.max(x, GUTTER)));
    } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      event.preventDefault();
      pan((event.deltaX || event.deltaY) * unit / (width - GUTTER));
    }
  }, { passive: false });

  let current = -1;
  function go(to) {
    if (!actions.length) return;
    current = (to + actions.length) % actions.length;
    showSpan(actions[current]);
  }
  const KEYS = {
    "+": () => zoom(0.6), "=": () => zoom(0.6), w: () => zoom(0.6), "-": () => zoom(1 / 0.6), s: () => zoom(1 / 0.6),
    ArrowLeft: () => pan(-0.2), a: () => pan(-0.2), ArrowRight: () => pan(0.2), d: () => pan(0.2),
    0: () => show(full.begin, full.end), Home: () => show(full.begin, full.end),
    n: () => go(current + 1), p: () => go(current < 0 ? -1 : current - 1),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return;
    event.preventDefault();
    KEYS[event.key]();
  });
  $("in").onclick = KEYS["+"];
  $("out").onclick = KEYS["-"];
  $("all").onclick = KEYS[0];
  actions.forEach((action, index) => {
    const button = document.createElement("button"), time = document.createElement("small");
    button.textContent = action.label;
    time.textContent = action.finished ? duration(action.end - action.begin) : "did not end";
    button.append(time);
    button.onclick = () => go(index);
    $("actions").append(button);
  });

  // --- legend ---

  const block = (color) => ({ color, path: "M-8-5h16v10h-16z", stroke: 0 });
  const legend = [
    [block("online"), "online"], [block("going_offline"), POWER.going_offline], [block("offline"), "offline"], [block("coming_online"), POWER.coming_online],
    ...run.kinds.map((kind) => [kind, kind.name]), [block("active"), "thread active"], [block("parked"), "thread parked"],
  ];
  if (run.traced) {
    legend.push([block("running"), "on CPU"], [{ color: "sched", path: "M-1-5h2v10h-2z", stroke: 0 }, "sched event"],
      [block("step"), "hotplug step"], [block("step-smpboot"), "parks or unparks threads"]);
  }
  for (const [{ color, path, stroke }, name] of legend) {
    const entry = document.createElement("span");
    entry.innerHTML = '<svg viewBox="-8 -6 16 12"><path></path></svg>';
    const shape = entry.querySelector("path");
    shape.setAttribute("d", path);
    shape.style[stroke ? "stroke" : "fill"] = `var(--${color})`;
    shape.style[stroke ? "fill" : "stroke"] = "none";
    shape.style.strokeWidth = stroke;
    entry.append(name);
    $("legend").append(entry);
  }

  // --- colors ---

  function dress() {
    const style = getComputedStyle(document.documentElement);
    colors = new Proxy({}, {
      get: (known, name) => known[name] ??= style.getPropertyValue("--" + String(name)).trim(),
    });
    redraw();
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", dress);
  new ResizeObserver(redraw).observe(chart);
  dress();

  // For tests and for the browser's console.
  window.timeline = { run, show, full, describe, get view() { return view; }, get hits() { return hits; }, get counts() { return counts; }, draw };
})();
