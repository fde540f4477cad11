-- wrk script: POST one JSON body for ever, and print the outcome as one line of JSON.
function init(args)
  local file = assert(io.open(args[1], "r"))
  wrk.body = file:read("*a")
  file:close()
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  if args[2] then wrk.headers["Seldon-Model"] = args[2] end
end

function done(summary, latency, requests)
  local failed = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write
    + summary.errors.timeout
  print(string.format('{"p50_us": %d, "p99_us": %d, "requests": %d, "duration_us": %d, "failed": %d}',
    latency:percentile(50), latency:percentile(99), summary.requests, summary.duration, failed))
end
