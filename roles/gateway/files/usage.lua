-- Copyright: (c) 2026, gpuserve.fleet contributors
-- GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- What clients used, as engines say it ("usage"), by key and model: in answers, in streams, for figures, for budgets and for a file a day.
-- In a stream an engine says it where it is asked; where the client did not ask, the answer to us is taken out again.

local config = require("config")

local dict = ngx.shared.usage
local decode = config.json.decode
local find, match, sub = string.find, string.match, string.sub
-- Where what is used by a day stays when the container goes.
local FOLDER = "/usage/"
local KINDS = {"requests", "prompt", "cached", "output", "audio_ms"}
-- Usage stands at the end of an answer; more than this never follows its beginning.
local TAIL = 8192
-- Of an event that never ends.
local LONGEST_EVENT = 1048576
local WRITE_S = 10

local usage = {}

-- What an engine has to be asked for, as edits of a body; none where it tells anyhow.
function usage.asked_for(request, body, found, path)
    if path ~= "/v1/chat/completions" and path ~= "/v1/completions" then
        return {}
    end
    local stream, options = found.members.stream, found.members.stream_options
    local streams = found.values and found.values.stream == true or stream and body:sub(stream.from, stream.to) == "true"
    if not streams then
        return {}
    end
    local given
    if options and options.to - options.from < 1024 then
        local text = body:sub(options.from, options.to)
        given = decode(text)
        if type(given) == "table" and given.include_usage == true then
            return {}
        end
        if text:byte() ~= 123 and text ~= "null" then
            -- What is no object is the engine's to refuse.
            return {}
        end
    end
    request.takes_out = true
    if options then
        given = type(given) == "table" and given or {}
        given.include_usage = true
        return {{from = options.from, to = options.to, text = config.json.encode(given)}}
    end
    local at = found.first
    return {{from = at, to = at, text = '"stream_options":{"include_usage":true},'}}
end

-- What is told, by the names that OpenAI's and Anthropic's APIs have for it.
local TOLD = {
    prompt = {'"prompt_tokens":%s*(%d+)', '"input_tokens":%s*(%d+)'},
    output = {'"completion_tokens":%s*(%d+)', '"output_tokens":%s*(%d+)'},
    cached = {'"cached_tokens":%s*(%d+)', '"cache_read_input_tokens":%s*(%d+)'},
}
-- Nobody's answer is longer; what an engine says is not believed beyond.
local MOST = 2 ^ 40

local function keep(used, kind, value)
    -- A stream tells the same more than once, later ones more.
    if value and value <= MOST and value > (used[kind] or 0) then
        used[kind] = value
    end
end

local function note(request, text)
    local from = 1
    while true do
        from = find(text, '"usage":', from, true)
        if not from then
            return
        end
        from = from + 8
        local told = match(text, "^%s*(%b{})", from)
        if told then
            local used = request.used or {}
            request.used = used
            for kind, patterns in pairs(TOLD) do
                keep(used, kind, tonumber(match(told, patterns[1]) or match(told, patterns[2])))
            end
            if not used.prompt then
                keep(used, "prompt", tonumber(match(told, '"total_tokens":%s*(%d+)')))
            end
            local seconds = tonumber(match(told, '"seconds":%s*([%d.]+)'))
            keep(used, "audio_ms", seconds and math.floor(seconds * 1000))
        end
    end
end

