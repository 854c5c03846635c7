// Writes the dashboard as TypeScript, each part under the type that Grafana's own packages give it, for tsc.
//   node types.mjs DIRECTORY
// The types are those of @grafana/schema (dashboard, panels) and of the foundation SDK (queries of Prometheus). They close what
// an object may hold, so an option that no Grafana knows is a fault. Grafana leaves open, and so nothing here checks: which
// transformations, matchers and calculations there are, and what their options may be.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { dashboard, panels } from './sources.mjs';

const folder = process.argv[2];
const kinds = { stat: ['Stat', false], table: ['Table', true], timeseries: ['TimeSeries', true] };
const json = (value) => JSON.stringify(value, null, 2);
const { panels: _, ...frame } = dashboard;

const parts = [`
import type { Dashboard, FieldConfig, FieldConfigSource, Panel, RowPanel } from '@grafana/schema';
import type { Dataquery } from '@grafana/grafana-foundation-sdk/prometheus';
${Object.entries(kinds).map(([kind, [name]]) => `import type * as ${kind} from '@grafana/schema/dist/esm/raw/composable/${kind}/panelcfg/x/${name}PanelCfg_types.gen';`).join('\n')}

// A type as JSON has it: an enum is its values.
type Plain<T> =
  unknown extends T ? T
  : T extends string ? \`\${T}\`
  : T extends number ? (\`\${T}\` extends \`\${infer N extends number}\` ? N : T)
  : T extends boolean | null | undefined ? T
  : T extends Array<infer U> ? Array<Plain<U>>
  : { [K in keyof T]: Plain<T[K]> };
type Query = Omit<Dataquery, '_implementsDataqueryVariant'>;
type PanelOf<Options, Custom> = Plain<Omit<Panel, 'type' | 'options' | 'targets' | 'fieldConfig'>> & {
  type: string;
  options: Plain<Options>;
  targets: Array<Plain<Query>>;
  fieldConfig: Plain<Omit<FieldConfigSource, 'defaults'>> & { defaults: Plain<Omit<FieldConfig, 'custom'>> & { custom?: Plain<Custom> } };
};

export const dashboard: Plain<Omit<Dashboard, 'panels'>> = ${json(frame)};
`];
let checked = 0;
for (const panel of panels) {
  if (panel.type === 'row') {
    parts.push(`export const panel${panel.id}: Plain<RowPanel> = ${json(panel)};\n`);
  } else {
    if (!(panel.type in kinds)) throw new Error(`${panel.title}: no types are named for panels of type ${panel.type}`);
    const custom = kinds[panel.type][1] ? `${panel.type}.FieldConfig` : 'never';
    parts.push(`export const panel${panel.id}: PanelOf<${panel.type}.Options, ${custom}> = ${json(panel)};\n`);
    // A property of an override is one of the defaults, by its path.
    for (const [at, { properties }] of panel.fieldConfig.overrides.entries()) {
      const plain = properties.filter(({ id }) => !id.startsWith('custom.'));
      const own = properties.filter(({ id }) => id.startsWith('custom.'));
      const object = (list, cut) => json(Object.fromEntries(list.map(({ id, value }) => [id.slice(cut), value])));
      parts.push(`export const panel${panel.id}override${at}: Plain<Partial<Omit<FieldConfig, 'custom'>>> = ${object(plain, 0)};\n`);
      parts.push(`export const panel${panel.id}override${at}custom: Plain<Partial<${custom}>> = ${object(own, 'custom.'.length)};\n`);
    }
  }
  checked += 1;
}
writeFileSync(join(folder, 'dashboard.ts'), parts.join(''));
writeFileSync(join(folder, 'tsconfig.json'), json({
  compilerOptions: { strict: true, noEmit: true, skipLibCheck: true, target: 'es2022', module: 'preserve', moduleResolution: 'bundler', types: [] },
  files: ['dashboard.ts'],
}));
console.log(`${checked} panels and rows, and the dashboard around them`);
