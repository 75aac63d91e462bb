-- Copyright: (c) 2026, gpuserve.fleet contributors
-- GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- What the gateway decides by: data.json, read once when nginx loads its configuration, and shaped for being looked up in.

local json = require("cjson.safe").new()

-- NaN and Infinity are no JSON.
json.decode_invalid_numbers(false)

local file = assert(io.open("/etc/gpuserve/live/data.json", "rb"))
local data = assert(json.decode(file:read("*a")))
file:close()

-- A number above zero, nil for no limit.
local function limit(value)
    return type(value) == "number" and value > 0 and value or nil
end

-- A size as nginx writes it: 32m.
local function bytes_of(size)
    local number, unit = tostring(size):lower():match("^(%d+)([kmg]?)$")
    return tonumber(number) * ({[""] = 1, k = 1024, m = 1024 ^ 2, g = 1024 ^ 3})[unit]
end

-- What is written, nil for nothing.
local function set(value)
    return value ~= json.null and value or nil
end

-- models: index of a model, from 0, to true; nil where a key may use all.
local function owner(record)
    local models
    if record.models ~= json.null then
        models = {}
        for index in pairs(record.models) do
            models[tonumber(index)] = true
        end
    end
    return {
        name = record.name, models = models, expires = record.expires > 0 and record.expires or nil,
        per_minute = limit(record.requests_per_minute), most = limit(record.max_concurrent), policy = set(record.policy),
        day_tokens = limit(record.tokens_per_day), month_tokens = limit(record.tokens_per_month),
    }
end

-- By the 32 bytes of their digest.
local keys = {}
for digest, record in pairs(data.keys) do
    keys[digest:gsub("%x%x", function(pair) return string.char(tonumber(pair, 16)) end)] = owner(record)
end

-- What may lie here at once: of one body, of a key's, of all.
data.limits = {
    body = bytes_of(data.max_body), body_text = data.max_body, key_bytes = bytes_of(data.max_key_bytes), all_bytes = bytes_of(data.max_bytes),
}
-- Widened and narrowed by a model's and a key's own (policy.lua).
local policy = {n = 16, best_of = 16, sequences = 128, logprobs = 20, images = 16, list_bytes = 16384, schema_bytes = 65536, schema_depth = 32, allow = {}}
for name, value in pairs(set(data.policy) or {}) do
    policy[name] = value
end
data.policy = policy
for _, model in ipairs(data.models) do
    model.policy = set(model.policy)
    model.guarded = set(model.guarded)
end
-- Where pages may come from whose browsers ask here, nil for nowhere.
local origins
for _, origin in ipairs(set(data.cors_origins) or {}) do
    origins = origins or {}
    origins[origin:lower()] = true
end
data.origins = origins
-- By number: the ports at which engines and boxes of other hosts answer.
local distant = {}
for _, port in ipairs(data.distant_ports) do
    distant[port] = true
end
data.distant = distant
data.keys = keys
data.anyone = owner(data.anyone)
data.json = json

return data
