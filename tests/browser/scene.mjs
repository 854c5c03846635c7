// The APIs, the listener, and fetchers that ask them. The APIs have real names: fetchers reach them by a proxy.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

const WAIT_MAX_MS = 30_000;
const TOO_LARGE = "x".repeat(600_000);

/** What an API of each kind is called, where it lies, and in which state it ends up. */
export const KINDS = {
  ok: { state: "ok", host: "api.amp.cisco.com", name: (at) => `cisco-events-${at}: tenant ${at * 7919}` },
  bad: { state: "failing", host: "login.microsoftonline.com", name: (at) => `entra-sign-ins-${at}: tenant ${at * 7919}` },
  forbidden: { state: "failing", host: "graph.microsoft.com", name: (at) => `graph-audit-${at}` },
  retrying: { state: "retrying", host: "api.okta.example", name: (at) => `okta-system-log-${at}`, interval: "1h" },
  odd: { state: "warning", host: "api.github.com", name: (at) => `github-audit-${at}` },
  large: { state: "warning", host: "api.box.com", name: (at) => `box-events-${at}`, interval: "1h" },
  limited: { state: "waiting", host: "api.slack.com", name: (at) => `slack-audit-${at}` },
  starting: { state: "starting", host: "api.crowdstrike.com", name: (at) => `falcon-detections-${at}` },
  named: { state: "ok", host: "api.names.example", name: () => `a/b %2f "q" <i> \u{1f600}` },
};

export async function until(what, holds) {
  const begun = Date.now();
  for (;;) {
    const found = await holds();
    if (found) return found;
    if (Date.now() - begun > WAIT_MAX_MS) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

export async function startScene() {
  const scene = { isMended: false, serial: 0, events: new Map() };
  const server = createServer((asked, answer) => {
    asked.resume();
    // By a proxy the whole URL is asked for.
    const { pathname, searchParams } = new URL(asked.url, "http://x");
    const [, kind, at] = pathname.split("/");
    const reply = answers[kind] ?? (() => answer.end());
    reply(answer, scene, { key: pathname, at: Number(at), since: Date.parse(searchParams.get("since")) });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  scene.url = `http://127.0.0.1:${server.address().port}`;
  scene.stop = () => {
    server.closeAllConnections();
    server.close();
  };
  return scene;
}

const page = (answer, data) => answer.end(JSON.stringify({ data, next: null }));
const daysAgo = (days) => new Date(Date.now() - days * 86_400_000).toISOString();

const answers = {
  ok(answer, scene, { key, at, since }) {
    const known = scene.events.get(key) ?? [];
    scene.events.set(key, known);
    // The first one is a backfill.
    const count = known.length === 0 ? 400 : Math.round(6 + 5 * Math.sin((scene.serial % 97) + at) + Math.random() * 4);
    for (let more = count; more > 0; more -= 1) known.push({ id: scene.serial++, date: daysAgo((at * 3) / 86_400) });
    if (known.length > 2_000) known.splice(0, known.length - 500);
    page(answer, known.filter((event) => Date.parse(event.date) >= since));
  },
  named: (answer, scene, asked) => answers.ok(answer, scene, asked),
  bad(answer, scene, asked) {
    if (scene.isMended) return answers.ok(answer, scene, asked);
    answer.writeHead(401).end('{"error":"invalid_client","error_description":"AADSTS7000222: The provided client secret keys are expired."}');
  },
  forbidden(answer, scene, asked) {
    if (scene.isMended) return answers.ok(answer, scene, asked);
    answer.writeHead(403).end('{"error":{"code":"Authorization_RequestDenied","message":"Insufficient privileges to complete the operation."}}');
  },
  retrying: (answer) => answer.writeHead(403).end('{"errorSummary":"You do not have permission"}'),
  odd: (answer, scene) => page(answer, [{ id: scene.serial++, date: daysAgo(0) }, { id: 2, date: daysAgo(400) }]),
  large: (answer, scene) => page(answer, [{ id: scene.serial++, date: daysAgo(0) }, { id: 2, date: daysAgo(0), text: TOO_LARGE }]),
  limited: (answer) => answer.writeHead(429, { "Retry-After": "3600" }).end("{}"),
  starting: () => {},
};

/** A fetcher with so many APIs of each kind. */
export async function startFetcher(fetcherPath, scene, kinds, interval, running, outputs = `{url: '${scene.url}', token: t}`) {
  const folder = mkdtempSync(join(tmpdir(), "browser-"));
  const entry = (kind, at) =>
    `- {type: general, name: '${KINDS[kind].name(at)}', credentials: {id: i, key: k}, start_date_name: since,` +
    ` settings: {time_interval: ${KINDS[kind].interval ?? interval}, days_back_fetch: 5},` +
    ` http_request: {url: 'http://${KINDS[kind].host}/${kind}/${at}'},` +
    ` json_paths: {data: data, data_date: date, next_url: next, id: id}}`;
  const entries = Object.entries(kinds).flatMap(([kind, count]) => Array.from({ length: count }, (_, at) => entry(kind, at + 1)));
  const head = `logzio: ${outputs}\nstatus: {listen: '127.0.0.1:0'}\nauth_apis:\n`;
  writeFileSync(join(folder, "config.yaml"), `${head}${entries.join("\n")}\n`);
  const env = { ...process.env, HTTP_PROXY: scene.url, http_proxy: scene.url, NO_PROXY: "127.0.0.1", no_proxy: "127.0.0.1" };
  const options = ["--config", join(folder, "config.yaml"), "--grace", "1s"];
  const fetcher = spawn(fetcherPath, options, { stdio: ["ignore", "ignore", "pipe"], env });
  let log = "";
  fetcher.stderr.on("data", (text) => (log += text));
  const said = () => /the status page is at (\S+)/.exec(log)?.[1];
  running.add(fetcher);
  const url = await until("the status page", said).catch((cause) => {
    throw new Error(`${cause.message}; the fetcher says ${log.slice(0, 2_000)}`);
  });
  const stop = () =>
    new Promise((resolve) => {
      fetcher.on("exit", () => {
        running.delete(fetcher);
        rmSync(folder, { recursive: true });
        resolve();
      });
      fetcher.kill("SIGTERM");
    });
  return { url, stop, log: () => log };
}

/** The metrics of a fetcher, one of whose APIs has two outputs, once they say how each of its APIs fares. */
export async function metricsOf(fetcherPath, scene, running) {
  const archive = `{name: archive, url: '${scene.url}', token: u, inputs: ['${KINDS.ok.name(1)}']}`;
  const outputs = `[{name: main, url: '${scene.url}', token: t}, ${archive}]`;
  const fetcher = await startFetcher(fetcherPath, scene, { ok: 1, bad: 1, odd: 1 }, "0.5s", running, outputs);
  const wanted = [/^\w+last_success_\w+{.*output="archive"} /m, /^\w+arrival_delay_\w+{.*output="main"/m, /^\w+consecutive_failures{.*} [3-9]/m];
  const text = await until("metrics of every API", async () => {
    const metrics = await (await fetch(`${fetcher.url}metrics`)).text();
    return wanted.every((pattern) => pattern.test(metrics)) && metrics;
  });
  await fetcher.stop();
  return text;
}
