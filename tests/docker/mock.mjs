// A mock API and a mock listener on one port of loopback; prints the port.
//   /quick/events   one page             /slow/events   five pages, 0.6 s each
//   /hang/events    one page, then never /bad/events    403
//   POST /          the listener         /count         how many records it got
//   /asked          how often the slow API was asked
import { createServer } from 'node:http';
import { gunzipSync } from 'node:zlib';

let records = 0;
let asked = 0;
const date = () => new Date(Date.now() - 60_000).toISOString();
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function answer(request, body) {
  const url = new URL(request.url, 'http://localhost');
  const page = Number(url.searchParams.get('page') ?? 1);
  const send = (last) => ({
    data: [{ id: `${url.pathname}-${page}`, date: date() }],
    next: page < last ? `?page=${page + 1}` : null,
  });
  switch (url.pathname) {
    case '/count':
      return [200, records];
    case '/quick/events':
      return [200, send(1)];
    case '/asked':
      return [200, asked];
    case '/slow/events':
      asked += 1;
      await wait(600);
      return [200, send(5)];
    case '/hang/events':
      if (page > 1) await wait(600_000);
      return [200, send(2)];
    case '/bad/events':
      return [403, { error: 'not allowed' }];
    default:
      // An empty request only asks whether a listener is there; a listener's success has no body.
      if (body.length > 0) records += gunzipSync(body).toString().trim().split('\n').length;
      return [200];
  }
}

const server = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const [status, body] = await answer(request, Buffer.concat(chunks));
  response.writeHead(status, { 'Content-Type': 'application/json' }).end(body === undefined ? '' : JSON.stringify(body));
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