-- Looks at a piece of an answer, and returns what of it the client gets.
function usage.look(request, chunk, last)
    if not request.streams then
        local tail = request.tail
        tail = #chunk >= TAIL and sub(chunk, -TAIL) or tail and sub(tail .. chunk, -TAIL) or chunk
        request.tail = tail
        if last then
            note(request, tail)
            request.tail = nil
        end
        return chunk
    end
    local partial = request.partial
    if partial then
        chunk = partial .. chunk
    end
    if not request.takes_out then
        -- Nothing is held back; what is looked at goes back to the beginning of an event that has not ended.
        if find(chunk, '"usage":', 1, true) then
            note(request, chunk)
        end
        local from = partial and #partial + 1 or 1
        request.partial = not last and sub(chunk, -2) ~= "\n\n" and sub(chunk, -2048) or nil
        return sub(chunk, from)
    end
    if last or #chunk > LONGEST_EVENT then
        request.partial = nil
    elseif sub(chunk, -2) ~= "\n\n" and sub(chunk, -4) ~= "\r\n\r\n" then
        -- The beginning of an event waits for its end.
        local whole = chunk:match("^.*\n\r?\n()") or 1
        request.partial = sub(chunk, whole)
        chunk = sub(chunk, 1, whole - 1)
    else
        request.partial = nil
    end
    if not find(chunk, '"usage":', 1, true) then
        return chunk
    end
    local kept = {}
    for event in chunk:gmatch(".-\n\r?\n") do
        if find(event, '"usage":%s*{') then
            note(request, event)
            if not find(event, '"choices":%s*%[%s*%]') then
                kept[#kept + 1] = event
            end
        else
            kept[#kept + 1] = event
        end
    end
    kept[#kept + 1] = chunk:match("^.*\n\r?\n(.*)$") or chunk:match("\n\r?\n") == nil and chunk or ""
    return table.concat(kept)
end

local function today()
    return os.date("!%Y-%m-%d")
end

-- What requests of this process used, by key and model; handed over every second.
local sums = {}

function usage.hand_over()
    local day = today()
    for name, used in pairs(sums) do
        for kind, value in pairs(used) do
            if kind ~= "requests" then
                dict:incr("total " .. name .. " " .. kind, value, 0)
            end
            dict:incr("day " .. day .. " " .. name .. " " .. kind, value, 0)
        end
        sums[name] = nil
    end
end

-- Notes what a request that has ended used.
function usage.account(request)
    local used = request.used
    if not used then
        return
    end
    local owner = request.owner
    local name = owner.name .. " " .. request.model.name
    local sum = sums[name]
    if not sum then
        sum = {requests = 0}
        sums[name] = sum
    end
    sum.requests = sum.requests + 1
    for kind, value in pairs(used) do
        sum[kind] = (sum[kind] or 0) + value
    end
    if owner.day_tokens or owner.month_tokens then
        local tokens, day = (used.prompt or 0) + (used.output or 0), today()
        -- At once: the next request is measured against it.
        dict:incr("tokens " .. day .. " " .. owner.name, tokens, 0)
        dict:incr("tokens " .. sub(day, 1, 7) .. " " .. owner.name, tokens, 0)
    end
end

-- Seconds until a key has tokens again and what it has used up, nil while it has some.
function usage.spent(owner)
    if not owner.day_tokens and not owner.month_tokens then
        return nil
    end
    local day, now = today(), ngx.time()
    if owner.day_tokens and (dict:get("tokens " .. day .. " " .. owner.name) or 0) >= owner.day_tokens then
        return 86400 - now % 86400, "a day's " .. owner.day_tokens
    end
    if owner.month_tokens and (dict:get("tokens " .. sub(day, 1, 7) .. " " .. owner.name) or 0) >= owner.month_tokens then
        return 86400 - now % 86400, "a month's " .. owner.month_tokens
    end
end

-- By key and model the sums whose name begins with `prefix`.
local function gathered(prefix)
    local found, names = {}, {}
    for _, key in ipairs(dict:get_keys(0)) do
        if sub(key, 1, #prefix) == prefix then
            local name, kind = key:match("^(.+) (%S+)$", #prefix + 1)
            if name then
                if not found[name] then
                    found[name] = {}
                    names[#names + 1] = name
                end
                found[name][kind] = dict:get(key)
            end
        end
    end
    table.sort(names)
    return names, found
end

function usage.metrics(lines)
    local names, found = gathered("total ")
    lines[#lines + 1] = "# HELP gpuserve_gateway_tokens_total Tokens that engines said were used, by key and model."
    lines[#lines + 1] = "# TYPE gpuserve_gateway_tokens_total counter"
    for _, name in ipairs(names) do
        local key, model = name:match("^(%S+) (%S+)$")
        for _, kind in ipairs({"prompt", "cached", "output"}) do
            lines[#lines + 1] = string.format('gpuserve_gateway_tokens_total{key="%s",model="%s",kind="%s"} %d', key, model, kind,
                found[name][kind] or 0)
        end
    end
    lines[#lines + 1] = "# HELP gpuserve_gateway_audio_seconds_total Seconds of audio that engines said were worked on, by key and model."
    lines[#lines + 1] = "# TYPE gpuserve_gateway_audio_seconds_total counter"
    for _, name in ipairs(names) do
        if found[name].audio_ms then
            local key, model = name:match("^(%S+) (%S+)$")
            lines[#lines + 1] = string.format('gpuserve_gateway_audio_seconds_total{key="%s",model="%s"} %.3f', key, model,
                found[name].audio_ms / 1000)
        end
    end
end

-- Writes the file of a day: a line of JSON by key and model. It is whole at any time.
local function write_day(day)
    local names, found = gathered("day " .. day .. " ")
    if not names[1] then
        return
    end
    local path = FOLDER .. "usage-" .. day .. ".jsonl"
    local file = io.open(path .. ".new", "w")
    if not file then
        return
    end
    for _, name in ipairs(names) do
        local key, model = name:match("^(%S+) (%S+)$")
        local parts = {string.format('{"day":"%s","key":"%s","model":"%s"', day, key, model)}
        for _, kind in ipairs(KINDS) do
            parts[#parts + 1] = string.format(',"%s":%d', kind == "prompt" and "prompt_tokens" or kind == "cached" and "cached_tokens"
                or kind == "output" and "output_tokens" or kind, found[name][kind] or 0)
        end
        file:write(table.concat(parts), "}\n")
    end
    file:close()
    os.rename(path .. ".new", path)
end

local written

function usage.write()
    local day = today()
    if written and written ~= day then
        write_day(written)
        -- Of a day that is over nothing is asked here any more.
        for _, key in ipairs(dict:get_keys(0)) do
            if sub(key, 1, 15) == "day " .. written .. " " then
                dict:delete(key)
            end
        end
    end
    written = day
    write_day(day)
end

-- Takes up what was used today and this month where nothing is known, after the container was started anew.
local function restore()
    local day = today()
    if not dict:add("restored", 1) then
        return
    end
    for number = 1, 31 do
        local of = sub(day, 1, 8) .. string.format("%02d", number)
        local file = io.open(FOLDER .. "usage-" .. of .. ".jsonl", "r")
        for line in file and file:lines() or function() end do
            local told = decode(line)
            if type(told) == "table" and told.key and told.model then
                local tokens = (told.prompt_tokens or 0) + (told.output_tokens or 0)
                dict:incr("tokens " .. sub(day, 1, 7) .. " " .. told.key, tokens, 0)
                if of == day then
                    dict:incr("tokens " .. day .. " " .. told.key, tokens, 0)
                    local name = "day " .. day .. " " .. told.key .. " " .. told.model .. " "
                    for kind, value in pairs({requests = told.requests, prompt = told.prompt_tokens, cached = told.cached_tokens,
                        output = told.output_tokens, audio_ms = told.audio_ms}) do
                        dict:incr(name .. kind, value, 0)
                    end
                end
            end
        end
        if file then
            file:close()
        end
    end
end

function usage.watch()
    ngx.timer.every(1, usage.hand_over)
    if ngx.worker.id() ~= 0 then
        return
    end
    restore()
    written = today()
    ngx.timer.every(WRITE_S, usage.write)
end

return usage
