-- Sends the requests of a file in turn; with "once" as second argument each a single time, then stops.
-- The file: for each request its length in bytes, a line feed, and the request as it goes over the wire.
local requests, at, once = {}, 0, false

function init(args)
  local file = assert(io.open(args[1], "rb"))
  once = args[2] == "once"
  while true do
    local length = file:read("*n")
    if not length then break end
    file:read(1)
    requests[#requests + 1] = file:read(length)
  end
  file:close()
end

function request()
  at = at + 1
  if at > #requests then
    if once then wrk.thread:stop() end
    at = 1
  end
  return requests[at]
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    "\nRESULT {\"seconds\": %.6f, \"requests\": %d, \"refused\": %d, \"broken\": %d, \"p50\": %.3f, \"p99\": %.3f}\n",
    summary.duration / 1e6, summary.requests, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
