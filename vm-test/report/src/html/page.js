/* The report's page: what is around the lanes. The script reads the data of html.rs by name. */
(async () => {
  const $ = (id) => document.getElementById(id);
  const chart = $("chart"), canvas = $("timeline"), tip = $("tip"), hair = $("hair"), overview = $("overview");
  const g = canvas.getContext("2d");
  const { GUTTER, RIGHT, seconds, duration } = Lanes;

  // --- data ---

  async function unpack(text) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  }

  /** Returns the rows of a table that has an array for each field, or words and their numbers. */
  function rows(table) {
    const columns = Object.entries(table).map(([name, values]) =>
      [name, Array.isArray(values) ? values : values.at.map((index) => values.words[index])]);
    return columns.length ? columns[0][1].map((_, row) => Object.fromEntries(columns.map(([name, values]) => [name, values[row]]))) : [];
  }

  if (!window.DecompressionStream) {
    $("thinned").textContent = "The timeline needs a browser of 2023 or later (DecompressionStream).";
    return;
  }
  const run = JSON.parse(await unpack($("run").textContent));
  const about = {};
  for (const [name, text] of run.lanes) about[name] = text;
  const lanes = new Lanes(run.kinds, { traced: run.traced, about });
  const cpus = run.cpus.map((data) => {
    const cpu = Lanes.cpu(data.id);
    for (const name of ["power", "states", "running", "sched"]) cpu[name] = rows(data[name]);
    const steps = rows(data.steps);
    cpu.steps = [steps.filter((step) => step.depth === 0), steps.filter((step) => step.depth > 0)];
    for (const event of rows(data.events)) lanes.event(cpu, event);
    for (const { wake, run, first, pending } of rows(data.joins)) {
      lanes.join(cpu, { wake: cpu.events[wake], run: cpu.events[run], first, pending });
    }
    cpu.joins.sort((a, b) => a.time - b.time);
    return cpu;
  });
  const byId = new Map(cpus.map((cpu) => [cpu.id, cpu]));
  for (const { cpu, time, text } of run.faults) byId.get(cpu)?.faults.push({ time, text });
  const { actions } = run;

  // --- view ---

  const whole = run.end - run.begin, SMALLEST = 2000, MANY = 8;
  const full = { begin: run.begin - whole * 0.01, end: run.end + whole * 0.01 };
  let view = { ...full };
  let width = 0, offset = 0, printing = false;
  let hits = [], counts, colors, hovered = null, selected = null, pending = false, markers = [];

  const frame = () => ({ from: view.begin, to: view.end, width });
  const X = (time) => Lanes.x(time, frame());
  const T = (x) => Lanes.time(x, frame());

  /** Shows a span of time. `how`: "stay" keeps the link of the page as it is. */
  function show(begin, end, how = "replace") {
    const size = Math.min(Math.max(end - begin, SMALLEST), full.end - full.begin);
    begin = Math.min(Math.max((begin + end) / 2 - size / 2, full.begin), full.end - size);
    view = { begin, end: begin + size };
    if (how !== "stay") remember(how);
    redraw();
  }
  const zoom = (factor, at = (view.begin + view.end) / 2) => show(at - (at - view.begin) * factor, at + (view.end - at) * factor);
  const pan = (share) => {
    const by = (view.end - view.begin) * share;
    show(view.begin + by, view.end + by);
  };
  const margins = ({ begin, end }) => {
    const margin = Math.max(end - begin, SMALLEST) * 0.12;
    return [begin - margin, end + margin];
  };

  // --- links: `#t=BEGIN,END` in seconds, `cpu=N` to unfold one, `m=A,B` for markers ---

  const link = (time) => (time / 1e9).toFixed(9);
  let timer = null;
  function remember(how) {
    const write = () => {
      const marked = markers.length ? "&m=" + markers.map(link).join(",") : "";
      const hash = `#t=${link(view.begin)},${link(view.end)}${marked}`;
      // Browsers limit how often a page may do this.
      try { history[how === "push" ? "pushState" : "replaceState"](null, "", hash); } catch { /* a link less */ }
    };
    clearTimeout(timer);
    if (how === "push") write(); else timer = setTimeout(write, 250);
  }

  function restore() {
    clearTimeout(timer);
    const asked = new URLSearchParams(location.hash.slice(1));
    const times = (name) => (asked.get(name) || "").split(",").map((text) => parseFloat(text) * 1e9).filter(Number.isFinite);
    const [begin, end] = times("t");
    markers = times("m").slice(0, 2);
    const card = cards.find((card) => card.hash === location.hash);
    if (asked.has("cpu")) focusOn(Number(asked.get("cpu")));
    if (end > begin) show(begin, end, "stay");
    else if (run.opening) {
      focusOn(run.opening.cpu);
      show(...margins(run.opening), "stay");
    } else show(full.begin, full.end, "stay");
    if (card || !asked.has("t")) tell(card);
    measured();
  }

  // --- the story ---

  const cards = [...document.querySelectorAll("#story a")];
  // Whole addresses: a link to `#t=..` alone counts as one that skips to an element of the page.
  for (const card of cards) card.setAttribute("href", card.href);
  const opening = $("caption").textContent;
  let current = -1;
  function tell(card) {
    current = cards.indexOf(card);
    for (const other of cards) other.toggleAttribute("aria-current", other === card);
    $("caption").textContent = card ? card.dataset.caption : opening;
    // Not scrollIntoView(): that would move the page too.
    const strip = $("story");
    if (card && strip) {
      const box = card.parentElement;
      const left = box.offsetLeft - strip.offsetLeft;
      if (left < strip.scrollLeft || left + box.offsetWidth > strip.scrollLeft + strip.clientWidth) strip.scrollLeft = left - 40;
    }
  }
  function go(to, how = "push") {
    if (!cards.length) return;
    const card = cards[(to + cards.length) % cards.length];
    if (how === "push") history.pushState(null, "", card.hash); else history.replaceState(null, "", card.hash);
    restore();
  }
  cards.forEach((card, index) => card.addEventListener("focus", () => {
    if (card.matches(":focus-visible") && index !== current) go(index, "replace");
  }));
  addEventListener("popstate", restore);

  // --- folding ---

  let opened = null;
  /** Unfolds the CPU that something is about, instead of the last one. */
  function focusOn(id) {
    const cpu = byId.get(id);
    if (!cpu || cpus.length <= MANY || !cpu.folded) return;
    if (opened) opened.folded = true;
    cpu.folded = false;
    opened = cpu;
    folded();
  }
  function foldAll(fold) {
    for (const cpu of cpus) cpu.folded = fold;
    opened = null;
    folded();
  }
  const folds = cpus.map((cpu) => {
    const button = document.createElement("button");
    button.className = "fold";
    button.setAttribute("aria-label", `cpu${cpu.id}`);
    button.onclick = () => { cpu.folded = !cpu.folded; if (opened === cpu) opened = null; folded(); };
    $("folds").append(button);
    return button;
  });
  function folded() {
    let top = Lanes.HEAD;
    cpus.forEach((cpu, index) => {
      folds[index].style.top = `${top + 4}px`;
      folds[index].setAttribute("aria-expanded", String(!cpu.folded));
      top += lanes.cpuHeight(cpu);
    });
    chart.style.height = `${lanes.height(cpus) + 2}px`;
    overviewImage = null;
    redraw();
  }

  // --- drawing ---

  function redraw() {
    if (pending) return;
    pending = true;
    requestAnimationFrame(() => { pending = false; draw(); });
  }

  function size(canvas, w, h) {
    const scale = h * devicePixelRatio > 16000 ? 1 : devicePixelRatio || 1;
    const [wide, high] = [Math.round(w * scale), Math.round(h * scale)];
    if (canvas.width !== wide || canvas.height !== high) {
      canvas.width = wide; canvas.height = high;
      canvas.style.height = `${h}px`;
    }
    return scale;
  }

  function draw() {
    width = chart.clientWidth;
    const height = lanes.height(cpus), shown = printing ? height : Math.min(height, innerHeight);
    const scale = size(canvas, width, shown);
    // Only what is on the screen is drawn: the canvas stays there while the chart scrolls.
    offset = printing ? 0 : Math.min(Math.max(-chart.getBoundingClientRect().top, 0), height - shown);
    g.setTransform(scale, 0, 0, scale, 0, -offset * scale);
    ({ hits, counts } = lanes.draw(g, { cpus, actions }, view.begin, view.end,
      { width, y0: offset, y1: offset + shown, colors, hovered: hovered ?? selected }));
    drawMarkers(offset, offset + shown);
    drawOverview();

    const notes = [];
    if (counts.thinned) {
      notes.push(`${(counts.thinned + counts.marks).toLocaleString("en")} events in view; ` +
        `${counts.thinned.toLocaleString("en")} overlap and share marks. Zoom in to separate them.`);
    }
    if (counts.arrows) notes.push(`${counts.arrows.toLocaleString("en")} arrows are hidden. Zoom in to show them.`);
    $("thinned").textContent = notes.join(" ") || "Every event in view is drawn.";
    Object.assign(canvas.dataset, { marks: counts.marks, thinned: counts.thinned, spans: counts.spans, joins: counts.joins });
    if ($("list").open && $("inview").checked) list();
  }

  function drawMarkers(y0, y1) {
    const [a, b] = markers;
    if (b !== undefined) {
      const from = Math.max(X(Math.min(a, b)), GUTTER), to = Math.min(X(Math.max(a, b)), width - RIGHT);
      g.fillStyle = colors.select;
      if (to > from) g.fillRect(from, y0, to - from, y1 - y0);
    }
    const times = [...markers.map((time, index) => ["AB"[index], time]), ...(selected ? [["", selected.item.time ?? selected.item.begin]] : [])];
    for (const [name, time] of times) {
      const x = X(time);
      if (x < GUTTER || x > width - RIGHT) continue;
      g.strokeStyle = colors.marker;
      g.lineWidth = 1;
      g.setLineDash([4, 3]);
      g.beginPath(); g.moveTo(x, y0); g.lineTo(x, y1); g.stroke();
      g.setLineDash([]);
      lanes.text(name, x + 3, y0 + 8, null, colors.marker, 11, "left", "700");
    }
  }

  // --- the overview strip ---

  const OVERVIEW = 46, HANDLE = 7;
  let overviewImage = null;
  const toStrip = (time, w) => (time - full.begin) / (full.end - full.begin) * w;

  /** Draws the whole run: a row for each CPU, and where its events are. */
  function drawRun(w, scale) {
    const image = document.createElement("canvas");
    const s = image.getContext("2d");
    image.width = Math.round(w * scale); image.height = Math.round(OVERVIEW * scale);
    s.scale(scale, scale);
    const row = (OVERVIEW - 6) / Math.max(cpus.length, 1), thick = Math.max(row - 1, row * 0.8);
    cpus.forEach((cpu, index) => {
      const y = 3 + index * row;
      const span = (item, color, y, h) => {
        const x = toStrip(item.begin, w);
        s.fillStyle = color;
        s.fillRect(x, y, Math.max(toStrip(item.end, w) - x, 0.7), h);
      };
      for (const power of cpu.power) span(power, colors[power.what], y, thick);
      for (const state of cpu.states) if (state.what === "parked") span(state, colors.park, y + thick / 2, thick / 2);
      let last = -1;
      s.fillStyle = colors.run;
      for (const event of cpu.runs) {
        const x = toStrip(event.time, w);
        if (x - last < 1) continue;
        s.fillRect(x, y + thick / 4, 1, thick / 2);
        last = x;
      }
      for (const fault of cpu.faults) span({ begin: fault.time, end: fault.time }, colors.fault, 0, OVERVIEW);
    });
    return image;
  }

  function drawOverview() {
    const w = overview.clientWidth;
    // It is not printed.
    if (!w) return;
    const scale = size(overview, w, OVERVIEW), o = overview.getContext("2d");
    if (overviewImage?.width !== Math.round(w * scale)) overviewImage = drawRun(w, scale);
    o.setTransform(1, 0, 0, 1, 0, 0);
    o.clearRect(0, 0, overview.width, overview.height);
    o.drawImage(overviewImage, 0, 0);
    o.setTransform(scale, 0, 0, scale, 0, 0);
    const [x0, x1] = windowInStrip();
    o.fillStyle = colors.card;
    o.globalAlpha = 0.65;
    o.fillRect(0, 0, x0, OVERVIEW);
    o.fillRect(x1, 0, w - x1, OVERVIEW);
    o.globalAlpha = 1;
    o.strokeStyle = colors.marker;
    o.lineWidth = 1.5;
    o.strokeRect(x0, 0.75, x1 - x0, OVERVIEW - 1.5);
    o.fillStyle = colors.marker;
    o.fillRect(x0 - 2, OVERVIEW / 2 - 8, 4, 16);
    o.fillRect(x1 - 2, OVERVIEW / 2 - 8, 4, 16);
  }

  function windowInStrip() {
    const w = overview.clientWidth;
    const [x0, x1] = [toStrip(view.begin, w), toStrip(view.end, w)];
    const more = Math.max(0, 6 - (x1 - x0)) / 2;
    return [x0 - more, x1 + more];
  }

  let grip = null;
  overview.addEventListener("pointerdown", (event) => {
    const x = event.offsetX, [x0, x1] = windowInStrip();
    const handle = event.pointerType === "touch" ? 3 * HANDLE : HANDLE;
    const near = (edge) => Math.abs(x - edge) <= Math.min(handle, Math.max((x1 - x0) / 3, 3));
    const part = near(x0) ? "begin" : near(x1) ? "end" : "both";
    if (part === "both" && (x < x0 || x > x1)) {
      const at = full.begin + x / overview.clientWidth * (full.end - full.begin), half = (view.end - view.begin) / 2;
      show(at - half, at + half);
    }
    grip = { x, part, view: { ...view } };
    overview.setPointerCapture(event.pointerId);
  });
  overview.addEventListener("pointermove", (event) => {
    const [x0, x1] = windowInStrip();
    overview.style.cursor = Math.min(Math.abs(event.offsetX - x0), Math.abs(event.offsetX - x1)) <= HANDLE ? "ew-resize" : "grab";
    if (!grip) return;
    const by = (event.offsetX - grip.x) / overview.clientWidth * (full.end - full.begin);
    const { begin, end } = grip.view;
    if (grip.part === "both") show(begin + by, end + by);
    else if (grip.part === "begin") show(Math.min(begin + by, end - SMALLEST), end);
    else show(begin, Math.max(end + by, begin + SMALLEST));
  });
  for (const type of ["pointerup", "pointercancel"]) overview.addEventListener(type, () => grip = null);

  // --- tooltips ---

  const place = (event) => {
    const box = chart.getBoundingClientRect();
    return [event.clientX - box.left - chart.clientLeft, event.clientY - box.top - chart.clientTop];
  };
  function hover(event) {
    const [x, y] = place(event);
    hair.hidden = x < GUTTER || x > width - RIGHT;
    hair.style.left = `${x}px`;
    const found = lanes.find(x, y);
    tip.hidden = !found;
    if (found) {
      const [title, lines] = lanes.describe(found);
      const head = document.createElement("b");
      head.textContent = title;
      tip.replaceChildren(head, ...lines.map((line) => {
        const div = document.createElement("div");
        div.textContent = line;
        return div;
      }));
      const { offsetWidth: w, offsetHeight: h } = tip;
      tip.style.left = `${Math.max(8, Math.min(event.clientX + 14, innerWidth - w - 8))}px`;
      tip.style.top = `${event.clientY + 18 + h > innerHeight ? event.clientY - h - 12 : event.clientY + 18}px`;
    }
    if (found?.item !== hovered?.item) { hovered = found; redraw(); }
  }
  function leave() { tip.hidden = hair.hidden = true; if (hovered) { hovered = null; redraw(); } }

  // Escape closes an explanation of the legend, until the pointer or the focus leaves it.
  for (const entry of document.querySelectorAll(".entry")) {
    entry.addEventListener("keydown", (event) => entry.classList.toggle("closed", event.key === "Escape"));
    for (const type of ["mouseleave", "focusout"]) entry.addEventListener(type, () => entry.classList.remove("closed"));
  }

  // --- markers ---

  function measured() {
    const [a, b] = markers;
    $("between").textContent = [a, b].map((time, index) => time === undefined ? "" : `${"AB"[index]} ${seconds(time, 6)}`)
      .concat(b === undefined ? [] : [`${duration(Math.abs(b - a))} between`]).filter(Boolean).join(" · ");
    $("measure").hidden = b === undefined;
    $("clear").hidden = a === undefined;
    redraw();
  }
  function mark(time) {
    markers = markers.length === 1 ? [markers[0], time] : [time];
    measured();
    remember("replace");
  }
  function clearMarkers() {
    markers = [];
    selected = null;
    measured();
    remember("replace");
  }
  /** Returns the time of the event at a place, or of the place. */
  const timeAt = (x, y) => {
    const item = lanes.find(x, y)?.item;
    return item?.time ?? T(Math.max(x, GUTTER));
  };
  const zoomToMarkers = () => {
    if (markers.length === 2) show(...margins({ begin: Math.min(...markers), end: Math.max(...markers) }), "push");
  };

  // --- pointer ---

  const fingers = new Map();
  let drag = null;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const [x, y] = place(event);
    fingers.set(event.pointerId, x);
    canvas.setPointerCapture(event.pointerId);
    drag = { x, y, view: { ...view }, measure: event.shiftKey ? timeAt(x, y) : null, fingers: new Map(fingers) };
    if (drag.measure !== null) mark(drag.measure);
    else canvas.style.cursor = "grabbing";
    chart.focus({ preventScroll: true });
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!drag) return hover(event);
    leave();
    const [x, y] = place(event);
    if (drag.measure !== null) {
      if (Math.abs(x - drag.x) > 4) {
        markers = [drag.measure, timeAt(x, y)];
        measured();
      }
      return;
    }
    if (fingers.has(event.pointerId)) fingers.set(event.pointerId, x);
    const at = (x) => drag.view.begin + (x - GUTTER) / (width - GUTTER - RIGHT) * (drag.view.end - drag.view.begin);
    if (drag.fingers.size === 2 && fingers.size === 2) {
      // The times that were under both fingers stay under them.
      const [[a0, b0], [a1, b1]] = [[...drag.fingers.values()], [...fingers.values()]];
      const perPixel = (at(b0) - at(a0)) / (b1 - a1 || 1);
      if (perPixel > 0) {
        const begin = at(a0) - (a1 - GUTTER) * perPixel;
        show(begin, begin + perPixel * (width - GUTTER - RIGHT));
      }
      return;
    }
    const by = (drag.x - x) / (width - GUTTER - RIGHT) * (drag.view.end - drag.view.begin);
    show(drag.view.begin + by, drag.view.end + by);
  });
  const drop = (event) => {
    fingers.delete(event.pointerId);
    if (drag?.measure !== null && drag) remember("replace");
    const [left] = fingers.values();
    // The other finger continues from here.
    drag = left === undefined ? null : { x: left, y: 0, view: { ...view }, measure: null, fingers: new Map(fingers) };
    canvas.style.cursor = "";
  };
  canvas.addEventListener("pointerup", drop);
  canvas.addEventListener("pointercancel", drop);
  canvas.addEventListener("pointerleave", () => { if (!drag) leave(); });
  canvas.addEventListener("dblclick", (event) => {
    const found = lanes.find(...place(event));
    if (found?.item.end !== undefined && !["power", "states"].includes(found.kind)) {
      show(...margins({ begin: found.item.begin, end: found.item.end ?? run.end }), "push");
    } else zoom(0.25, T(place(event)[0]));
  });
  chart.addEventListener("wheel", (event) => {
    const unit = event.deltaMode ? 30 : 1;
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      zoom(Math.exp(Math.max(-300, Math.min(300, event.deltaY * unit)) * 0.004), T(Math.max(place(event)[0], GUTTER)));
    } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      event.preventDefault();
      pan((event.deltaX || event.deltaY) * unit / (width - GUTTER));
    }
  }, { passive: false });

  // --- keys, of the chart only: a page must not bind single letters (WCAG 2.1.4) ---

  const showAll = () => show(full.begin, full.end);
  const KEYS = {
    "+": () => zoom(0.6), "=": () => zoom(0.6), w: () => zoom(0.6), "-": () => zoom(1 / 0.6), s: () => zoom(1 / 0.6),
    ArrowLeft: () => pan(-0.2), a: () => pan(-0.2), ArrowRight: () => pan(0.2), d: () => pan(0.2),
    0: showAll, Home: showAll,
    n: () => go(current + 1), p: () => go(current < 0 ? -1 : current - 1),
    ".": () => step(1), ",": () => step(-1),
    m: () => mark(selected?.item.time ?? (view.begin + view.end) / 2), z: zoomToMarkers, Escape: clearMarkers,
    f: () => foldAll(cpus.some((cpu) => !cpu.folded)),
  };
  chart.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target !== chart || !KEYS[event.key]) return;
    event.preventDefault();
    KEYS[event.key]();
  });
  const bind = (id, act) => $(id).onclick = act;
  bind("in", KEYS["+"]); bind("out", KEYS["-"]); bind("all", showAll);
  bind("fold", () => foldAll(true)); bind("unfold", () => foldAll(false));
  bind("mark", KEYS.m); bind("measure", zoomToMarkers); bind("clear", clearMarkers);

  // --- the list of events ---

  const BATCH = 200;
  let entries = null, matches = [], listed = 0;

  /** All that happened, in the order of time. */
  function all() {
    if (entries) return entries;
    entries = [];
    const add = (kind, item, cpu, name) => entries.push({ kind, item, cpu, name, time: item.time ?? item.begin });
    for (const action of actions) add("action", action, null, action.label);
    for (const cpu of cpus) {
      for (const event of cpu.events) add("event", event, cpu, event.kind);
      for (const event of cpu.sched) add("sched", event, cpu, event.name);
      for (const part of cpu.steps) for (const step of part) add("step", step, cpu, step.function);
      for (const fault of cpu.faults) add("fault", fault, cpu, "FAULT");
    }
    return entries.sort((a, b) => a.time - b.time);
  }
  const details = (entry) => entry.kind === "action"
    ? entry.item.commands.map((command) => `$ ${command}`).join("  ")
    : lanes.describe(entry)[1].slice(entry.kind === "step" ? 0 : 1).join("; ");
  const words = (entry) => entry.words ??= `${entry.name} ${entry.cpu ? `cpu${entry.cpu.id}` : "host"} ${details(entry)}`.toLowerCase();

  /** Whether the text has the word; a number is a whole one: `cpu1` is not in `cpu10`. */
  function has(text, word) {
    for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + 1)) {
      if (!(/\d$/.test(word) && /\d/.test(text[at + word.length] ?? ""))) return true;
    }
    return false;
  }

  function list() {
    const wanted = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const inView = $("inview").checked;
    matches = all().filter((entry) => (!inView || entry.time >= view.begin && entry.time <= view.end) &&
      wanted.every((word) => has(words(entry), word)));
    $("found").textContent = `${matches.length.toLocaleString("en")} of ${all().length.toLocaleString("en")} events`;
    $("events").tBodies[0].replaceChildren();
    listed = 0;
    more();
  }
  function more() {
    const body = $("events").tBodies[0];
    for (const entry of matches.slice(listed, listed + BATCH)) {
      const row = body.insertRow(), button = document.createElement("button");
      button.textContent = seconds(entry.time, entry.kind === "sched" ? 6 : 9);
      button.onclick = () => {
        body.querySelector("[aria-current]")?.removeAttribute("aria-current");
        row.setAttribute("aria-current", "true");
        choose(entry);
        chart.scrollIntoView({ block: "nearest" });
      };
      row.insertCell().append(button);
      for (const text of [entry.cpu ? `cpu${entry.cpu.id}` : "host", entry.name, details(entry)]) row.insertCell().textContent = text;
    }
    listed = Math.min(listed + BATCH, matches.length);
    $("more").hidden = listed >= matches.length;
  }

  /** Shows an event, and describes it. */
  function choose(entry) {
    selected = entry;
    if (entry.cpu) focusOn(entry.cpu.id);
    const end = entry.item.end ?? entry.time;
    if (entry.time < view.begin || end > view.end) {
      const half = Math.max(view.end - view.begin, (end - entry.time) * 1.2) / 2, middle = (entry.time + end) / 2;
      show(middle - half, middle + half);
    }
    const [title, lines] = lanes.describe(entry);
    $("spoken").textContent = [title, ...lines].join("; ");
    redraw();
  }

  /** Shows the next event of the module, or the previous one. */
  function step(by) {
    const events = all().filter((entry) => entry.kind === "event");
    if (!events.length) return;
    const from = selected?.kind === "event" ? events.indexOf(selected) : -1;
    let next = from + by;
    if (from < 0) {
      next = Lanes.lower(events, view.begin);
      if (by < 0) next = Lanes.lower(events, view.end) - 1;
    }
    choose(events[Math.min(Math.max(next, 0), events.length - 1)]);
  }

  $("list").addEventListener("toggle", () => { if ($("list").open) list(); });
  $("search").addEventListener("input", list);
  $("inview").addEventListener("change", list);
  bind("more", more);

  // --- start ---

  function dress() {
    colors = Lanes.colors(document.documentElement);
    overviewImage = null;
    redraw();
  }
  for (const query of ["(prefers-color-scheme: dark)", "(forced-colors: active)"]) matchMedia(query).addEventListener("change", dress);
  addEventListener("scroll", () => { if (lanes.height(cpus) > innerHeight) redraw(); }, { passive: true });
  addEventListener("beforeprint", () => { printing = true; draw(); });
  addEventListener("afterprint", () => { printing = false; redraw(); });
  new ResizeObserver(redraw).observe(chart);
  dress();
  foldAll(cpus.length > MANY);
  restore();
  draw();

  // For tests and for the browser's console.
  window.timeline = { run, cpus, lanes, show, full, draw, get view() { return view; }, get hits() { return hits; }, get counts() { return counts; },
    get markers() { return markers; }, get offset() { return offset; } };
})();
