// SPDX-License-Identifier: GPL-2.0
//
// The live view: shows the state that the server sends, and sends it what the user does.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const PERFETTO = "https://ui.perfetto.dev";
  /** Most events of a CPU that the page keeps, to scroll back. */
  const KEPT = 20000;
  /** The picture is this much behind, in ms, so that events do not appear in its middle. */
  const BEHIND = 120;
  /** From CPU numbers like these on, lanes are compact. */
  const MANY = 8;
  /** Periods of the timers in µs for up to 4 CPUs; with more, an emulator needs longer ones. */
  const PERIODS = [0, 1000000, 100000, 20000, 5000];
  const motion = matchMedia("(prefers-reduced-motion: reduce)");

  // --- the state ---

  /** What the server has sent, by its names. */
  const state = { cpus: new Map() };
  let lanes = null, chosen = null, socket = null, open = false, updates = 0;
  /** The difference between the session's clock and the page's, in ns. */
  let ahead = -Infinity;
  const clock = () => performance.now() * 1e6;

  function receive(message) {
    if (message.error) return sentence(message.error);
    updates++;
    if (message.full) {
      if (message.kinds) lanes = new Lanes(message.kinds);
      ahead = -Infinity;
      for (const id of state.cpus.keys()) if (!(id in message.cpus)) state.cpus.delete(id);
    }
    const { cpus = {}, full, ...names } = message;
    Object.assign(state, names);
    // The quickest message so far has the smallest delay.
    ahead = Math.max(ahead, state.now - clock());
    for (const [id, news] of Object.entries(cpus)) {
      if (!state.cpus.has(id)) state.cpus.set(id, { id: Number(id), lane: Lanes.cpu(Number(id)), waiting: [] });
      const cpu = state.cpus.get(id);
      const { powers, states, marks, ...rest } = news;
      Object.assign(cpu, rest);
      if (powers) spans(cpu.lane.power, powers, (what) => what.replace("-", "_"));
      if (states) spans(cpu.lane.states, states, (what) => ["none", "stopped"].includes(what) ? null : what);
      if (marks) events(cpu, marks);
    }
    if (full) build();
    show(names, cpus);
  }

  /** Adds spans: each ends where the next begins. */
  function spans(list, { all, items }, name) {
    if (all) list.length = 0;
    for (const [begin, what] of items) {
      const last = list.at(-1);
      if (last && last.end === null) last.end = Math.max(begin, last.begin);
      if (name(what)) list.push({ begin, end: null, what: name(what) });
    }
  }

  /** Adds events, and joins each run to its wakes. */
  function events(cpu, { all, items }) {
    if (all) { Object.assign(cpu.lane, Lanes.cpu(cpu.id), { power: cpu.lane.power, states: cpu.lane.states, folded: cpu.lane.folded }); cpu.waiting = []; cpu.number = 0; }
    for (const [time, kind] of items) {
      const event = { time, kind, number: cpu.number++ };
      lanes.event(cpu.lane, event);
      if (kind === "wake") cpu.waiting.push(event);
      if (kind !== "run") continue;
      cpu.waiting.forEach((wake, index) => lanes.join(cpu.lane, { wake, run: event, first: index === 0, pending: parked(cpu.lane, wake.time) }));
      cpu.waiting = [];
    }
    if (cpu.lane.events.length > KEPT) forget(cpu.lane);
  }

  const parked = (lane, time) => lane.states.some(({ begin, end, what }) => what === "parked" && begin <= time && time < (end ?? Infinity));

  function forget(lane) {
    const from = lane.events[KEPT / 2].time;
    for (const name of ["events", "wakes", "runs", "callbacks", "joins"]) lane[name] = lane[name].filter((item) => item.time >= from);
  }

  // --- the connection ---

  function connect() {
    socket = new WebSocket(new URL("socket", location.href.replace(/^http/, "ws")));
    socket.onopen = () => { open = true; connection("Connected"); };
    socket.onmessage = ({ data }) => receive(JSON.parse(data));
    socket.onclose = () => {
      open = false;
      connection("Disconnected: the server has ended or is busy");
      setTimeout(connect, 2000);
    };
  }
  function connection(text) {
    if ($("connection").textContent !== text) $("connection").textContent = text;
    $("connection").classList.toggle("open", open);
    controls();
  }
  function act(request) {
    if (open) socket.send(JSON.stringify(request));
  }

  // --- the elements ---

  const ended = () => state.status && state.status !== "Running" ? state.status.Ended : null;
  const isOn = (cpu) => cpu.power === "online" || cpu.power === "coming-online";
  const cpuList = () => [...state.cpus.values()];

  function build() {
    const rows = cpuList().map((cpu) => {
      const row = document.createElement("li"), who = document.createElement("div"), canvas = document.createElement("canvas");
      const toggle = button("", () => act({ do: isOn(cpu) ? "offline" : "online", cpu: cpu.id }));
      const name = document.createElement("b"), wake = button("Wake", () => act({ do: "wake", cpu: cpu.id })), text = document.createElement("small");
      toggle.className = "switch";
      toggle.setAttribute("role", "switch");
      toggle.setAttribute("aria-label", `CPU ${cpu.id} online`);
      toggle.setAttribute("aria-describedby", `text-${cpu.id}`);
      wake.setAttribute("aria-label", `Wake the thread of CPU ${cpu.id}`);
      name.textContent = `CPU ${cpu.id}`;
      text.id = `text-${cpu.id}`;
      who.className = "who";
      who.append(toggle, name, wake, text);
      canvas.setAttribute("role", "img");
      row.dataset.cpu = cpu.id;
      row.append(who, canvas);
      row.addEventListener("focusin", () => choose(cpu));
      row.addEventListener("pointerdown", () => choose(cpu));
      canvas.addEventListener("pointermove", (event) => hover(cpu, event));
      canvas.addEventListener("click", (event) => {
        if (event.offsetX < Lanes.GUTTER) fold(cpu, !cpu.lane.folded);
      });
      canvas.addEventListener("pointerleave", () => $("tip").hidden = true);
      Object.assign(cpu, { row, toggle, wake, text, canvas, seen: true, hits: [] });
      visibility.observe(canvas);
      return row;
    });
    $("lanes").replaceChildren(...rows);
    $("about").textContent = state.about;
    compact($("compact").checked = cpuList().length > MANY);
    choose(cpuList().find((cpu) => cpu.id === chosen?.id) ?? cpuList().find((cpu) => cpu.hotpluggable) ?? cpuList()[0]);
    legend();
  }
  function button(text, act) {
    const element = document.createElement("button");
    element.type = "button";
    element.textContent = text;
    element.onclick = act;
    return element;
  }
  const visibility = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const cpu = state.cpus.get(target.parentElement?.dataset.cpu);
      if (cpu) cpu.seen = isIntersecting;
    }
  });

  function choose(cpu) {
    if (!cpu || (chosen === cpu && cpu.row.classList.contains("chosen"))) return;
    chosen = cpu;
    for (const other of cpuList()) {
      other.row.classList.toggle("chosen", other === cpu);
      // Tab reaches the chosen CPU only: with 64 CPUs the way would be long.
      for (const control of [other.toggle, other.wake]) control.tabIndex = other === cpu ? 0 : -1;
    }
    thread();
  }
  $("lanes").addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !chosen) return;
    const all = cpuList(), at = all.indexOf(chosen);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (to !== undefined) {
      const next = all[Math.min(Math.max(to, 0), all.length - 1)];
      choose(next);
      (event.target === all[at].wake ? next.wake : next.toggle).focus();
    } else if (event.key === "w") {
      act({ do: "wake", cpu: chosen.id });
    } else {
      return;
    }
    event.preventDefault();
  });

  /** Shows what is new. */
  function show(names, cpus) {
    for (const id of Object.keys(cpus)) row(state.cpus.get(id));
    if ("sentence" in names) sentence(state.sentence);
    if ("log" in names) log();
    if ("period_us" in names) period();
    if ("running" in names || "last_took" in names) {
      $("running").textContent = state.running ? `Runs: ${state.running}` : state.last_took ? `Answered in ${Lanes.duration(state.last_took)}.` : "";
    }
    if ("tour" in names) tour();
    if ("status" in names) verdict();
    if (["loaded", "running", "status"].some((name) => name in names)) controls();
    if (chosen && String(chosen.id) in cpus) thread();
    const online = cpuList().filter((cpu) => cpu.power === "online").length;
    text($("online"), `${online} of ${state.cpus.size} online · ${count(state.events, "event")}` + (state.lost ? `, ${state.lost} lost` : ""));
  }
  function text(element, value) {
    if (element.textContent !== value) element.textContent = value;
  }

  const count = (n, what) => `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;
  const POWER = { online: "online", "going-offline": "going offline", offline: "offline", "coming-online": "coming online" };
  function row(cpu) {
    const on = isOn(cpu);
    if (cpu.toggle.getAttribute("aria-checked") !== String(on)) cpu.toggle.setAttribute("aria-checked", on);
    const thread = !state.loaded ? "no thread" : `thread ${cpu.thread || "unknown"}`;
    text(cpu.text, `${POWER[cpu.power]} · ${thread}` + (cpu.pending ? " · wake pending" : "") + (state.loaded ? ` · ${count(cpu.runs, "run")}, ${count(cpu.wakes, "wake")}` : ""));
    const label = `CPU ${cpu.id}, the last ${$("span").value} seconds: ${POWER[cpu.power]}, ${thread}`;
    if (cpu.canvas.getAttribute("aria-label") !== label) cpu.canvas.setAttribute("aria-label", label);
  }

  /** Screen readers get the newest sentences every 2 s. */
  let announcing = 0;
  function announce() {
    announcing ||= setTimeout(() => {
      announcing = 0;
      const { messages = [], page } = state.tour ?? {};
      text($("announced"), [$("sentence").textContent, ...messages, page?.task ?? ""].join(" "));
    }, 2000);
  }
  function sentence(line) {
    text($("sentence"), line);
    announce();
  }

  function tour() {
    $("tour").hidden = !state.tour;
    if (!state.tour) return;
    const { page, lessons, messages } = state.tour;
    if ($("tour-lesson").length !== lessons) $("tour-lesson").replaceChildren(...Array.from({ length: lessons }, (_, n) => new Option(n + 1, n + 1)));
    $("tour-lesson").value = page?.lesson ?? lessons;
    text($("tour-title"), page ? page.title : "The tour is done");
    text($("tour-text"), page?.text ?? "");
    $("tour-messages").replaceChildren(...messages.map((line) => Object.assign(document.createElement("p"), { textContent: line })));
    $("tour-step").hidden = !page;
    if (page) {
      text($("tour-task"), `${page.step ? `Step ${page.step} of ${page.steps}: ` : ""}${page.task}`);
      text($("tour-commands"), page.commands.map((command) => `# ${command}`).join("\n"));
    }
    announce();
  }

  function controls() {
    const usable = open && state.status === "Running", idle = usable && !state.running;
    text($("load"), state.loaded ? "Unload module" : "Load module");
    $("load").disabled = $("end").disabled = !idle;
    $("begin-tour").disabled = $("tour-do").disabled = $("tour-next").disabled = !usable;
    $("wake-all").disabled = $("period").disabled = !(usable && state.loaded);
    for (const cpu of cpuList()) {
      cpu.toggle.disabled = !usable || !cpu.hotpluggable;
      cpu.toggle.title = cpu.hotpluggable ? "" : `CPU ${cpu.id} cannot be taken offline on this machine`;
      cpu.wake.disabled = !(usable && state.loaded);
      row(cpu);
    }
    if (chosen) thread();
  }

  function period() {
    const known = new Set([...PERIODS.map((us) => us * Math.ceil(state.cpus.size / 4)), state.period_us]);
    if ($("period").length !== known.size) {
      $("period").replaceChildren(...[...known].map((us) => new Option(us ? Lanes.duration(us * 1000).replace(/\.0+ /, " ") : "off", us)));
    }
    $("period").value = state.period_us;
  }

  function log() {
    const end = $("log").scrollHeight - $("log").scrollTop - $("log").clientHeight < 20;
    $("log").replaceChildren(...state.log.map((entry) => {
      const [[kind, line]] = Object.entries(entry);
      const div = document.createElement("div");
      div.className = kind.toLowerCase();
      div.textContent = line;
      return div;
    }));
    if (end) $("log").scrollTop = $("log").scrollHeight;
  }

  function verdict() {
    const end = ended();
    $("verdict").hidden = !end;
    if (!end) return;
    $("verdict").className = `card ${end.ok ? "ok" : "failed"}`;
    text($("verdict-title"), end.ok ? "Session ended: passed" : "Session ended: FAILED");
    text($("verdict-lines"), end.lines.join("\n"));
    $("verdict-reports").replaceChildren(...state.reports.map((name) => {
      return Object.assign(document.createElement("a"), { href: `report/${name}`, target: "_blank", textContent: name });
    }));
    sentence(`The session has ended: ${end.ok ? "passed" : "failed"}.`);
  }

  // The states of a thread, and the callbacks between them.
  const CHAIN = [["none", "no thread"], [">", "create"], ["created", "created"], [">", "setup"], ["sleeping", "sleeping"], [">", "run"],
    ["running", "running"], [">", "park"], ["parked", "parked"], [">", "cleanup"], ["stopped", "exited"]];
  const WHY = {
    none: "The module is not loaded: no CPU has a thread.",
    created: "The thread exists, but has not run yet: its CPU must be online.",
    sleeping: "Its CPU is online. The thread sleeps until a wake sets its flag.",
    running: "The thread is in run(), on its own CPU.",
    parked: "Its CPU is offline. The thread keeps its state and its PID, and cannot run; a wake stays pending.",
    stopped: "The thread has exited.",
  };
  function thread() {
    const cpu = chosen;
    const life = cpu.lane.states.at(-1)?.what;
    const now = !state.loaded ? "none" : life === "created" ? "created" : ["sleeping", "running", "parked"].includes(cpu.thread) ? cpu.thread : "none";
    text($("chain-title"), `The thread of CPU ${cpu.id}${cpu.pid ? `, PID ${cpu.pid}` : ""}`);
    if (!$("chain").children.length) {
      $("chain").replaceChildren(...CHAIN.map(([name, word]) => {
        const item = document.createElement("li");
        item.textContent = name === ">" ? `→ ${word} →` : word;
        item.className = name === ">" ? "by" : name;
        return item;
      }));
    }
    for (const item of $("chain").children) {
      if (item.className === now) item.setAttribute("aria-current", "step"); else item.removeAttribute("aria-current");
    }
    const { latency } = cpu;
    text($("figures"), `${count(cpu.wakes, "wake")}, ${count(cpu.runs, "run")}, ${count(cpu.parks, "park")}` +
      (latency ? `. Wake to run: p50 ${Lanes.duration(latency.p50)}, p99 ${Lanes.duration(latency.p99)}, max ${Lanes.duration(latency.max)}` : ""));
    text($("fail"), `Fail its next ${isOn(cpu) ? "offline" : "online"}`);
    $("fail").disabled = cpu.toggle.disabled;
    text($("why"), WHY[now] + (cpu.pending && now !== "none" ? " A wake is pending." : ""));
  }

  function legend() {
    const block = (color) => ({ color, path: "M-8-5h16v10h-16z", stroke: 0 });
    const entries = [[block("online"), "online"], [block("going_offline"), "going offline"], [block("offline"), "offline"],
      [block("coming_online"), "coming online"], ...[...lanes.kinds.values()].map((kind) => [kind, kind.name]),
      [block("active"), "thread active"], [block("parked"), "thread parked"]];
    $("legend").replaceChildren(...entries.map(([{ color, path, stroke }, name]) => {
      const entry = document.createElement("span"), svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      const shape = document.createElementNS("http://www.w3.org/2000/svg", "path");
      svg.setAttribute("viewBox", "-8 -6 16 12");
      svg.setAttribute("aria-hidden", "true");
      shape.setAttribute("d", path);
      shape.style.stroke = stroke ? `var(--${color})` : "none";
      shape.style.fill = stroke ? "none" : `var(--${color})`;
      shape.style.strokeWidth = stroke;
      svg.append(shape);
      entry.append(svg, name);
      return entry;
    }));
  }

  // --- what the user does ---

  $("load").onclick = () => act({ do: state.loaded ? "unload" : "load" });
  $("wake-all").onclick = () => act({ do: "wake" });
  $("period").onchange = () => act({ do: "period", us: Number($("period").value) });
  $("begin-tour").onclick = () => act({ do: "tour", lesson: 1 });
  $("tour-lesson").onchange = () => act({ do: "tour", lesson: Number($("tour-lesson").value) });
  $("tour-do").onclick = () => act({ do: "tour-do" });
  $("tour-next").onclick = () => act({ do: "tour-next" });
  $("tour-end").onclick = () => act({ do: "tour-end" });
  $("end").onclick = () => $("ending").showModal();
  $("ending").onclose = () => { if ($("ending").returnValue === "end") act({ do: "end" }); };
  $("fail").onclick = () => act({ do: "fail-next", cpu: chosen.id });
  $("copy").onclick = async () => {
    const commands = state.log.flatMap((entry) => entry.Command ?? []);
    await navigator.clipboard.writeText(commands.map((line) => line + "\n").join(""));
    sentence(`${commands.length} commands are on the clipboard.`);
  };
  $("perfetto").onclick = async () => {
    // At once: a browser opens no window later than the click.
    const other = window.open(PERFETTO);
    if (!other) return sentence("The browser has blocked the window of ui.perfetto.dev. Allow popups for this page.");
    sentence("Sends the session so far to Perfetto.");
    try {
      const answer = await fetch("report/pftrace.gz");
      if (!answer.ok) throw new Error(await answer.text());
      const buffer = await answer.arrayBuffer();
      await ready(other);
      other.postMessage({ perfetto: { buffer, title: "rust_smpboot: live session", fileName: "play.pftrace.gz" } }, PERFETTO);
      sentence("Perfetto has the session so far.");
    } catch (error) {
      sentence(`Perfetto has no trace: ${error.message}`);
    }
  };
  /** Asks Perfetto until it answers that it listens. */
  function ready(other) {
    return new Promise((done, failed) => {
      const ask = setInterval(() => other.closed ? stop(failed, new Error("its window was closed")) : other.postMessage("PING", PERFETTO), 100);
      const late = setTimeout(() => stop(failed, new Error("ui.perfetto.dev does not answer within 30 s")), 30000);
      const answer = ({ origin, source, data }) => { if (origin === PERFETTO && source === other && data === "PONG") stop(done); };
      const stop = (how, what) => { clearInterval(ask); clearTimeout(late); removeEventListener("message", answer); how(what); };
      addEventListener("message", answer);
    });
  }

  // --- the picture ---

  let colors = Lanes.colors(document.documentElement), paused = null, frames = 0;
  const axis = $("axis");

  /** The end of the picture, in ns of the session's clock. */
  function end() {
    if (paused !== null) return paused - (1 - $("back-by").value / 1000) * Math.max(paused - first(), 0);
    const now = ended() || !open ? state.now : clock() + ahead - BEHIND * 1e6;
    return motion.matches ? Math.floor(now / 1e9) * 1e9 : now;
  }
  const first = () => Math.min(...cpuList().map(({ lane }) => lane.events[0]?.time ?? state.now));
  $("pause").onclick = () => {
    paused = paused === null ? end() : null;
    $("pause").setAttribute("aria-pressed", paused !== null);
    $("back").hidden = paused === null;
    $("back-by").value = 1000;
    drawn = "";
  };
  $("back-by").oninput = () => drawn = "";
  $("span").onchange = () => { cpuList().forEach(row); drawn = ""; };
  function fold(cpu, folded) {
    cpu.lane.folded = folded;
    cpu.row.classList.toggle("folded", folded);
    drawn = "";
  }
  const compact = (folded) => cpuList().forEach((cpu) => fold(cpu, folded));
  $("compact").onchange = () => compact($("compact").checked);

  function context(canvas, width, height) {
    const scale = devicePixelRatio;
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
    }
    const g = canvas.getContext("2d");
    g.setTransform(scale, 0, 0, scale, 0, 0);
    return g;
  }
  /** What was drawn last: the same is not drawn again. */
  let drawn = "", last = 0;
  function frame(time) {
    requestAnimationFrame(frame);
    // At most 30 frames a second.
    if (!lanes || time - last < 30) return;
    const to = end(), from = to - $("span").value * 1e9;
    const what = `${Math.round(to / 1e6)} ${innerWidth}`;
    if (what === drawn) return;
    last = time;
    drawn = what;
    if (paused !== null) text($("back-text"), `${((state.now - to) / 1e9).toFixed(1)} s ago`);
    const width = axis.clientWidth;
    lanes.draw(context(axis, width, Lanes.AXIS), { cpus: [] }, from, to, { width, colors });
    for (const cpu of cpuList()) {
      if (!cpu.seen) continue;
      const width = cpu.canvas.clientWidth, height = cpu.canvas.clientHeight;
      const g = context(cpu.canvas, width, height);
      // The head is on a canvas of its own.
      g.translate(0, -Lanes.HEAD);
      const { hits } = lanes.draw(g, { cpus: [cpu.lane] }, from, to, { width, colors });
      cpu.hits = hits;
    }
    frames++;
  }
  function hover(cpu, event) {
    const box = cpu.canvas.getBoundingClientRect();
    lanes.hits = cpu.hits;
    const found = lanes.find(event.clientX - box.left, event.clientY - box.top + Lanes.HEAD);
    $("tip").hidden = !found;
    if (!found) return;
    const [title, lines] = lanes.describe(found);
    const head = document.createElement("b");
    head.textContent = title;
    $("tip").replaceChildren(head, ...lines.map((line) => Object.assign(document.createElement("div"), { textContent: line })));
    const { offsetWidth: w, offsetHeight: h } = $("tip");
    $("tip").style.left = Math.max(8, Math.min(event.clientX + 14, innerWidth - w - 8)) + "px";
    $("tip").style.top = (event.clientY + 18 + h > innerHeight ? event.clientY - h - 12 : event.clientY + 18) + "px";
  }
  const dress = () => { colors = Lanes.colors(document.documentElement); drawn = ""; };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", dress);
  matchMedia("(forced-colors: active)").addEventListener("change", dress);

  connect();
  requestAnimationFrame(frame);

  // For tests and for the browser's console.
  window.live = { state, get frames() { return frames; }, get updates() { return updates; }, get end() { return end(); } };
})();
