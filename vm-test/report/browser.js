// SPDX-License-Identifier: GPL-2.0
//
// Drives Chromium, for the checks of pages.
"use strict";
const fs = require("node:fs");
const { spawn } = require("node:child_process");
const assert = require("node:assert/strict");

/** Chromium, driven by its DevTools protocol: messages end with a NUL; descriptors 3 and 4. */
class Browser {
  constructor() {
    const executable = process.env.CHROMIUM || "/usr/bin/chromium";
    if (!fs.existsSync(executable)) {
      console.error(`check-in-browser: no browser at ${executable} (apt-get install chromium, or set CHROMIUM=)`);
      process.exit(2);
    }
    this.pending = new Map();
    this.pages = new Map();
    this.next = 1;
    this.process = spawn(executable, [
      "--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic",
      "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    ], { stdio: ["ignore", "ignore", "pipe", "pipe", "pipe"] });
    let words = "";
    this.process.stderr.on("data", (data) => words += data);
    this.process.on("exit", (code, signal) => this.fail(new Error(`Chromium ended (${signal || code}): ${words.slice(-2000)}`)));
    this.process.on("error", (error) => this.fail(error));
    let rest = "";
    this.process.stdio[4].setEncoding("utf8").on("data", (data) => {
      const messages = (rest + data).split("\0");
      rest = messages.pop();
      for (const message of messages) this.take(JSON.parse(message));
    });
  }

  take({ id, result, error, method, params, sessionId }) {
    if (!id) return this.pages.get(sessionId)?.hear(method, params);
    const { resolve, reject } = this.pending.get(id);
    this.pending.delete(id);
    if (error) reject(new Error(error.message));
    else resolve(result);
  }

  fail(error) {
    for (const { reject } of this.pending.values()) reject(error);
    this.pending.clear();
  }

  send(method, params = {}, sessionId = undefined) {
    const id = this.next++;
    this.process.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    return new Promise((resolve, reject) => this.pending.set(id, { resolve, reject }));
  }

  /** A page of its own profile, without a network except for addresses with this begin. */
  async page(colorScheme, allowed = null) {
    const { browserContextId } = await this.send("Target.createBrowserContext");
    const { targetId } = await this.send("Target.createTarget", { url: "about:blank", browserContextId });
    const { sessionId } = await this.send("Target.attachToTarget", { targetId, flatten: true });
    const page = new Page((method, params) => this.send(method, params, sessionId), allowed);
    this.pages.set(sessionId, page);
    for (const domain of ["Page", "Runtime", "Log", "Network"]) await page.send(`${domain}.enable`);
    if (!allowed) await page.send("Network.emulateNetworkConditions", { offline: true, latency: 0, downloadThroughput: -1, uploadThroughput: -1 });
    await page.send("Emulation.setDeviceMetricsOverride", { width: 1280, height: 900, deviceScaleFactor: 1, mobile: false });
    await page.send("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: colorScheme }] });
    page.browser = this;
    page.close = () => this.send("Target.disposeBrowserContext", { browserContextId });
    return page;
  }

  async close() {
    this.process.removeAllListeners("exit");
    const exit = new Promise((done) => this.process.on("exit", done));
    this.send("Browser.close").catch(() => {});
    await exit;
  }
}

class Page {
  constructor(send, allowed) {
    this.send = send;
    this.allowed = allowed;
    this.problems = [];
    this.modifiers = 0;
    this.buttons = 0;
    this.at = { x: 0, y: 0 };
  }

  hear(method, params) {
    const bad = (level) => ["error", "warning"].includes(level);
    if (method === "Page.loadEventFired") this.loaded?.();
    if (method === "Runtime.exceptionThrown") this.problems.push(params.exceptionDetails.exception?.description);
    if (method === "Runtime.consoleAPICalled" && bad(params.type)) this.problems.push(JSON.stringify(params.args));
    if (method === "Log.entryAdded" && bad(params.entry.level)) this.problems.push(params.entry.text);
    if (method === "Network.requestWillBeSent") {
      const { url } = params.request;
      if (!/^(file|data):/.test(url) && !(this.allowed && url.startsWith(this.allowed))) this.problems.push(`requests ${url}`);
    }
  }

  async goto(url) {
    const loaded = new Promise((done) => this.loaded = done);
    const { errorText } = await this.send("Page.navigate", { url });
    assert.ok(!errorText, `${url}: ${errorText}`);
    await loaded;
  }

  /** What the function gives in the page. */
  async evaluate(call, argument) {
    const expression = `(${call})(${JSON.stringify(argument)})`;
    const { result, exceptionDetails: error } =
      await this.send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
    assert.ok(!error, error && (error.exception?.description || error.text));
    return result.value;
  }

  /** The box of the first element that matches, scrolled into view; null if there is none. */
  box(selector, text = "") {
    return this.evaluate(([selector, text]) => {
      const all = [...document.querySelectorAll(selector)];
      const element = all.find((element) => element.textContent.includes(text));
      if (!element) return null;
      element.scrollIntoView({ block: "nearest", inline: "nearest" });
      const { x, y, width, height } = element.getBoundingClientRect();
      return { x, y, width, height, visible: width > 0 && height > 0, text: element.innerText };
    }, [selector, text]);
  }

  mouse(type, more = {}) {
    return this.send("Input.dispatchMouseEvent", { type, ...this.at, modifiers: this.modifiers, buttons: this.buttons, ...more });
  }

  move(x, y) {
    this.at = { x, y };
    return this.mouse("mouseMoved", { button: this.buttons ? "left" : "none" });
  }

  down() {
    this.buttons = 1;
    return this.mouse("mousePressed", { button: "left", clickCount: 1 });
  }

  up() {
    this.buttons = 0;
    return this.mouse("mouseReleased", { button: "left", clickCount: 1 });
  }

  async drag(to) {
    const from = this.at;
    await this.down();
    for (const part of [1 / 3, 2 / 3, 1]) await this.move(from.x + (to.x - from.x) * part, from.y + (to.y - from.y) * part);
    await this.up();
  }

  async press(key) {
    const text = key.length === 1 ? key : undefined;
    await this.send("Input.dispatchKeyEvent", { type: "keyDown", key, text });
    await this.send("Input.dispatchKeyEvent", { type: "keyUp", key });
  }
}

module.exports = { Browser, CTRL: 2, SHIFT: 8 };
