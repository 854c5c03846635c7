// Keeps the page fresh: asks its own URL every few seconds and changes only what differs. Nothing that is selected or has
// the focus is replaced, and rows stay where they are while the pointer or the focus is among them.
"use strict";

const EVERY_MS = 5000;
const ANSWER_WITHIN_MS = 4000;
const TYPED_MS = 150;
const COPIED_MS = 2000;

const byId = (id) => document.getElementById(id);
let answered = byId("asof").querySelector("time").dateTime;
let newest = 0;

/** Whether a part of the page holds selected text. */
function isSelected(node) {
  const selection = getSelection();
  return selection !== null && !selection.isCollapsed && selection.containsNode(node, true);
}

const isTime = (node) => node.matches("[data-t], time");

/** Makes a part of the page like another, by the least change. */
function patch(old, fresh, mayMove) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeType === Node.TEXT_NODE && fresh.nodeType === Node.TEXT_NODE) {
    if (!isSelected(old)) old.data = fresh.data;
    return;
  }
  if (old.nodeName !== fresh.nodeName) {
    if (!isSelected(old) && !old.contains(document.activeElement)) old.replaceWith(fresh);
    return;
  }
  // What the reader writes or opens, and what this script says, is left alone.
  if (["search", "gone"].includes(old.id) || old.nodeName === "BUTTON" || old.nodeName === "OUTPUT") return patchButton(old, fresh);
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && name !== "open" && !(name === "title" && isTime(old))) old.removeAttribute(name);
  }
  for (const { name, value } of [...fresh.attributes]) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  if (old.nodeName === "TBODY" && old.closest("#apis")) patchRows(old, fresh, mayMove);
  else patchChildren(old, fresh, mayMove);
}

function patchButton(old, fresh) {
  if (fresh.dataset?.copy) old.dataset.copy = fresh.dataset.copy;
}

function patchChildren(old, fresh, mayMove) {
  const [olds, freshs] = [[...old.childNodes], [...fresh.childNodes]];
  freshs.forEach((node, at) => (at < olds.length ? patch(olds[at], node, mayMove) : old.append(node)));
  for (const node of olds.slice(freshs.length)) {
    if (!isSelected(node) && !node.contains(document.activeElement)) node.remove();
  }
}

const keyOf = (row) => row.querySelector("a").getAttribute("href");

function patchRows(body, fresh, mayMove) {
  if (isSelected(body)) return;
  const rows = new Map([...body.rows].map((row) => [keyOf(row), row]));
  const wanted = [...fresh.rows];
  const order = wanted.map((row) => {
    const known = rows.get(keyOf(row));
    rows.delete(keyOf(row));
    if (known) patch(known, row, mayMove);
    return known ?? row;
  });
  if (mayMove || (!body.matches(":hover") && !body.contains(document.activeElement))) {
    for (const row of rows.values()) row.remove();
    order.forEach((row, at) => body.rows[at] !== row && body.insertBefore(row, body.rows[at] ?? null));
  } else {
    // They are no longer told of: their figures are old.
    for (const row of rows.values()) row.classList.add("stale");
    body.append(...order.filter((row) => row.parentNode !== body));
  }
}

/** Asks for the page as it is now. `isAsked`: by the reader, who then expects the rows to move. */
async function renew(isAsked) {
  if (document.hidden && !isAsked) return;
  const turn = ++newest;
  try {
    const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(ANSWER_WITHIN_MS) });
    if (answer.status === 404) return lost(turn, "No such API since");
    if (!answer.ok) throw new Error(answer.statusText);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    // Meanwhile the reader may have asked for something else.
    if (turn !== newest) return;
    prepare(page);
    const body = document.querySelector("#apis tbody");
    const isPaused = body !== null && isSelected(body);
    for (const part of ["header", "main", "footer"]) patch(document.querySelector(part), page.querySelector(part), isAsked);
    document.title = page.title;
    answered = byId("asof").querySelector("time").dateTime;
    document.body.classList.remove("gone");
    say(isPaused ? "The table is paused while text in it is selected." : "");
  } catch {
    lost(turn, "No answer since");
  }
}

/** Says that the figures are old, and of when they are. */
function lost(turn, what) {
  if (turn !== newest) return;
  document.body.classList.add("gone");
  say(`${what} ${answered.slice(11, 19)} UTC. The figures below are from then.`);
}

function say(text) {
  if (byId("gone").textContent !== text) byId("gone").textContent = text;
}

/** What only works with a script is shown by it. */
function prepare(page) {
  for (const hidden of page.querySelectorAll("#search, button[data-copy]")) hidden.hidden = false;
}

/** Goes to another view of the page. */
function go(query, isTyped) {
  const url = query === "?" ? location.pathname : query;
  if (isTyped) history.replaceState(null, "", url);
  else history.pushState(null, "", url);
  renew(true);
}

function queryWith(text) {
  const fields = location.search.slice(1).split("&").filter((field) => field && !field.startsWith("q="));
  if (text) fields.push(`q=${encodeURIComponent(text)}`);
  return `?${fields.join("&")}`;
}

async function copy(button) {
  const text = button.dataset.copy;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without TLS there is no clipboard but this one.
    const field = document.createElement("textarea");
    field.value = text;
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
    button.focus();
  }
  const label = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = label), COPIED_MS);
}

function localTime(date) {
  const seconds = Math.round((Date.now() - date) / 1000);
  const [size, unit] = seconds < 120 ? [1, "second"] : seconds < 7200 ? [60, "minute"] : seconds < 172800 ? [3600, "hour"] : [86400, "day"];
  const past = new Intl.RelativeTimeFormat("en").format(-Math.round(seconds / size), unit);
  return `${date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "long" })} (${past})`;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-copy]");
  if (button) copy(button);
  const link = event.target.closest("a[href^='?']");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  event.preventDefault();
  go(link.getAttribute("href"), false);
  if (link.getAttribute("href") === "?" && byId("q")) byId("q").value = "";
});

document.addEventListener("mouseover", (event) => {
  const time = event.target.closest?.("[data-t], time");
  if (time) time.title = localTime(time.dataset.t ? new Date(time.dataset.t * 1000) : new Date(time.dateTime));
  const bar = event.target.closest?.(".plot g");
  if (bar) bar.closest("figure").querySelector("output").textContent = bar.querySelector("title").textContent;
});

document.addEventListener("keydown", (event) => {
  const field = byId("q");
  if (!field) return;
  if (event.key === "/" && !event.ctrlKey && !event.metaKey && !event.altKey && document.activeElement !== field) {
    event.preventDefault();
    field.focus();
    field.select();
  } else if (event.key === "Escape" && document.activeElement === field) {
    field.value = "";
    go(queryWith(""), true);
    field.blur();
  }
});

let typed;
byId("q")?.addEventListener("input", (event) => {
  clearTimeout(typed);
  typed = setTimeout(() => go(queryWith(event.target.value.trim()), true), TYPED_MS);
});

addEventListener("popstate", () => {
  if (byId("q")) byId("q").value = new URLSearchParams(location.search).get("q") ?? "";
  renew(true);
});

prepare(document);
setInterval(() => renew(false), EVERY_MS);
document.addEventListener("visibilitychange", () => renew(false));
