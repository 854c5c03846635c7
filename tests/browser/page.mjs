// What the status page must do in a browser. Ends with 1 at the first thing that is wrong.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Browser, startDriver } from "./driver.mjs";
import { DESKTOP, SIZES, checkAxe, checkLooks, counts, ok } from "./looks.mjs";
import { KINDS, metricsOf, startFetcher, startScene, until } from "./scene.mjs";

const [fetcherPath, shots] = process.argv.slice(2);
const WHOLE_MAX_MS = 400_000;
const PAGE_BYTES_MAX = 150_000;
const ELEMENTS_MAX = 3_000;
const PICTURE_BYTES_MAX = 150 * 1024;

const running = new Set();
const shoot = async (browser, name) => writeFileSync(join(shots, `${name}.png`), await browser.screenshot());
const asOf = (browser) => browser.run(() => document.querySelector("#asof time").dateTime);
const names = (browser) => browser.run(() => [...document.querySelectorAll("#apis tbody th")].map((cell) => cell.textContent));

/** Ends a fetcher that no page asks any more. */
async function leave(browser, fetcher) {
  await browser.go("about:blank");
  await fetcher.stop();
  await browser.complaints();
}

async function nextRenewal(browser) {
  const before = await asOf(browser);
  await until("a renewal", async () => (await asOf(browser)) !== before);
}

/** Opens the page, and waits until each API is in the state that it is to end up in. */
async function openSettled(browser, scene, kinds, interval) {
  const fetcher = await startFetcher(fetcherPath, scene, kinds, interval, running);
  const wanted = {};
  for (const [kind, count] of Object.entries(kinds)) wanted[KINDS[kind].state] = (wanted[KINDS[kind].state] ?? 0) + count;
  let status;
  const isSettled = async () => {
    status = await (await fetch(`${fetcher.url}status.json`)).json();
    return Object.entries(wanted).every(([state, count]) => status.counts[state] === count);
  };
  await until(`states ${JSON.stringify(wanted)}`, isSettled).catch((cause) => {
    throw new Error(`${cause.message}, got ${JSON.stringify(status.counts)}`);
  });
  await browser.look(...DESKTOP, "light");
  await browser.go(fetcher.url);
  await browser.run(() => (window.isTheSamePage = true));
  return { fetcher, wanted, status };
}

async function checkCase(browser, scene, name, kinds, interval) {
  const { fetcher, wanted, status } = await openSettled(browser, scene, kinds, interval);
  const total = Object.values(kinds).reduce((sum, count) => sum + count, 0);
  const html = await (await fetch(fetcher.url)).text();
  const elements = await browser.run(() => document.querySelectorAll("*").length);
  console.log(`${name}: ${Buffer.byteLength(html)} bytes, ${elements} elements`);
  ok(Buffer.byteLength(html) < PAGE_BYTES_MAX, `${name}: ${Buffer.byteLength(html)} bytes`);
  ok(elements < ELEMENTS_MAX, `${name}: ${elements} elements`);
  ok(status.apis.length === total && (await names(browser)).length === total, `${name}: not all APIs are shown`);
  const states = await browser.run(() => [...document.querySelectorAll("#apis tbody tr")].map((row) => row.className));
  const order = ["failing", "retrying", "warning", "waiting", "starting", "ok"];
  ok(states.every((state, at) => at === 0 || order.indexOf(states[at - 1]) <= order.indexOf(state)), `${name}: what is wrong isn't first`);
  const tile = (state) => browser.run((state) => Number(document.querySelector(`#tiles .${state} b`).textContent), state);
  for (const [state, count] of Object.entries(wanted)) ok((await tile(state)) === count, `${name}: tile ${state}`);
  if (kinds.bad) {
    const cause = `401 from login.microsoftonline.com: ${kinds.bad} API${kinds.bad > 1 ? "s" : ""}`;
    ok((await browser.run(() => document.getElementById("causes").textContent)).includes(cause), `${name}: no “${cause}”`);
  }
  await checkLooks(browser, shots, name, fetcher.url);
  return fetcher;
}

