-- Copyright: (c) 2026, gpuserve.fleet contributors
-- GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- What clients used, as engines say it ("usage"), by key and model: in answers, in streams, for figures, for budgets and for files (ledger.lua).
-- In a stream an engine says it where it is asked; where the client did not ask, the answer to us is taken out again. Of a request that its
-- client left before the engine had told, it is estimated: leaving early is no way around a budget.

local config = require("config")
local ledger = require("ledger")
local policy = require("policy")

local dict = ngx.shared.usage
local today = ledger.today
local decode = config.json.decode
local find, match, sub = string.find, string.match, string.sub
-- No answer's usage is longer: so much of what has been looked at is looked at again with the next piece.
local OVERLAP = 1024
-- What text comes to in tokens, about; what a tokenizer makes of it only the engine knows.
local BYTES_A_TOKEN = 4
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
    local said = found.values and found.values.stream
    if not found.values then
        said = policy.value_of(body, stream, 64)
    end
    local streams = policy.says_yes(said)
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

-- How many events have ended in a piece of a stream: of one that is left unfinished, about as many tokens.
local function events_in(chunk)
    local number, at = 0, 1
    while true do
        at = find(chunk, "\n\n", at, true)
        if not at then
            return number
        end
        number, at = number + 1, at + 2
    end
end

-- Looks at a piece of an answer, and returns what of it the client gets.
function usage.look(request, chunk, last)
    if not request.streams then
        if chunk == "" then
            return chunk
        end
        -- What an engine tells can stand before much else (prompt_logprobs).
        local text = request.tail and request.tail .. chunk or chunk
        if find(text, '"usage":', 1, true) then
            note(request, text)
        end
        request.tail = not last and sub(text, -OVERLAP) or nil
        return chunk
    end
    request.events = (request.events or 0) + events_in(chunk)
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

-- What requests of this process used, by key and model; handed over every second.
local sums = {}

function usage.hand_over()
    local day = today()
    for owner, by_model in pairs(sums) do
        for model, used in pairs(by_model) do
            for kind, value in pairs(used) do
                dict:incr("total " .. owner .. " " .. model .. " " .. kind, value, 0)
            end
            ledger.add(day, owner, model, used)
        end
        sums[owner] = nil
    end
end

-- What an engine worked on for a client that left before it was told, nil where it had not begun.
local function estimated(request)
    if request.whole or not request.endpoint then
        return nil
    end
    local prompt, most = math.ceil((request.sent_bytes or 0) / BYTES_A_TOKEN), request.model.max_model_len
    if most ~= config.json.null then
        prompt = math.min(prompt, most)
    end
    return {prompt = prompt, output = request.events or 0, estimated = 1}
end

-- Notes what a request that has ended used.
function usage.account(request)
    local used = request.used or request.tells_usage and estimated(request)
    if not used then
        return
    end
    local owner, model = request.owner, request.model.name
    local by_model = sums[owner.name]
    if not by_model then
        by_model = {}
        sums[owner.name] = by_model
    end
    local sum = by_model[model]
    if not sum then
        sum = {requests = 0}
        by_model[model] = sum
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

-- When the next day or month begins in UTC, in seconds since 1970.
local function next_day(now)
    return now - now % 86400 + 86400
end

local function next_month(now)
    local at = next_day(now)
    while os.date("!%d", at) ~= "01" do
        at = at + 86400
    end
    return at
end

local function is_used_up(owner, span, most)
    local used = most and dict:get("tokens " .. span .. " " .. owner.name) or 0
    return most and used >= most and used
end

-- Seconds until a key has tokens again and what to tell of it, nil while it has some.
function usage.spent(owner)
    if not owner.day_tokens and not owner.month_tokens then
        return nil
    end
    local day, now = today(), ngx.time()
    -- The month first: it is over later.
    local most, at, span = owner.month_tokens, nil, "month"
    local used = is_used_up(owner, sub(day, 1, 7), most)
    if used then
        at = next_month(now)
    else
        most, span = owner.day_tokens, "day"
        used = is_used_up(owner, day, most)
        at = used and next_day(now)
    end
    if not used then
        return nil
    end
    return at - now, string.format("The key %s has used %d tokens of the %d that it has a %s. It has new ones from %s 00:00 UTC on.",
        owner.name, used, most, span, os.date("!%Y-%m-%d", at))
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
    lines[#lines + 1] = "# HELP gpuserve_gateway_tokens_total Tokens that engines said were used, by key and model; estimated of requests that clients left."
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

-- Every second, one of nginx's processes writes for all of them now and then; whoever ends hands over and writes at last.
function usage.watch()
    ngx.timer.every(1, usage.hand_over)
    if ngx.worker.id() ~= 0 then
        return
    end
    ledger.open()
    ngx.timer.every(WRITE_S, ledger.write)
end

function usage.leave()
    usage.hand_over()
    ledger.write()
end

return usage
