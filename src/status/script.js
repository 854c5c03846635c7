// Puts the page as it is now in the place of the page as it was, every few seconds while somebody looks at it.
"use strict";

const EVERY_MS = 5000;
const ANSWER_WITHIN_MS = 4000;
// What the reader opened or closed stays so, whatever the server would do.
const chosen = new Map();

document.addEventListener("click", (event) => {
  const api = event.target.closest("summary")?.parentElement;
  if (api) chosen.set(api.dataset.api, !api.open);
});

function keepChoices(main) {
  for (const api of main.querySelectorAll("details")) {
    if (chosen.has(api.dataset.api)) api.open = chosen.get(api.dataset.api);
  }
}

async function renew() {
  if (document.hidden) return;
  const gone = document.getElementById("gone");
  try {
    const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(ANSWER_WITHIN_MS) });
    if (!answer.ok) throw new Error(answer.statusText);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    keepChoices(page);
    const focused = document.activeElement?.closest("details")?.dataset.api;
    for (const part of ["header", "main", "footer"]) {
      document.querySelector(part).replaceWith(page.querySelector(part));
    }
    document.title = page.title;
    gone.hidden = true;
    if (focused !== undefined) {
      const apis = [...document.querySelectorAll("details")];
      apis.find((api) => api.dataset.api === focused)?.querySelector("summary").focus({ preventScroll: true });
    }
  } catch {
    gone.hidden = false;
  }
}

setInterval(renew, EVERY_MS);
document.addEventListener("visibilitychange", renew);
