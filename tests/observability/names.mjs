// Every metric, label and label value that the alerts, their tests and the dashboard name must be in the metrics.
//   node names.mjs METRICS_FILE
// A family that has no sample there, only its TYPE line, is known by its name alone; which these are is said.
import { readFileSync } from 'node:fs';
import { parser } from '@prometheus-io/lezer-promql';
import { Faults, dashboard, filled, queries, rules, testSeries, variables } from './sources.mjs';

// What a scrape adds, and what Prometheus makes itself.
const scrapeLabels = ['job', 'instance'];
const prometheusOwn = ['up'];

const faults = new Faults();
const families = new Map();
const family = (name) => families.get(name) ?? families.set(name, { labels: new Map(), samples: 0 }).get(name);
const types = new Map();
for (const line of readFileSync(process.argv[2], 'utf8').split('\n')) {
  const type = /^# TYPE (\S+) (\S+)/.exec(line);
  if (type) {
    types.set(type[1], type[2]);
    for (const suffix of type[2] === 'summary' ? ['', '_sum', '_count'] : ['']) family(type[1] + suffix);
  }
  const sample = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+\S+/.exec(line);
  if (!sample) continue;
  const { labels } = family(sample[1]);
  family(sample[1]).samples += 1;
  for (const [, label, value] of (sample[2] ?? '').matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) {
    (labels.get(label) ?? labels.set(label, new Set()).get(label)).add(value);
  }
}
const records = new Set(rules.filter((rule) => rule.isRecord).map((rule) => rule.name));
const allLabels = new Set([...scrapeLabels, ...[...families.values()].flatMap(({ labels }) => [...labels.keys()])]);

const used = new Set();
// An own value is one that is made up, as those of a test's series are.
function check(where, expr, { ownValues = false } = {}) {
  const text = (node) => expr.slice(node.from, node.to);
  parser.parse(expr).iterate({
    enter(node) {
      if (node.type.isError) faults.add(`${where}: not PromQL at ${node.from}: ${expr}`);
      if (node.name === 'VectorSelector') selector(where, node.node, text, ownValues);
      if (node.name === 'LabelName' && node.node.parent.name === 'GroupingLabels') {
        faults.unless(allLabels.has(text(node)), `${where}: no metric has a label ${text(node)}`);
      }
    },
  });
}
function selector(where, node, text, ownValues) {
  const identifier = node.getChild('Identifier');
  if (!identifier) return faults.add(`${where}: a selector without a name: ${text(node)}`);
  const name = text(identifier);
  if (prometheusOwn.includes(name) || records.has(name)) return;
  used.add(name);
  if (!families.has(name)) return faults.add(`${where}: ${name} is not in the metrics`);
  const { labels, samples } = families.get(name);
  const matchers = node.getChild('LabelMatchers')?.getChildren('UnquotedLabelMatcher') ?? [];
  for (const matcher of matchers) {
    const [label, op, value] = /^(\w+)\s*(=~|!~|!=|=)\s*"(.*)"$/s.exec(text(matcher)).slice(1);
    if (scrapeLabels.includes(label) || samples === 0) continue;
    faults.unless(labels.has(label), `${where}: ${name} has no label ${label}`);
    if (op === '=' && !(ownValues && ['api', 'output'].includes(label))) {
      faults.unless(labels.get(label)?.has(value), `${where}: ${name} has no ${label}="${value}"`);
    }
  }
}

for (const { name, expr } of rules) check(`rule ${name}`, expr);
for (const series of testSeries) check(`test ${series}`, series, { ownValues: true });
for (const { panel, refId, expr } of queries) check(`panel ${panel}, ${refId}`, filled(expr));
for (const { name, type, query } of variables) {
  if (type !== 'query') continue;
  const [, selected, label] = /^label_values\((.*), (\w+)\)$/.exec(query.query) ?? [];
  if (!selected) { faults.add(`variable ${name}: not label_values(SELECTOR, LABEL): ${query.query}`); continue; }
  check(`variable ${name}`, filled(selected));
  faults.unless(allLabels.has(label), `variable ${name}: no metric has a label ${label}`);
}
// A test for what is counted as a rate: only what the metrics declare a counter, or a summary's sum and count, may be one.
for (const { name, expr } of [...rules, ...queries.map((query) => ({ name: query.panel, expr: filled(query.expr) }))]) {
  for (const [, metric] of expr.matchAll(/\b(?:rate|increase)\(([a-z_:]+)/g)) {
    const type = types.get(metric) ?? types.get(metric.replace(/_(sum|count)$/, ''));
    faults.unless(['counter', 'summary'].includes(type), `${name}: ${metric} is ${type ?? 'unknown'}, not a counter`);
  }
}

const empty = [...used].filter((name) => families.get(name)?.samples === 0);
if (empty.length > 0) console.log(`by name alone, as they have no sample in the file: ${empty.join(', ')}`);
const unused = [...families.keys()].filter((name) => !used.has(name) && families.get(name).samples > 0);
console.log(`in no alert and no panel: ${unused.join(', ') || 'none'}`);
faults.end(`${rules.length} rules, ${testSeries.length} test series, ${queries.length} queries of "${dashboard.title}": ${used.size} metrics`);
