-- Holds every answer against the expected status (first argument) and body (a file, second argument), and prints what
-- was measured as one line of JSON after wrk's report for people.

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(arguments)
  expected_status = tonumber(arguments[1])
  local file = assert(io.open(arguments[2], "rb"))
  expected_body = file:read("*a")
  file:close()
  wrong = 0 -- global, so that `done` can ask for it
end

function response(status, headers, body)
  if status ~= expected_status or (body or "") ~= expected_body then
    wrong = wrong + 1
  end
end

function done(summary, latency)
  local wrong_answers = 0
  for _, thread in ipairs(threads) do
    wrong_answers = wrong_answers + thread:get("wrong")
  end
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, ' ..
    '"wrong": %d, "connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    wrong_answers, errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
