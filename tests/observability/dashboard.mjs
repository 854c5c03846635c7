// What Grafana's types don't say of a dashboard: ids, places, words, units, and that names within it fit each other.
import * as units from '@grafana/grafana-foundation-sdk/units';
import { defaultDashboard } from '@grafana/schema';
import { Faults, dashboard, panels, variables } from './sources.mjs';

const columns = 24;
const faults = new Faults();
const knownUnits = new Set(Object.values(units).filter((unit) => typeof unit === 'string'));
const datasource = JSON.stringify({ type: 'prometheus', uid: '${datasource}' });
const isOurs = (source) => JSON.stringify(source) === datasource;

faults.unless(dashboard.schemaVersion === defaultDashboard.schemaVersion, `schemaVersion is ${dashboard.schemaVersion}, Grafana's ${defaultDashboard.schemaVersion}`);
faults.unless(!('id' in dashboard), 'an id belongs to one Grafana');
faults.unless(/^[\w-]{8,40}$/.test(dashboard.uid), `uid ${dashboard.uid}`);
faults.unless(!JSON.stringify(dashboard).includes('__inputs'), '__inputs beside a data source variable');

const ids = panels.map(({ id }) => id);
faults.unless(new Set(ids).size === ids.length && ids.every(Number.isInteger), `ids are not unique: ${ids}`);
for (const [at, { title }] of panels.entries()) {
  faults.unless(panels.findIndex((panel) => panel.title === title) === at, `two panels are called ${title}`);
}

const taken = new Map();
for (const { title, gridPos: { x, y, w, h } } of dashboard.panels) {
  faults.unless(x >= 0 && y >= 0 && w > 0 && h > 0 && x + w <= columns, `${title}: outside the grid`);
  for (let column = x; column < x + w; column += 1) {
    for (let line = y; line < y + h; line += 1) {
      const cell = `${column},${line}`;
      faults.unless(!taken.has(cell), `${title} lies on ${taken.get(cell)}`);
      taken.set(cell, title);
    }
  }
}

const sources = variables.filter(({ type }) => type === 'datasource');
faults.unless(sources.length === 1 && sources[0].name === 'datasource' && sources[0].query === 'prometheus', 'no variable for the data source');
const api = variables.find(({ name }) => name === 'api');
const instance = variables.find(({ name }) => name === 'instance');
for (const variable of [instance, ...(api ? [api] : [])]) {
  faults.unless(variable?.multi && variable.includeAll && isOurs(variable.datasource), `${variable?.name ?? 'instance'}: does not take several and all`);
}
const text = JSON.stringify(dashboard);
for (const { name } of variables) faults.unless(text.includes(`$${name}`) || text.includes(`\${${name}}`), `$${name} is not used`);

for (const panel of panels) {
  const { title } = panel;
  faults.unless(title, `panel ${panel.id} has no title`);
  if (panel.type === 'row') continue;
  faults.unless(panel.description?.endsWith('.'), `${title}: no description`);
  faults.unless(isOurs(panel.datasource), `${title}: another data source`);
  faults.unless(panel.targets?.length > 0, `${title}: no query`);
  const refIds = panel.targets.map(({ refId }) => refId);
  faults.unless(new Set(refIds).size === refIds.length, `${title}: two queries share a refId`);
  for (const target of panel.targets) {
    faults.unless(isOurs(target.datasource), `${title}: a query of another data source`);
    faults.unless(target.instant !== target.range, `${title}: a query is instant or a range`);
  }
  const { defaults, overrides } = panel.fieldConfig;
  const own = overrides.flatMap(({ properties }) => properties).filter(({ id }) => id === 'unit').map(({ value }) => value);
  for (const unit of [defaults.unit, ...own]) faults.unless(knownUnits.has(unit), `${title}: Grafana knows no unit ${unit}`);
  for (const steps of [defaults.thresholds?.steps ?? []]) {
    const rising = steps.every(({ value }, at) => (at === 0 ? value === null : value > (steps[at - 1].value ?? -Infinity)));
    faults.unless(rising, `${title}: thresholds must rise from null`);
  }
  if (panel.type === 'timeseries') {
    faults.unless(panel.targets.every(({ expr }) => expr.includes('topk($top,') || !expr.includes('$api')), `${title}: a line per API without a limit`);
  }
  if (panel.type === 'table') table(panel, refIds);
}

// A table's columns: each query's value is renamed, and what is overridden or sorted by is such a name.
function table({ title, transformations, fieldConfig, options }, refIds) {
  const { renameByName, indexByName, excludeByName } = transformations.find(({ id }) => id === 'organize').options;
  for (const refId of refIds) {
    const field = `Value #${refId}`;
    faults.unless(field in renameByName || excludeByName[field], `${title}: ${field} has no name`);
  }
  for (const field of [...Object.keys(renameByName), ...Object.keys(indexByName)]) {
    faults.unless(!field.startsWith('Value #') || refIds.includes(field.slice('Value #'.length)), `${title}: no query ${field}`);
  }
  const names = Object.values(renameByName);
  faults.unless(new Set(names).size === names.length, `${title}: two columns share a name`);
  const named = [...fieldConfig.overrides.map(({ matcher }) => matcher.options), ...options.sortBy.map(({ displayName }) => displayName)];
  for (const name of named) faults.unless(names.includes(name), `${title}: no column ${name}`);
}

faults.end(`${panels.length} panels and rows: ids, grid, titles, descriptions, data source, ${knownUnits.size} units known, columns`);
