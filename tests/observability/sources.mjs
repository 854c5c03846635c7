// What the other checks read: the dashboard and its queries, the rules, and the metrics.
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';

const docs = new URL('../../docs/', import.meta.url);
const read = (name) => readFileSync(new URL(name, docs), 'utf8');

// The cluster's is another file, which names metrics that a single fetcher has not.
export const dashboard = JSON.parse(read(process.env.DASHBOARD ?? 'grafana-dashboard.json'));
export const panels = dashboard.panels.flatMap((panel) => [panel, ...(panel.panels ?? [])]);
export const variables = dashboard.templating.list;

/** Every query of the dashboard: {panel, refId, expr, legend, isTable}, as it stands in the file. */
export const queries = panels.flatMap((panel) => (panel.targets ?? []).map((target) => ({
  panel: panel.title,
  refId: target.refId,
  expr: target.expr,
  legend: target.legendFormat,
  isTable: target.format === 'table',
})));

/** Every rule: {group, name, expr}. */
export const rules = parse(read('prometheus-rules.yaml')).groups.flatMap((group) => group.rules.map((rule) => ({
  group: group.name,
  name: rule.alert ?? rule.record,
  isRecord: 'record' in rule,
  expr: rule.expr,
})));

/** Every selector of the alerts' unit tests. */
export const testSeries = ['prometheus-rules.test.yaml', 'prometheus-rules.days.test.yaml']
  .flatMap((name) => parse(read(name)).tests)
  .flatMap((test) => test.input_series.map(({ series }) => series));

// What Grafana puts in for its variables, with the defaults of the dashboard.
const values = { __rate_interval: '5m', __range: '6h', instance: '.*', api: '.*', top: '10' };

/** An expression as Prometheus gets it from Grafana. */
export function filled(expr) {
  return expr.replace(/\$(?:\{(\w+)\}|(\w+))/g, (_, braced, bare) => {
    const name = braced ?? bare;
    if (!(name in values)) throw new Error(`$${name} is no variable of the dashboard: ${expr}`);
    return values[name];
  });
}

/** Collects faults, and ends with them. */
export class Faults {
  #found = [];
  add(fault) { this.#found.push(fault); }
  unless(holds, fault) { if (!holds) this.add(fault); }
  end(summary) {
    for (const fault of this.#found) console.error(`fault: ${fault}`);
    if (this.#found.length > 0) process.exit(1);
    console.log(summary);
  }
}