/** Tiles filter, headings sort, `/` searches; the URL has it all, and the page of that URL looks the same. */
async function checkChoices(browser, fetcher) {
  await browser.look(...DESKTOP, "light");
  await browser.go(fetcher.url);
  await browser.run(() => (window.isTheSamePage = true));
  const search = () => browser.run(() => location.search);
  await browser.run(() => document.querySelector("#tiles .failing").click());
  ok((await search()) === "?state=failing", "a tile isn't in the URL");
  await until("failing APIs alone", () => browser.run(() => [...document.querySelectorAll("#apis tbody tr")].every((row) => row.className === "failing")));
  await browser.keys("/");
  ok(await browser.run(() => document.activeElement.id === "q"), "`/` doesn't lead to the search");
  await browser.keys("audit");
  await until("the search in the URL", async () => (await search()) === "?state=failing&q=audit");
  await until("what is sought", async () => (await names(browser)).every((name) => name.includes("audit")));
  const found = await names(browser);
  ok(found.length > 0, "nothing is found");
  await nextRenewal(browser);
  ok(await browser.run(() => document.activeElement.id === "q" && document.activeElement.value === "audit"), "the field was replaced");
  await browser.go(`${fetcher.url}${await search()}`);
  ok(JSON.stringify(await names(browser)) === JSON.stringify(found), "the URL shows something else");
  await browser.run(() => (window.isTheSamePage = true));
  await browser.run(() => document.getElementById("q").focus());
  await browser.keys("\uE00C"); // Escape
  await until("an empty search", async () => (await search()) === "?state=failing");
  await browser.run(() => document.querySelector("#tiles .all").click());
  await browser.run(() => document.querySelector("#apis th.name a").click());
  await until("names in order", async () => {
    const shown = await names(browser);
    return shown.length > found.length && shown.every((name, at) => at === 0 || shown[at - 1] <= name);
  });
  await browser.back();
  await browser.back();
  await until("the choice before", async () => (await names(browser)).length === 28 && (await search()) === "?state=failing");
  ok(await browser.run(() => window.isTheSamePage === true), "a choice loads the page anew");
}

/** What is selected stays selected, rows stay under the pointer, and what differs is renewed. */
async function checkRenewal(browser, fetcher) {
  await browser.look(...DESKTOP, "light");
  await browser.go(fetcher.url);
  await browser.run(() => {
    window.first = document.querySelector("#apis tbody tr");
    getSelection().selectAllChildren(window.first.querySelector("th"));
  });
  const selected = await browser.run(() => getSelection().toString().trim());
  await nextRenewal(browser);
  ok((await browser.run(() => getSelection().toString().trim())) === selected && selected, "the selection is gone");
  ok((await browser.run(() => document.getElementById("gone").textContent)).includes("paused"), "nothing says that the table is paused");
  await browser.run(() => getSelection().removeAllRanges());
  await nextRenewal(browser);
  ok(await browser.run(() => document.querySelector("#apis tbody tr") === window.first), "a row was replaced that has not changed");
  ok((await browser.run(() => document.getElementById("gone").textContent)) === "", "the table is paused without a selection");
  await browser.run(() => document.querySelector("#apis tbody .ok a").focus());
  await nextRenewal(browser);
  ok(await browser.run(() => document.activeElement.matches("#apis tbody a")), "the focus is gone");
}

/** What is mended turns OK where its row stands, and the row moves when the pointer has gone. */
async function checkPointer(browser, scene, fetcher) {
  await browser.look(...DESKTOP, "light");
  await browser.go(fetcher.url);
  const [x, y] = await browser.run(() => {
    const { left, top } = document.querySelector("#apis tbody tr").getBoundingClientRect();
    return [Math.round(left + 200), Math.round(top + 100)];
  });
  await browser.point(x, y);
  const before = JSON.stringify(await names(browser));
  scene.isMended = true;
  await until("APIs that are mended", () => browser.run(() => document.querySelectorAll("#apis .failing").length === 0));
  ok(JSON.stringify(await names(browser)) === before, "rows moved under the pointer");
  await browser.point(2, 2);
  await until("the order of states", async () => JSON.stringify(await names(browser)) !== before);
  scene.isMended = false;
}

/** The page of an API: the error with a copy button, values on hover. */
async function checkApiPages(browser, fetcher) {
  for (const [kind, name] of [["failing", "api-failing"], ["ok", "api-ok"], ["waiting", "api-waiting"]]) {
    await browser.look(...DESKTOP, "light");
    await browser.go(`${fetcher.url}?state=${kind}`);
    const url = await browser.run(() => document.querySelector("#apis tbody a").href);
    await checkLooks(browser, shots, name, url);
  }
  await browser.look(...DESKTOP, "light");
  await browser.go(`${fetcher.url}?q=%22q%22`);
  await browser.run(() => document.querySelector("#apis tbody a").click());
  await until("the page of a strange name", () => browser.run((name) => document.querySelector("h1 span")?.textContent === name, KINDS.named.name()));
  await browser.go(`${fetcher.url}?state=failing`);
  await browser.run(() => document.querySelector("#apis tbody a").click());
  await until("a copy button", () => browser.run(() => document.querySelector("button[data-copy]")?.hidden === false));
  await browser.run(() => document.querySelector("button").click());
  await until("what was copied", () => browser.run(() => document.querySelector("button").textContent === "Copied"));
  ok(/error: .*40[13]/.test(await browser.run(() => document.querySelector("button").dataset.copy)), "the error isn't copied");
  await browser.run(() => document.querySelector(".plot g:last-of-type").dispatchEvent(new Event("mouseover", { bubbles: true })));
  ok(/UTC: \d+ record/.test(await browser.run(() => document.querySelector("output").textContent)), "no value on hover");
  await nextRenewal(browser);
}

