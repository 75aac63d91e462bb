-- Copyright: (c) 2026, gpuserve.fleet contributors
-- GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Whether a request may come in, decided by its head alone: how fast and how many its key may send, and how many bytes lie here already. What
-- is taken here is given back when the request ends (requests.lua).
--
-- A request ends here a moment after its client has the last byte, and one that its client leaves once nginx has heard of it. What that client
-- asks next can be faster, through another of nginx's processes: one client after the other would be refused. So whoever finds no room
-- looks again before it is.

local answers = require("answers")
local config = require("config")
local counts = require("counts")
local requests = require("requests")
local usage = require("usage")

local dict = ngx.shared.gw
local limits = config.limits

-- What nginx holds for a connection anyhow; how many of those there are is bounded.
local SMALL = 16384
local NONE = {}
-- Seconds between the looks of a request that found no room. The first are for what has just ended, the last for a machine that is busy.
local LOOKS = {0.002, 0.008, 0.03, 0.1, 0.1}
-- Who looks costs next to nothing, and holds nothing: that many may.
local MOST_LOOKING = 256

local admission = {}

local function too_many(request, reason, seconds, message)
    request.rejected = reason
    ngx.req.discard_body()
    ngx.header["Retry-After"] = seconds
    return answers.refuse(429, "rate_limit_error", "rate_limit_exceeded", message)
end

admission.too_many = too_many

-- Seconds until a key may send its next request, 0 for now. As many as it may send in ten seconds may come at once.
local function wait_of(name, per_minute)
    local lock, key = "lock " .. name, "rate " .. name
    for _ = 1, 50 do
        -- Whoever ends while holding it holds it no longer than this.
        if dict:add(lock, true, 0.1) then
            break
        end
        ngx.sleep(0.001)
    end
    local interval, now = 60 / per_minute, ngx.now()
    local burst = math.max(1, math.floor(per_minute / 6)) * interval
    local due = math.max(dict:get(key) or 0, now)
    local wait = due - burst - now
    if wait <= 0.0005 then
        dict:set(key, due + interval, burst + interval + 1)
        wait = 0
    end
    dict:delete(lock)
    return wait
end

-- Waits for what `has_room` asks for, for at most `places` requests of a name: so many can have ended just now. Returns whether it came.
function admission.room_comes(request, name, places, has_room)
    local looking, came = "looking " .. name, false
    if requests.take(request, looking, 1) <= math.min(places, MOST_LOOKING) then
        for _, seconds in ipairs(LOOKS) do
            ngx.sleep(seconds)
            came = has_room()
            if came then
                break
            end
        end
    end
    requests.give_back(request, looking)
    return came
end

-- Counts for a request, unless that makes more than there may be. Returns whether it was counted.
local function take_within(request, name, amount, most)
    if requests.take(request, name, amount) <= most then
        return true
    end
    -- Who waits for room takes none.
    requests.give_back(request, name)
    return admission.room_comes(request, name, most / amount, function()
        if counts.of(name) + amount > most then
            return false
        end
        local taken = requests.take(request, name, amount) <= most
        if not taken then
            requests.give_back(request, name)
        end
        return taken
    end)
end

-- How many bytes a body can have, as its head says; nil where there is too much. Without a length, and before it is unpacked, it can be
-- as long as any.
local function announced(var)
    local length, coding = tonumber(var.http_content_length), var.http_content_encoding
    if length and (length > limits.body or not coding or coding == "" or coding == "identity") then
        return length <= limits.body and length or nil
    end
    return (length or var.http_transfer_encoding or var.server_protocol == "HTTP/2.0") and limits.body or 0
end

-- Returns true, or nil after having refused.
function admission.enter(request, owner, var)
    local name = owner.name
    local seconds, told = usage.spent(owner)
    if seconds then
        request.rejected = "budget"
        ngx.req.discard_body()
        ngx.header["Retry-After"] = seconds
        return answers.refuse(429, "insufficient_quota", "insufficient_quota", told)
    end
    if owner.per_minute then
        local wait = wait_of(name, owner.per_minute)
        if wait > 0 then
            return too_many(request, "rate", math.ceil(wait),
                "This key's requests come faster than it may send them; try again shortly.")
        end
    end
    if owner.most and not take_within(request, "key " .. name, 1, owner.most) then
        return too_many(request, "concurrency", 1, "Too many requests at once; try again shortly.")
    end
    local length = announced(var)
    if not length then
        ngx.req.discard_body()
        return answers.page(413)
    end
    if length <= SMALL then
        return true
    end
    request.bytes = "bytes of " .. name
    if not take_within(request, request.bytes, length, limits.key_bytes) then
        return too_many(request, "bytes", 1, "This key's bodies that are under way hold too many bytes; try again shortly.")
    end
    if not take_within(request, "bytes", length, limits.all_bytes) then
        return too_many(request, "bytes", 1, "The bodies that are under way hold too many bytes; try again shortly.")
    end
    return true
end

-- What a body came to, where its head did not say.
function admission.settle(request, size)
    for _, name in ipairs(request.bytes and {request.bytes, "bytes"} or NONE) do
        local more = size - (request.taken[name] or 0)
        if more ~= 0 then
            requests.take(request, name, more)
        end
    end
end

return admission
