-- Copyright: (c) 2026, gpuserve.fleet contributors
-- GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- What may be asked of an engine: caps on what costs it memory or time, and parameters that only an operator should send. A cap of the
-- defaults can be set otherwise for a model and for a key; of the two the smaller counts. What a model or a key allows is allowed.

local answers = require("answers")
local config = require("config")

local policy = {}

local NULL, NUMBERS = ("n"):byte(), {}
for character in ("-0123456789"):gmatch(".") do
    NUMBERS[character:byte()] = true
end

-- By the name of a member: the cap that it is held against. All of them are counts.
local CAPS = {
    max_tokens = "max_tokens", max_completion_tokens = "max_tokens", max_output_tokens = "max_tokens", min_tokens = "max_tokens",
    n = "n", best_of = "best_of", logprobs = "logprobs", top_logprobs = "logprobs", prompt_logprobs = "logprobs",
}
-- Members that hold as much as is written into them, by the cap on how many bytes that may be.
local SIZES = {
    bad_words = "list_bytes", allowed_token_ids = "list_bytes", stop_token_ids = "list_bytes", stop = "list_bytes", logit_bias = "list_bytes",
    response_format = "schema_bytes", structured_outputs = "schema_bytes", guided_json = "schema_bytes", guided_choice = "schema_bytes",
    guided_grammar = "schema_bytes", chat_template_kwargs = "schema_bytes",
}
-- Deeper ones cost a grammar's compiler more than they say.
local NESTED = {response_format = true, structured_outputs = true, guided_json = true}
local OPERATORS = {
    chat_template = "chat_template", prompt_embeds = "prompt_embeds", priority = "priority", kv_transfer_params = "kv_transfer_params",
    request_id = "request_id", guided_regex = "regex",
}

policy.wanted = {model = true, stream = true, stream_options = true, ignore_eos = true}
for _, names in ipairs({CAPS, SIZES, OPERATORS}) do
    for name in pairs(names) do
        policy.wanted[name] = true
    end
end

local function cap_of(name, model, owner)
    local smallest = config.policy[name]
    for _, own in ipairs({model.policy or {}, owner.policy or {}}) do
        local cap = own[name]
        if type(cap) == "number" then
            -- The first that is set replaces the default; a second one can only be narrower.
            smallest = own == model.policy and cap or math.min(smallest or cap, cap)
        end
    end
    return smallest
end

local function is_allowed(name, model, owner)
    for _, own in ipairs({config.policy, model.policy or {}, owner.policy or {}}) do
        if own.allow and own.allow[name] then
            return true
        end
    end
    return false
end

local function refuse(param, message)
    return answers.refuse(400, "invalid_request_error", "parameter_not_allowed", message, param)
end

local function deepest(text)
    local depth, most, at = 0, 0, 1
    while true do
        at = text:find('["{}%[%]]', at)
        if not at then
            return most
        end
        local mark = text:sub(at, at)
        if mark == '"' then
            repeat
                at = text:find('["\\]', at + 1)
                mark = at and text:sub(at, at)
                at = mark == "\\" and at + 1 or at
            until mark ~= "\\"
            if not at then
                return most
            end
        elseif mark == "{" or mark == "[" then
            depth = depth + 1
            most = math.max(most, depth)
        else
            depth = depth - 1
        end
        at = at + 1
    end
end

local function number_of(body, member)
    return NUMBERS[member.kind] and member.to - member.from < 64 and tonumber(body:sub(member.from, member.to)) or nil
end

-- Whether an engine may be asked this; nil after having refused.
function policy.admits(body, found, model, owner)
    local bytes = cap_of("body_bytes", model, owner)
    if bytes and body.size > bytes then
        return answers.refuse(413, "invalid_request_error", "body_too_large", "The body is larger than the " .. bytes
            .. " bytes that this model and key may send.")
    end
    local images = cap_of("images", model, owner)
    if images and found.media > images then
        return refuse("messages", "The messages hold " .. found.media .. " images or other media; " .. images .. " are the most here.")
    end
    if found.remote > 0 and not is_allowed("media_urls", model, owner) then
        return refuse("messages", "Media from addresses are not fetched here: send them as data: URLs.")
    end
    local members = found.members
    for name, member in pairs(members) do
        if member.kind ~= NULL then
            local operators, size, cap = OPERATORS[name], SIZES[name], CAPS[name]
            if operators and not is_allowed(operators, model, owner) and not (name == "priority" and number_of(body, member) == 0) then
                return refuse(name, name .. " is the operator's to set, not a request's.")
            end
            if cap then
                local value, most = number_of(body, member), cap_of(cap, model, owner)
                if cap == "max_tokens" and not most and model.max_model_len ~= config.json.null then
                    most = model.max_model_len
                end
                if value and most and (value > most or (cap == "logprobs" and value < 0)) then
                    return refuse(name, name .. ": " .. body:sub(member.from, member.to) .. " is more than the " .. most .. " that may be asked here.")
                end
            end
            local most = size and cap_of(size, model, owner)
            if most and member.to - member.from > most then
                return refuse(name, name .. " holds " .. member.to - member.from .. " bytes; " .. most .. " are the most here.")
            end
            if NESTED[name] then
                local text, depth = body:sub(member.from, member.to), cap_of("schema_depth", model, owner)
                if depth and deepest(text) > depth then
                    return refuse(name, name .. " is nested deeper than " .. depth .. " levels.")
                end
                if name == "structured_outputs" and text:find('"regex"', 1, true) and not is_allowed("regex", model, owner) then
                    return refuse(name, "A regular expression is the operator's to allow, not a request's to bring.")
                end
            end
            if name == "chat_template_kwargs" and not is_allowed("chat_template", model, owner) then
                local decoded = config.json.decode(body:sub(member.from, member.to))
                if type(decoded) == "table" and decoded.chat_template ~= nil then
                    return refuse(name, "chat_template is the operator's to set, not a request's.")
                end
            end
        end
    end
    if members.min_tokens and members.ignore_eos and body:sub(members.ignore_eos.from, members.ignore_eos.to) == "true"
        and members.min_tokens.kind ~= NULL and not is_allowed("ignore_eos", model, owner) then
        return refuse("ignore_eos", "ignore_eos with min_tokens keeps an engine busy for nothing; leave one of them out.")
    end
    return true
end

return policy
