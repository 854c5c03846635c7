// What the status page must do in a browser. Ends with 1 at the first thing that is wrong.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Browser, startDriver } from "./driver.mjs";

const [fetcherPath, shotsFolder] = process.argv.slice(2);
const WAIT_MAX_MS = 30_000;
const WHOLE_MAX_MS = 240_000;
const OPEN_MAX = 10;
const CONTRAST_MIN = 4.5; // https://www.w3.org/TR/WCAG22/#contrast-minimum
const SIZES = { desktop: [1280, 900], phone: [390, 844] };

const running = new Set();
let checks = 0;
const ok = (holds, what) => {
  assert.ok(holds, what);
  checks += 1;
};

async function until(what, holds) {
  const begun = Date.now();
  for (;;) {
    const found = await holds();
    if (found) return found;
    if (Date.now() - begun > WAIT_MAX_MS) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** The APIs and the listener: `/ok/…` brings records, `/bad/…` refuses, `/odd/…` ignores the start date. */
async function startScene() {
  const scene = { isMended: false, serial: 0 };
  const events = new Map();
  const server = createServer((asked, answer) => {
    asked.resume();
    const { pathname, searchParams } = new URL(asked.url, "http://x");
    if (pathname.startsWith("/bad/") && !scene.isMended) {
      answer.writeHead(401).end('{"error":"unauthorized","message":"these credentials have expired, or were never valid for this tenant"}');
    } else if (pathname.startsWith("/bad/") || pathname.startsWith("/ok/")) {
      const known = events.get(pathname) ?? [];
      events.set(pathname, known);
      const date = new Date().toISOString();
      for (let more = 1 + (scene.serial % 9); more > 0; more -= 1) known.push({ id: scene.serial++, date });
      const since = Date.parse(searchParams.get("since"));
      const data = known.filter((event) => Date.parse(event.date) >= since);
      answer.end(JSON.stringify({ data, next: null }));
    } else if (pathname.startsWith("/odd/")) {
      const date = (days) => new Date(Date.now() - days * 86_400_000).toISOString();
      answer.end(JSON.stringify({ data: [{ id: scene.serial++, date: date(0) }, { id: 2, date: date(400) }], next: null }));
    } else {
      answer.end();
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  scene.url = `http://127.0.0.1:${server.address().port}`;
  scene.stop = () => server.close();
  return scene;
}

/** A fetcher with so many APIs of each kind. */
async function startFetcher(scene, kinds, interval) {
  const folder = mkdtempSync(join(tmpdir(), "browser-"));
  const entry = (kind, at) =>
    `- {type: general, name: '${kind} ${at}: sign-ins of tenant ${at * 7919}', credentials: {id: i, key: k}, start_date_name: since,` +
    ` settings: {time_interval: ${interval}, days_back_fetch: 5}, http_request: {url: '${scene.url}/${kind}/${at}'},` +
    ` json_paths: {data: data, data_date: date, next_url: next, id: id}}`;
  const entries = Object.entries(kinds).flatMap(([kind, count]) => Array.from({ length: count }, (_, at) => entry(kind, at)));
  const head = `logzio: {url: '${scene.url}', token: t}\nstatus: {listen: '127.0.0.1:0'}\nauth_apis:\n`;
  writeFileSync(join(folder, "config.yaml"), `${head}${entries.join("\n")}\n`);
  const fetcher = spawn(fetcherPath, ["--config", join(folder, "config.yaml")], { stdio: ["ignore", "ignore", "pipe"] });
  let log = "";
  fetcher.stderr.on("data", (text) => (log += text));
  const url = await until("the status page", () => /the status page is at (\S+)/.exec(log)?.[1]);
  const stop = () =>
    new Promise((resolve) => {
      fetcher.on("exit", () => {
        rmSync(folder, { recursive: true });
        resolve();
      });
      fetcher.kill("SIGTERM");
    });
  running.add(fetcher);
  return { url, stop };
}

/** Whatever is too faint to read, as `text: contrast`. Runs in the page. */
function tooFaint(least) {
  const parse = (colour) => colour.match(/[\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const part = (value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const paper = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const faint = [];
  for (const element of document.querySelectorAll("body *")) {
    const text = [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
    if (!text.length || element.closest("svg, script, noscript") || !element.checkVisibility()) continue;
    const [ink, ground] = [light(parse(getComputedStyle(element).color)), light(paper(element))];
    const contrast = (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
    if (contrast < least) faint.push(`${element.textContent.trim().slice(0, 40)}: ${contrast.toFixed(2)}`);
  }
  return faint;
}

/** What must hold of every page, at every size and in both schemes; with a screenshot of each. */
async function checkLooks(browser, name) {
  for (const [size, [width, height]] of Object.entries(SIZES)) {
    for (const scheme of ["light", "dark"]) {
      await browser.look(width, height, scheme);
      const where = `${name}, ${size}, ${scheme}`;
      const wide = await browser.run(() => document.documentElement.scrollWidth - window.innerWidth);
      ok(wide <= 0, `${where}: ${wide} pixels stand out to the right`);
      const faint = await browser.run(tooFaint, CONTRAST_MIN);
      ok(faint.length === 0, `${where}: too faint: ${faint.slice(0, 5).join("; ")}`);
      const isDark = await browser.run(() => getComputedStyle(document.body).backgroundColor);
      ok(isDark === (scheme === "dark" ? "rgb(18, 22, 28)" : "rgb(246, 247, 249)"), `${where}: ${isDark}`);
      const small = await browser.run(() =>
        [...document.querySelectorAll("summary")].filter((row) => row.getBoundingClientRect().height < 32).length,
      );
      ok(small === 0, `${where}: ${small} rows are too low for a finger`);
      writeFileSync(join(shotsFolder, `${name}-${size}-${scheme}.png`), await browser.screenshot());
    }
  }
  const complaints = await browser.complaints();
  ok(complaints.length === 0, `${name}: the browser complains: ${JSON.stringify(complaints)}`);
  const strangers = await browser.run(() =>
    performance.getEntriesByType("resource").map((entry) => entry.name).filter((url) => !url.startsWith(location.origin) && !url.startsWith("data:")),
  );
  ok(strangers.length === 0, `${name}: loads ${strangers}`);
}

const rows = (browser) =>
  browser.run(() => [...document.querySelectorAll("details")].map((api) => ({ mood: api.classList[1], isOpen: api.open })));

async function checkCase(browser, scene, name, kinds, interval) {
  scene.isMended = false;
  const fetcher = await startFetcher(scene, kinds, interval);
  const total = Object.values(kinds).reduce((sum, count) => sum + count, 0);
  await browser.look(...SIZES.desktop, "light");
  await browser.go(fetcher.url);
  await browser.run(() => (window.isTheSamePage = true));
  const settled = (rows) => rows.length === total && rows.every((row) => row.mood !== "new" && row.mood !== "troubled");
  const found = await until(`${name} to settle`, async () => {
    const found = await rows(browser);
    return settled(found) && found;
  });
  const count = (mood) => found.filter((row) => row.mood === mood).length;
  ok(count("well") === (kinds.ok ?? 0), `${name}: ${count("well")} are well`);
  ok(count("failing") === (kinds.bad ?? 0) && count("odd") === (kinds.odd ?? 0), `${name}: ${JSON.stringify(found.slice(0, 5))}`);
  ok(await browser.run(() => window.isTheSamePage === true), `${name}: it settled without the script`);
  const firstWell = found.findIndex((row) => row.mood !== "failing");
  ok(found.slice(firstWell).every((row) => row.mood !== "failing" && !row.isOpen), `${name}: trouble isn't first`);
  const isOpen = (row, at) => row.mood === "failing" && at < OPEN_MAX;
  ok(found.every((row, at) => row.isOpen === isOpen(row, at)), `${name}: what fails first is open, and nothing else`);
  await checkLooks(browser, name);
  return fetcher;
}

/** What the reader opened stays open while the page renews itself; what is mended turns well; an end is noticed. */
async function checkRenewal(browser, scene, fetcher) {
  await browser.look(...SIZES.desktop, "light");
  await browser.run(() => document.querySelector("details.well summary").click());
  await browser.run(() => document.querySelector("details.failing summary").click());
  const opened = await browser.run(() => document.querySelector("details.well").dataset.api);
  const closed = await browser.run(() => document.querySelector("details.failing").dataset.api);
  const before = await browser.run(() => document.querySelector("footer time").dateTime);
  await until("a renewal", async () => (await browser.run(() => document.querySelector("footer time").dateTime)) !== before);
  const isOpen = (name) => browser.run((name) => [...document.querySelectorAll("details")].find((api) => api.dataset.api === name).open, name);
  ok(await isOpen(opened), "what was opened is closed by a renewal");
  ok(!(await isOpen(closed)), "what was closed is opened by a renewal");
  await browser.run(() => document.querySelector("details.well summary").scrollIntoView());
  writeFileSync(join(shotsFolder, "opened-desktop-light.png"), await browser.screenshot());
  await browser.look(...SIZES.phone, "dark");
  writeFileSync(join(shotsFolder, "opened-phone-dark.png"), await browser.screenshot());
  scene.isMended = true;
  await until("an API that is mended", async () => (await rows(browser)).every((row) => row.mood !== "failing"));
  ok(!(await browser.run(() => document.title)).includes("failing"), "the title still says failing");
  await fetcher.stop();
  await until("the word that nobody answers", () => browser.run(() => !document.getElementById("gone").hidden));
  ok(await browser.run(() => window.isTheSamePage === true), "the page was loaded anew");
  writeFileSync(join(shotsFolder, "gone-phone-dark.png"), await browser.screenshot());
}

// What a fetcher or a browser that hangs must not make of it.
setTimeout(() => {
  console.error("the whole takes too long");
  process.exit(1);
}, WHOLE_MAX_MS).unref();

mkdirSync(shotsFolder, { recursive: true });
const driver = await startDriver();
const browser = await Browser.open(driver);
const scene = await startScene();
try {
  await (await checkCase(browser, scene, "3-healthy", { ok: 3 }, "0.5s")).stop();
  await browser.complaints();
  await (await checkCase(browser, scene, "300-healthy", { ok: 300 }, "2s")).stop();
  await browser.complaints();
  await (await checkCase(browser, scene, "300-failing", { ok: 260, bad: 30, odd: 10 }, "2s")).stop();
  await browser.complaints();
  const fetcher = await checkCase(browser, scene, "3-failing", { ok: 1, bad: 1, odd: 1 }, "0.5s");
  writeFileSync(join(shotsFolder, "metrics.txt"), await (await fetch(`${fetcher.url}metrics`)).text());
  await checkRenewal(browser, scene, fetcher);
  console.log(`${checks} checks of the status page in Chromium passed; screenshots are in ${shotsFolder}`);
} finally {
  running.forEach((fetcher) => fetcher.kill("SIGKILL"));
  await browser.close();
  driver.stop();
  scene.stop();
}
