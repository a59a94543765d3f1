-- Asks as fast as it is answered, for one path after the other, and then from the first on again. Arguments:
--   1 a file of paths, one a line
--   2 how many requests are sent in a row before an answer is read

function init(arguments)
  local file = assert(io.open(arguments[1]))
  local paths, at = {}, 0
  for line in file:lines() do
    paths[#paths + 1] = line
  end
  file:close()
  local row = tonumber(arguments[2])
  function request()
    local requests = {}
    for number = 1, row do
      at = at % #paths + 1
      requests[number] = wrk.format("GET", paths[at])
    end
    return table.concat(requests)
  end
end
