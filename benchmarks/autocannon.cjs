// Sends the requests of a file in turn with autocannon, and tells what it saw as wrk.lua does.
// Arguments: folder of node_modules, port, connections, seconds, file, and "once" to send each a single time.
const fs = require("fs");
const path = require("path");
const [folder, port, connections, seconds, file, once] = process.argv.slice(2);
const autocannon = require(path.join(folder, "node_modules", "autocannon"));

const raw = fs.readFileSync(file);
const requests = [];
for (let at = 0; at < raw.length; ) {
  const line = raw.indexOf(10, at);
  const end = line + 1 + Number(raw.subarray(at, line));
  const text = raw.subarray(line + 1, end).toString("utf8");
  const [head, body] = [text.slice(0, text.indexOf("\r\n\r\n")), text.slice(text.indexOf("\r\n\r\n") + 4)];
  const [first, ...lines] = head.split("\r\n");
  const [method, target] = first.split(" ");
  const headers = Object.fromEntries(lines.map((one) => [one.slice(0, one.indexOf(":")), one.slice(one.indexOf(":") + 2)]));
  delete headers["Content-Length"];
  requests.push({ method, path: target, headers, body: body || undefined });
  at = end;
}

let next = 0;
const setupRequest = (request) => {
  if (once && next === requests.length) instance.stop();
  return { ...request, ...requests[next++ % requests.length] };
};
const instance = autocannon(
  {
    url: `http://127.0.0.1:${port}`,
    connections: Number(connections),
    timeout: 60,
    requests: [{ setupRequest }],
    duration: Number(seconds),
  },
  (error, found) => {
    if (error) throw error;
    const refused = found["4xx"] + found["5xx"];
    const seen = {
      seconds: found.duration,
      requests: found["2xx"] + found["3xx"] + refused,
      refused,
      broken: found.errors + found.timeouts,
      p50: found.latency.p50,
      p99: found.latency.p99,
    };
    console.log(`RESULT ${JSON.stringify(seen)}`);
  },
);
