// Writes the dashboard's expressions as recording rules, for promtool.
//   node expressions.mjs FILE
import { writeFileSync } from 'node:fs';
import { stringify } from 'yaml';
import { filled, queries } from './sources.mjs';

if (queries.length === 0) throw new Error('the dashboard has no queries');
const rules = queries.map(({ expr }, at) => ({ record: `dashboard:${at}`, expr: filled(expr) }));
writeFileSync(process.argv[2], stringify({ groups: [{ name: 'dashboard', rules }] }));
console.log(`${rules.length} expressions`);
