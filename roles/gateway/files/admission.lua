-- Copyright: (c) 2026, gpuserve.fleet contributors
-- GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Whether a request may come in, decided by its head alone: how fast and how many its key may send, and how many bytes lie here already. What
-- is taken here is given back when the request ends (requests.lua).

local answers = require("answers")
local config = require("config")
local requests = require("requests")
local usage = require("usage")

local dict = ngx.shared.gw
local limits = config.limits

-- What nginx holds for a connection anyhow; how many of those there are is bounded.
local SMALL = 16384
local NONE = {}

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
    if owner.most and requests.take(request, "key " .. name, 1) > owner.most then
        requests.give_back(request, "key " .. name)
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
    if requests.take(request, request.bytes, length) > limits.key_bytes then
        return too_many(request, "bytes", 1, "This key's bodies that are under way hold too many bytes; try again shortly.")
    end
    if requests.take(request, "bytes", length) > limits.all_bytes then
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
