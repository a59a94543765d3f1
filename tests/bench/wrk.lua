-- Holds every answer against what is expected, and prints what was measured as one line of JSON after wrk's report for
-- people. Arguments, "-" for one that is not given:
--   1 the status that every answer must have
--   2 a file with the body of an answer
--   3 "same" if every answer must have that body, "alike" if answers must be about as long, else "any"
--   4 a file of requests, each to be sent once: lines of the number of an Authorization header and a path
--   5 a file of Authorization headers, one a line
--   6 milliseconds between an answer and the next request on its connection: "20-60" is a random number of them

local threads = {}
local ALIKE = 1.3 -- times as long on average, or as short, with the heads, is still plausible

function setup(thread)
  table.insert(threads, thread)
end

local function lines(path)
  local found = {}
  for line in io.lines(path) do
    found[#found + 1] = line
  end
  return found
end

local function from_list(path, headers_path)
  local list, headers = lines(path), {}
  for number, value in ipairs(lines(headers_path)) do
    local text = " HTTP/1.1\r\nHost: " .. wrk.headers["Host"] .. "\r\n"
    for name, other in pairs(wrk.headers) do
      if name ~= "Host" then
        text = text .. name .. ": " .. other .. "\r\n"
      end
    end
    headers[number] = text .. "Authorization: " .. value .. "\r\n\r\n"
  end
  function request()
    used = used + 1
    local line = list[used]
    if line == nil then
      return "GET /used-up" .. headers[1] -- the caller sees that more were used than there are
    end
    local who, asked = line:match("^(%d+) (.*)$")
    return "GET " .. asked .. headers[tonumber(who)]
  end
end

function init(arguments)
  used, wrong, length_alike = 0, 0, 0 -- global, so that `done` can ask for them
  local expected_status = tonumber(arguments[1])
  local file = assert(io.open(arguments[2], "rb"))
  local expected = file:read("*a")
  file:close()
  if arguments[3] == "same" then
    function response(status, _, body)
      if status ~= expected_status or (body or "") ~= expected then
        wrong = wrong + 1
      end
    end
  elseif arguments[3] == "any" then
    function response(status)
      if status ~= expected_status then
        wrong = wrong + 1
      end
    end
  else
    -- a string made here of each answer that is unlike all before would take as long as a server takes for it, which
    -- had to wait then: wrk itself counts statuses, and all bytes
    length_alike = #expected
  end
  if arguments[4] ~= "-" then
    from_list(arguments[4], arguments[5])
  end
  if arguments[6] ~= "-" then
    local least, most = arguments[6]:match("^(%d+)-(%d+)$")
    math.randomseed(os.time())
    function delay()
      return math.random(tonumber(least), tonumber(most))
    end
  end
end

function done(summary, latency)
  local wrong_answers, used_up, alike = 0, 0, 0
  for _, thread in ipairs(threads) do
    wrong_answers = wrong_answers + thread:get("wrong")
    used_up = used_up + thread:get("used")
    alike = thread:get("length_alike")
  end
  local mean = summary.bytes / math.max(summary.requests, 1)
  if alike > 0 and (mean > ALIKE * alike or ALIKE * mean < alike) then
    wrong_answers = summary.requests
  end
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "p999_ms": %.3f, "max_ms": %.3f, ' ..
    '"used": %d, "wrong": %d, "connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    latency:percentile(99.9) / 1e3, latency.max / 1e3,
    used_up, wrong_answers, errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
