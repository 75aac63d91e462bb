-- Copyright: (c) 2026, gpuserve.fleet contributors
-- GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- What is known of the engines' endpoints, in memory that nginx's processes share, and which of them a request goes to. By endpoint:
-- "up" 1 or 0 (nothing before the first probe), "since" when it came up, "failed" looks in a row, "drain" 1 while it gets nothing new. How
-- many requests are under way is counted beside it ("in ENDPOINT", counts.lua).

local config = require("config")
local counts = require("counts")

local dict = ngx.shared.gw
local draining = config.draining

local engines = {}

function engines.lost(endpoint)
    dict:set("up " .. endpoint, 0)
end

local function refuses(endpoint)
    return dict:get("refuses " .. endpoint) == config.generation
end

-- An endpoint that does not take our key is not shown it again, until it has been away or the configuration is another one.
function engines.refuses_key(endpoint)
    dict:set("refuses " .. endpoint, config.generation)
    dict:set("drain " .. endpoint, 1)
end

-- Somebody else listens where an engine of ours should: nothing is sent there, and no key.
local function is_foreign(endpoint)
    return dict:get("foreign " .. endpoint) == 1
end

-- The key that an endpoint asks for, "-" for none; nil where nobody has said it, and its model's is sent.
function engines.key_of(endpoint)
    return dict:get("key " .. endpoint)
end

local function drained(endpoint)
    return draining[endpoint] == 1 or dict:get("drain " .. endpoint) == 1 or is_foreign(endpoint)
end

-- How well the same sender and an endpoint belong together: one endpoint more or less moves few senders.
local function affinity(sender, endpoint)
    local a, b, c, d = ngx.md5_bin(sender .. " " .. endpoint):byte(1, 4)
    return ((a * 256 + b) * 256 + c) * 256 + d
end

local function load_of(endpoint, now)
    -- A replica that has just come back is given its share little by little.
    local weight = 1
    if config.slow_start_s > 0 then
        local age = now - (dict:get("since " .. endpoint) or 0)
        weight = math.min(1, math.max(0.1, age / config.slow_start_s))
    end
    return (counts.of("in " .. endpoint) + 1) / weight + math.random() / 100
end

