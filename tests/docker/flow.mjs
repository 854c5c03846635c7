// APIs whose events never end, and a listener that counts what arrives; on the address of its argument. Prints the port.
//   /api-N?since=DATE  the events of API N, oldest first, 50 a page; a new one comes every 100 ms
//   POST /             the listener
//   /mark              begins to measure silence
//   /stop              no more events
//   /tally             words: APIs that delivered since the mark, events that are missing, batches of one API with an event
//                      that had arrived before (the most of any API), milliseconds of the longest silence since the mark
import { createServer } from 'node:http';
import { gunzipSync } from 'node:zlib';

const APIS = 6;
const EVERY_MS = 100;
const PAGE = 50;
const begun = Date.now() - 20_000;
let ended = null;
let mark = Date.now();
const apis = Array.from({ length: APIS }, () => ({ arrived: new Set(), doubled: 0, moments: [] }));

const events = () => Math.floor(((ended ?? Date.now()) - begun) / EVERY_MS);
const date = (event) => new Date(begun + event * EVERY_MS);

function page(url) {
  const since = Date.parse(url.searchParams.get('since'));
  const first = Math.max(Number(url.searchParams.get('from') ?? 0), Math.ceil((since - begun) / EVERY_MS));
  const last = Math.min(first + PAGE, events());
  const data = [];
  for (let event = first; event < last; event += 1) data.push({ api: url.pathname, id: event, date: date(event).toISOString() });
  url.searchParams.set('from', last);
  return { data, next: last - first === PAGE ? url.pathname + url.search : null };
}

function take(body) {
  const batch = new Map();
  for (const line of gunzipSync(body).toString().trim().split('\n')) {
    const { api, id } = JSON.parse(line);
    batch.set(api, [...(batch.get(api) ?? []), id]);
  }
  for (const [api, ids] of batch) {
    const of = apis[Number(api.slice('/api-'.length))];
    of.moments.push(Date.now());
    if (ids.some((id) => of.arrived.has(id))) of.doubled += 1;
    ids.forEach((id) => of.arrived.add(id));
  }
}

function tally() {
  const until = ended ?? Date.now();
  const silence = apis.map(({ moments }) => {
    const all = [mark, ...moments.filter((at) => at > mark && at < until), until];
    return Math.max(...all.slice(1).map((at, index) => at - all[index]));
  });
  return [
    apis.filter(({ moments }) => moments.at(-1) > mark).length,
    apis.reduce((sum, { arrived }) => sum + events() - arrived.size, 0),
    Math.max(...apis.map(({ doubled }) => doubled)),
    Math.max(...silence),
  ].join(' ');
}

function answer(url, body) {
  if (url.pathname.startsWith('/api-')) return page(url);
  if (url.pathname === '/mark') mark = Date.now();
  if (url.pathname === '/stop') ended = Date.now();
  if (url.pathname === '/tally') return tally();
  // An empty request only asks whether a listener is there.
  if (url.pathname === '/' && body.length > 0) take(body);
  return undefined;
}

const server = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const said = answer(new URL(request.url, 'http://localhost'), Buffer.concat(chunks));
  response.writeHead(200).end(typeof said === 'object' ? JSON.stringify(said) : said);
});
server.listen(0, process.argv[2], () => console.log(server.address().port));