/** A picture for people who look for such a program: some APIs begin to fail while it runs. */
async function picture(browser, scene, path) {
  scene.isMended = true;
  const kinds = { ok: 4, bad: 2, forbidden: 1, retrying: 1, odd: 1, large: 1, limited: 1, starting: 1 };
  const fetcher = await startFetcher(fetcherPath, scene, kinds, "0.5s", running);
  const status = async () => (await fetch(`${fetcher.url}status.json`)).json();
  const ended = async () => (await status()).apis.filter((api) => api.totals.iterations >= 25).length;
  await until("many iterations", async () => (await ended()) >= 8);
  scene.isMended = false;
  await until("failures", async () => (await status()).apis.filter((api) => api.failures_in_a_row >= 9).length === 3);
  await browser.look(1280, 720, "light");
  await browser.go(fetcher.url);
  const png = await browser.screenshot();
  ok(png.length <= PICTURE_BYTES_MAX, `the picture has ${png.length} bytes`);
  writeFileSync(path, png);
  await leave(browser, fetcher);
}

/** What is mended turns OK while the page is open, and a fetcher that is gone is noticed. */
async function checkEnd(browser, scene, fetcher) {
  await browser.look(...SIZES.phone, "dark");
  await browser.go(fetcher.url);
  await browser.run(() => (window.isTheSamePage = true));
  scene.isMended = true;
  await until("an API that is mended", () => browser.run(() => document.querySelectorAll("#apis .failing").length === 0));
  ok(!(await browser.run(() => document.title)).includes("failing"), "the title still says failing");
  await fetcher.stop();
  const said = () => browser.run(() => document.getElementById("gone").textContent);
  await until("the word that nobody answers", async () => /No answer since \d\d:\d\d:\d\d UTC/.test(await said()));
  ok(await browser.run(() => getComputedStyle(document.querySelector("#tiles b")).color === getComputedStyle(document.querySelector("footer p")).color), "old figures look fresh");
  ok(await browser.run(() => window.isTheSamePage === true), "the page was loaded anew");
  await shoot(browser, "gone-phone-dark");
  await checkAxe(browser, "gone");
  await browser.look(...DESKTOP, "light");
  await shoot(browser, "gone-desktop-light");
}

// What a fetcher or a browser that hangs must not make of it.
setTimeout(() => {
  console.error("the whole takes too long");
  process.exit(1);
}, WHOLE_MAX_MS).unref();

mkdirSync(shots, { recursive: true });
const driver = await startDriver();
const browser = await Browser.open(driver);
const scene = await startScene();
try {
  await leave(browser, await checkCase(browser, scene, "3-ok", { ok: 3 }, "0.5s"));
  const mixed = { ok: 17, named: 1, bad: 4, forbidden: 2, retrying: 1, odd: 2, large: 1, limited: 1, starting: 1 };
  const some = await checkCase(browser, scene, "30-mixed", mixed, "0.7s");
  await checkApiPages(browser, some);
  await checkPointer(browser, scene, some);
  await leave(browser, some);
  const many = await checkCase(browser, scene, "300-mixed", { ok: 260, bad: 20, forbidden: 8, odd: 8, limited: 4 }, "2s");
  await checkChoices(browser, many);
  await checkRenewal(browser, many);
  await leave(browser, many);
  await picture(browser, scene, join(shots, "status-page.png"));
  const few = await checkCase(browser, scene, "3-mixed", { ok: 1, bad: 1, odd: 1 }, "0.5s");
  writeFileSync(join(shots, "metrics.txt"), await metricsOf(fetcherPath, scene, running));
  await checkEnd(browser, scene, few);
  console.log(`${counts.checks} checks of the status page in Chromium passed, axe-core finds ${counts.axe}; screenshots are in ${shots}`);
} finally {
  running.forEach((fetcher) => fetcher.kill("SIGKILL"));
  await browser.close();
  driver.stop();
  scene.stop();
}
