// Has a real Prometheus scrape the metrics and answer every expression: alerts, and the dashboard's queries, which must have data.
//   node evaluate.mjs PROMETHEUS METRICS_FILE DIRECTORY
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createSocket } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Faults, filled, panels, queries, rules } from './sources.mjs';

const [prometheusPath, metricsPath, folder] = process.argv.slice(2);
const readyWithinMs = 60_000;
const answerWithinMs = 30_000;
// Enough of them for a rate.
const scrapesMin = 4;

const metrics = readFileSync(metricsPath, 'utf8');
const hasSample = (name) => new RegExp(`^${name}[ {]`, 'm').test(metrics);
const counters = new Set([...metrics.matchAll(/^# TYPE (\S+) (counter|summary)/gm)].flatMap(([, name, type]) => (type === 'counter' ? [name] : [`${name}_sum`, `${name}_count`])));
// Counters grow with each scrape, so that every rate is above zero and every panel has something to show.
let scrapes = 0;
const grown = () => metrics.replace(/^([a-z_:]+)((?:\{.*\})?) (\S+)$/gm, (line, name, labels, value) => (counters.has(name) ? `${name}${labels} ${Number(value) + scrapes}` : line));
const fetcher = createServer((_, answer) => {
  scrapes += 1;
  answer.setHeader('content-type', 'text/plain; version=0.0.4').end(grown());
});
fetcher.listen(0, '127.0.0.1');
await once(fetcher, 'listening');

// Prometheus does not say which port it took, so it is given one that was free.
const socket = createSocket().listen(0, '127.0.0.1');
await once(socket, 'listening');
const { port } = socket.address();
socket.close();
await once(socket, 'close');

const home = join(folder, 'home');
mkdirSync(home);
writeFileSync(join(home, 'prometheus.yml'), JSON.stringify({
  global: { scrape_interval: '1s', evaluation_interval: '1s' },
  rule_files: [new URL('../../docs/prometheus-rules.yaml', import.meta.url).pathname],
  scrape_configs: [{ job_name: 'logzio-api-fetcher', static_configs: [{ targets: [`127.0.0.1:${fetcher.address().port}`] }] }],
}));
const prometheus = spawn(prometheusPath, [`--config.file=${home}/prometheus.yml`, `--storage.tsdb.path=${home}/data`, `--web.listen-address=127.0.0.1:${port}`], { stdio: ['ignore', 'ignore', 'pipe'] });
let log = '';
prometheus.stderr.on('data', (data) => { log = (log + data).slice(-4000); });

async function ask(path, parameters = {}) {
  const response = await fetch(`http://127.0.0.1:${port}/api/v1/${path}?${new URLSearchParams(parameters)}`, { signal: AbortSignal.timeout(answerWithinMs) });
  const answer = await response.json();
  if (answer.status !== 'success') throw new Error(answer.error);
  return answer.data;
}
async function scraped() {
  const { result } = await ask('query', { query: 'sum_over_time(up[5m])' });
  return Number(result[0]?.value[1] ?? 0);
}
const faults = new Faults();
try {
  const until = Date.now() + readyWithinMs;
  while (await scraped().catch(() => 0) < scrapesMin) {
    if (prometheus.exitCode !== null || Date.now() > until) throw new Error(`Prometheus does not scrape\n${log}`);
    await sleep(200);
  }
  for (const { name, expr } of rules) {
    await ask('query', { query: expr }).catch((error) => faults.add(`rule ${name}: ${error.message}`));
  }
  const empty = [];
  for (const { panel, refId, expr, legend, isTable } of queries) {
    const where = `panel ${panel}, ${refId}`;
    const now = Date.now() / 1000;
    const data = await (isTable
      ? ask('query', { query: filled(expr) })
      : ask('query_range', { query: filled(expr), start: now - 60, end: now, step: 1 })
    ).catch((error) => { faults.add(`${where}: ${error.message}`); });
    if (!data) continue;
    if (data.result.length === 0) {
      const names = expr.match(/\b(?:logzio_fetcher|process)_\w+/g);
      if (!names.every(hasSample)) empty.push(panel); else faults.add(`${where}: has nothing to show`);
      continue;
    }
    if (expr.includes('topk($top,')) {
      const lines = Number(filled('$top'));
      faults.unless(data.result.length <= lines, `${where}: ${data.result.length} lines, not ${lines} at most`);
    }
    const labels = Object.keys(data.result[0].metric);
    for (const [, label] of (legend ?? '').matchAll(/\{\{\s*(\w+)\s*\}\}/g)) {
      faults.unless(labels.includes(label), `${where}: the legend's ${label} is none of ${labels}`);
    }
    if (isTable) {
      const { indexByName } = panels.find(({ title }) => title === panel).transformations.find(({ id }) => id === 'organize').options;
      for (const label of labels) faults.unless(label in indexByName, `${where}: the column ${label} has no place`);
    }
  }
  const { groups } = await ask('rules');
  for (const rule of groups.flatMap((group) => group.rules)) faults.unless(!rule.lastError, `rule ${rule.name}: ${rule.lastError}`);
  const loaded = groups.flatMap((group) => group.rules).length;
  faults.unless(loaded === rules.length, `Prometheus has loaded ${loaded} of ${rules.length} rules`);
  if (empty.length > 0) console.log(`nothing to show, as the file has no sample of theirs: ${[...new Set(empty)].join(', ')}`);
} finally {
  prometheus.kill('SIGKILL');
  fetcher.closeAllConnections();
  fetcher.close();
}
faults.end(`${rules.length} rules and ${queries.length} queries answered`);