-- Which of a model's endpoints a request goes to, from 1, nil for none: of those not tried yet the one that the same sender always has,
-- where that is asked for, else the least busy one. A standby endpoint has its turn while it answers and no endpoint does.
function engines.pick(owner, model, tried)
    local all, own = model.all, #model.endpoints
    if #all == 1 and tried == "" and not model.on_boxes then
        return not drained(all[1]) and 1 or nil
    end
    local usable, ready = {}, {}
    for at = 1, #all do
        local stands_in = at > own
        if stands_in and #ready > 0 then
            break
        end
        if not drained(all[at]) and not tried:find(" " .. at .. " ", 1, true) then
            if dict:get("up " .. all[at]) == 1 then
                ready[#ready + 1] = at
            elseif not stands_in then
                usable[#usable + 1] = at
            end
        end
    end
    -- Where none is known to be ready, trying beats refusing.
    local candidates = #ready > 0 and ready or usable
    if #candidates == 0 and model.on_boxes then
        -- A box that is kept out of new requests serves on: better it than nobody.
        for at = 1, own do
            if dict:get("up " .. all[at]) == 1 and not refuses(all[at]) and not tried:find(" " .. at .. " ", 1, true) then
                candidates[#candidates + 1] = at
            end
        end
    end
    if #candidates < 2 then
        return candidates[1]
    end
    local sender = config.sticky == "key" and owner.name or config.sticky ~= "" and ngx.req.get_headers()[config.sticky] or nil
    if type(sender) == "table" then
        sender = sender[1]
    end
    local now, best, lowest = ngx.now(), nil, math.huge
    for _, at in ipairs(candidates) do
        local score = sender and affinity(sender, all[at]) or load_of(all[at], now)
        if score < lowest then
            best, lowest = at, score
        end
    end
    return best
end

-- ready, draining, down, or starting while nothing has been heard yet. A standby endpoint counts only while it answers.
function engines.state_of(model)
    local waiting, down = 0, 0
    for at, endpoint in ipairs(model.all) do
        local up, takes = dict:get("up " .. endpoint), not drained(endpoint)
        if up == 1 and takes then
            return "ready"
        end
        if refuses(endpoint) or is_foreign(endpoint) then
            up, takes = 0, true
        end
        if at <= #model.endpoints then
            waiting = waiting + (takes and 0 or 1)
            down = down + (takes and up == 0 and 1 or 0)
        end
    end
    if waiting + down < #model.endpoints then
        return "starting"
    end
    return down > 0 and "down" or "draining"
end

-- Whether an endpoint answers 200 at /health. It is asked through nginx, the way that requests go, which knows its address.
local function well(way, seconds)
    local socket = ngx.socket.tcp()
    socket:settimeout(seconds * 1000)
    if not socket:connect("unix:/tmp/watch.sock") then
        return false
    end
    local line
    if socket:send("GET " .. way .. " HTTP/1.0\r\n\r\n") then
        line = socket:receive("*l")
    end
    socket:close()
    return line ~= nil and line:find("^HTTP/1%.%d 200") ~= nil
end

-- Whose processes listen, by address and port as /proc/net/tcp and tcp6 write them: {[row] = {[uid] = true}}. The kernel lists those that
-- listen first.
local function listeners()
    local found = {}
    for _, name in ipairs({"tcp", "tcp6"}) do
        local file = io.open("/proc/net/" .. name)
        for line in file and file:lines() or function() end do
            local row, state, uid = line:match("^%s*%d+: (%x+:%x+) %x+:%x+ (%x%x) %S+ %S+ %S+%s+(%d+)")
            if state and state ~= "0A" then
                break
            elseif state then
                found[row] = found[row] or {}
                found[row][tonumber(uid)] = true
            end
        end
        if file then
            file:close()
        end
    end
    return found
end

-- Whether anybody listens at one of these, and whether another account does.
local function who(found, rows, wanted)
    local anybody, foreign = false, 0
    for _, row in ipairs(rows) do
        for uid in pairs(found[row] or {}) do
            anybody = true
            foreign = uid ~= wanted and 1 or foreign
        end
    end
    return anybody, foreign
end

-- A connection goes to who listens at its very address, and only where nobody does to who listens at every one.
local function look_at_listeners()
    local found
    for _, model in ipairs(config.models) do
        for endpoint, rows in pairs(model.guarded and model.guarded.rows or {}) do
            found = found or listeners()
            local anybody, foreign = who(found, rows.own, model.guarded.uid)
            if not anybody then
                anybody, foreign = who(found, rows.every, model.guarded.uid)
            end
            if foreign == 1 and not is_foreign(endpoint) then
                ngx.log(ngx.ERR, "another account listens at ", endpoint, ", where the engine of ", model.name,
                    " should: end its process; until then nothing is sent there")
            end
            dict:set("foreign " .. endpoint, foreign)
        end
    end
end

local function look(endpoint, way)
    if not is_foreign(endpoint) and well(way, config.check_interval_s) then
        dict:set("failed " .. endpoint, 0)
        if dict:get("up " .. endpoint) ~= 1 then
            dict:set("since " .. endpoint, ngx.now())
            dict:delete("refuses " .. endpoint)
            dict:set("up " .. endpoint, 1)
        end
        return
    end
    -- One slow answer of a busy engine is no failure; two in a row are.
    local failed = dict:incr("failed " .. endpoint, 1, 0)
    if failed >= 2 or dict:get("up " .. endpoint) ~= 1 then
        dict:set("up " .. endpoint, 0)
    end
end

local function look_at_all()
    look_at_listeners()
    local seen, looks = {}, {}
    for index, model in ipairs(config.models) do
        for at, endpoint in ipairs(model.all) do
            if not seen[endpoint] then
                seen[endpoint] = true
                looks[#looks + 1] = ngx.thread.spawn(look, endpoint, "/_look/" .. index - 1 .. "/" .. at - 1)
            end
        end
    end
    for _, one in ipairs(looks) do
        ngx.thread.wait(one)
    end
end

-- A file in the folder of keys that is named like an endpoint has, in its first line, what the engine there asks for by now.
local function look_at_key(endpoint, name)
    local file = io.open("/engine_keys/" .. name)
    local key = file and file:read("*l")
    if file then
        file:close()
    end
    if key == "" then
        key = "-"
    end
    if key ~= dict:get("key " .. endpoint) then
        dict:set("key " .. endpoint, key)
        -- Another key was refused.
        dict:delete("refuses " .. endpoint)
    end
end

-- A file in the drain folder that is named like an endpoint, slashes as "_", keeps new requests away from it. Requests look at a number only.
local function look_at_folders()
    for endpoint, name in pairs(config.watched) do
        look_at_key(endpoint, name)
        local file, _, code = io.open("/draining/" .. name)
        if file then
            file:close()
        end
        -- 2 is ENOENT: one that may not be read is there.
        dict:set("drain " .. endpoint, (file or code ~= 2 or refuses(endpoint)) and 1 or 0)
    end
    local file = io.open("/draining/leaving")
    if file then
        file:close()
    end
    dict:set("leaving", file and 1 or 0)
end

-- Whether this edge is about to stop: it answers on, and clients are to go to another one.
function engines.are_left()
    return dict:get("leaving") == 1
end

-- One of nginx's processes watches for all of them.
function engines.watch()
    if ngx.worker.id() ~= 0 then
        return
    end
    ngx.timer.at(0, look_at_all)
    ngx.timer.at(0, look_at_folders)
    ngx.timer.every(config.check_interval_s, look_at_all)
    ngx.timer.every(0.5, look_at_folders)
end

return engines
