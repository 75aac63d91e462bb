-- Copyright: (c) 2026, gpuserve.fleet contributors
-- GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Counts requests once they have ended, and tells Prometheus. Counting is a part of every request, so status and both histograms of one
-- are a single number: "ended MODEL STATUS BUCKET BUCKET"; what they come to is worked out when it is asked for.

local config = require("config")
local counts = require("counts")
local requests = require("requests")
local usage = require("usage")

local dict = ngx.shared.gw
-- The upper edges of the histograms in seconds.
local EDGES = {0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300}

local function bucket(seconds)
    for at = 1, #EDGES do
        if seconds <= EDGES[at] then
            return at
        end
    end
    return #EDGES + 1
end

-- What requests took together, by name of a sum: kept by each of nginx's processes and handed over every second.
local seconds = {}

local account = {}

local function took(sum, time)
    seconds[sum] = (seconds[sum] or 0) + time
end

function account.hand_over()
    for sum, time in pairs(seconds) do
        dict:incr(sum, time, 0)
        seconds[sum] = nil
    end
end

-- What came of a request, by its status: an answer that an engine broke off was none (502), one that its client left was not read (499).
local function ending(request, status)
    if not request or not request.answers or status == "499" then
        return status, status == "499" and "left" or ""
    end
    if request.whole then
        return status, request.garbage and "broken" or "ok"
    end
    return request.broken and "502" or "499", request.broken and "broken" or "left"
end

-- How long a model's requests take, as this process has seen it.
local usual = {}

-- Seconds after which there may be room at a model again: those that wait go first, as many at a time as its engines work on.
function account.wait_of(model, under_way)
    local at_once = model.at_once > 0 and model.at_once or math.max(1, under_way)
    local wait = (usual[model.name] or 1) * (math.max(0, under_way - at_once) + 1) / at_once
    return math.max(1, math.min(60, math.ceil(wait)))
end

function account.count()
    local var = ngx.var
    local request = requests.current(var)
    local model, status, outcome = var.gw_model, ending(request, var.status)
    model = (not model or model == "") and "-" or model
    if request then
        requests.finish(request)
        if request.body then
            request.body:close()
        end
        if status ~= var.status then
            var.gw_ended = status
        end
        var.gw_outcome = outcome
    end
    if not request or not request.endpoint then
        dict:incr("ended " .. model .. " " .. status, 1, 0)
        if request and request.rejected then
            dict:incr("rejected " .. model .. " " .. request.rejected, 1, 0)
        end
        return
    end
    usage.account(request)
    local whole, times = tonumber(var.request_time), var.upstream_header_time
    if status == "200" then
        usual[model] = (usual[model] or whole) * 0.9 + whole * 0.1
    end
    local ended = "ended " .. model .. " " .. status .. " " .. bucket(whole)
    took("sum " .. model, whole)
    -- Of several engines that were tried ("- : 0.001") the last.
    local first = times and (tonumber(times) or tonumber(times:match("[^ ]*$")))
    if first then
        took("first " .. model, first)
        ended = ended .. " " .. bucket(first)
    end
    dict:incr(ended, 1, 0)
end

local function add(counts, model, what, value)
    counts[model] = counts[model] or {}
    counts[model][what] = (counts[model][what] or 0) + value
end

-- By model: requests by status, rejected ones by reason, how many fell into each bucket of the two histograms.
local function tally()
    local statuses, rejected, whole, first = {}, {}, {}, {}
    for _, key in ipairs(dict:get_keys(0)) do
        local part = {}
        for word in key:gmatch("%S+") do
            part[#part + 1] = word
        end
        if part[1] == "rejected" then
            add(rejected, part[2], part[3], dict:get(key))
        elseif part[1] == "ended" then
            add(statuses, part[2], part[3], dict:get(key))
            if part[4] then
                add(whole, part[2], tonumber(part[4]), dict:get(key))
            end
            if part[5] then
                add(first, part[2], tonumber(part[5]), dict:get(key))
            end
        end
    end
    return statuses, rejected, whole, first
end

local function sorted(counts)
    local names = {}
    for name in pairs(counts) do
        names[#names + 1] = name
    end
    table.sort(names)
    return names
end

local function listed(lines, title, counts, label, help)
    lines[#lines + 1] = "# HELP " .. title .. " " .. help
    lines[#lines + 1] = "# TYPE " .. title .. " counter"
    for _, model in ipairs(sorted(counts)) do
        for _, name in ipairs(sorted(counts[model])) do
            lines[#lines + 1] = string.format('%s{model="%s",%s="%s"} %d', title, model, label, name, counts[model][name])
        end
    end
end

local function histogram(lines, title, counts, sums, help)
    lines[#lines + 1] = "# HELP " .. title .. " " .. help
    lines[#lines + 1] = "# TYPE " .. title .. " histogram"
    for _, model in ipairs(config.models) do
        local counted, sum = counts[model.name] or {}, 0
        for at = 1, #EDGES + 1 do
            sum = sum + (counted[at] or 0)
            lines[#lines + 1] = string.format('%s_bucket{model="%s",le="%s"} %d', title, model.name, EDGES[at] or "+Inf", sum)
        end
        lines[#lines + 1] = string.format('%s_sum{model="%s"} %.3f', title, model.name, dict:get(sums .. " " .. model.name) or 0)
        lines[#lines + 1] = string.format('%s_count{model="%s"} %d', title, model.name, sum)
    end
end

local function endpoints(lines)
    local busy = {"# HELP gpuserve_gateway_in_flight Requests that an endpoint is at.\n# TYPE gpuserve_gateway_in_flight gauge"}
    local up = {"# HELP gpuserve_gateway_endpoint_up Whether an endpoint answers its health check.\n"
        .. "# TYPE gpuserve_gateway_endpoint_up gauge"}
    for _, model in ipairs(config.models) do
        for at, endpoint in ipairs(model.all) do
            local labels = string.format('{model="%s",endpoint="%s"} ', model.name, endpoint)
            local answers = dict:get("up " .. endpoint) or 0
            busy[#busy + 1] = "gpuserve_gateway_in_flight" .. labels .. counts.of("in " .. endpoint)
            -- A standby endpoint that is not there is no endpoint that is down.
            if answers == 1 or at <= #model.endpoints then
                up[#up + 1] = "gpuserve_gateway_endpoint_up" .. labels .. answers
            end
        end
    end
    lines[#lines + 1] = table.concat(busy, "\n")
    lines[#lines + 1] = table.concat(up, "\n")
end

function account.metrics()
    local statuses, rejected, whole, first = tally()
    local lines = {}
    listed(lines, "gpuserve_gateway_requests_total", statuses, "status",
        "Requests that have ended, by status; 502 also for an answer broken off, 499 for one that its client left.")
    listed(lines, "gpuserve_gateway_rejected_total", rejected, "reason", "Requests refused with 429, by what there was too much of.")
    endpoints(lines)
    histogram(lines, "gpuserve_gateway_request_seconds", whole, "sum", "How long requests took, to their last byte.")
    histogram(lines, "gpuserve_gateway_first_byte_seconds", first, "first", "How long engines took to begin their answer.")
    usage.metrics(lines)
    ngx.header["Content-Type"] = "text/plain; version=0.0.4"
    ngx.say(table.concat(lines, "\n"))
end

return account
