-- Copyright: (c) 2026, gpuserve.fleet contributors
-- GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- What is known of each request that is under way. nginx forgets ngx.ctx on the way to an engine, so it lies here, by a name that stays:
-- owner, model (its record), index, endpoint, taken (what it holds of which counts), rejected (the reason of a 429), usage.

local counts = require("counts")

local requests = {}
local known = {}

function requests.begin(at)
    local request = {at = at, taken = {}}
    known[at] = request
    return request
end

function requests.current(var)
    local at = var.gw_at
    return at and known[at]
end

-- Counts for a request, until it ends. Returns the new sum.
function requests.take(request, name, amount)
    local taken = request.taken
    taken[name] = (taken[name] or 0) + amount
    return counts.take(name, amount)
end

function requests.give_back(request, name)
    local amount = request.taken[name]
    if amount then
        request.taken[name] = nil
        counts.give_back(name, amount)
    end
end

function requests.finish(request)
    known[request.at] = nil
    for name, amount in pairs(request.taken) do
        counts.give_back(name, amount)
    end
    request.taken = {}
end

return requests
