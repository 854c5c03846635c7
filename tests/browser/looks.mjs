// What must hold of every page, at every width and in both colour schemes.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const CONTRAST_MIN = 4.5; // https://www.w3.org/TR/WCAG22/#contrast-minimum
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
export const SIZES = { wide: [1920, 1080], phone: [390, 844] };
export const DESKTOP = [1280, 900];

export const counts = { checks: 0, axe: 0 };
export function ok(holds, what) {
  assert.ok(holds, what);
  counts.checks += 1;
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

/** What axe-core finds; https://github.com/dequelabs/axe-core */
export async function checkAxe(browser, where) {
  await browser.run((source) => void (window.axe ?? (0, eval)(source)), AXE).catch(() => browser.tool("Runtime.evaluate", { expression: AXE }));
  const found = await browser.runLater((done) =>
    window.axe.run(document, { resultTypes: ["violations"] }).then((results) =>
      done(results.violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((node) => node.html.slice(0, 150)).join(" ")}`)),
    ),
  );
  counts.axe += found.length;
  ok(found.length === 0, `${where}: axe-core finds ${found.join("\n")}`);
}

async function checkLook(browser, where, scheme) {
  const wide = await browser.run(() => document.documentElement.scrollWidth - window.innerWidth);
  ok(wide <= 0, `${where}: ${wide} pixels stand out to the right`);
  const faint = await browser.run(tooFaint, CONTRAST_MIN);
  ok(faint.length === 0, `${where}: too faint: ${faint.slice(0, 5).join("; ")}`);
  const paper = await browser.run(() => getComputedStyle(document.body).backgroundColor);
  ok(paper === (scheme === "dark" ? "rgb(18, 22, 28)" : "rgb(246, 247, 249)"), `${where}: ${paper}`);
  const heights = await browser.run(() => [...document.querySelectorAll("#apis tr")].map((row) => Math.round(row.getBoundingClientRect().height)));
  ok(heights.every((height) => height === 30), `${where}: rows are ${[...new Set(heights)]} pixels high`);
}

/** All of it, with a screenshot of each. */
export async function checkLooks(browser, shots, name, url) {
  for (const [size, [width, height]] of Object.entries(SIZES)) {
    for (const scheme of ["light", "dark"]) {
      await browser.look(width, height, scheme);
      // Tables that were laid out for another width are laid out anew.
      await browser.go(url);
      const where = `${name}, ${size}, ${scheme}`;
      await checkLook(browser, where, scheme);
      writeFileSync(join(shots, `${name}-${size}-${scheme}.png`), await browser.screenshot());
      await checkAxe(browser, where);
    }
  }
  const complaints = await browser.complaints();
  ok(complaints.length === 0, `${name}: the browser complains: ${JSON.stringify(complaints)}`);
  const strangers = await browser.run(() =>
    performance.getEntriesByType("resource").map((entry) => entry.name).filter((url) => !url.startsWith(location.origin) && !url.startsWith("data:")),
  );
  ok(strangers.length === 0, `${name}: loads ${strangers}`);
}
