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
local YES_OR_NO = {[("t"):byte()] = true, [("f"):byte()] = true}
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
-- Deeper ones cost a grammar's compiler more than they say; tools and the format of a text become grammars, too.
local NESTED = {response_format = true, structured_outputs = true, guided_json = true, tools = true, functions = true, text = true}
local OPERATORS = {
    chat_template = "chat_template", prompt_embeds = "prompt_embeds", priority = "priority", kv_transfer_params = "kv_transfer_params",
    request_id = "request_id", guided_regex = "regex", mm_processor_kwargs = "media_options", media_io_kwargs = "media_options",
    logits_processors = "logits_processors", vllm_xargs = "vllm_xargs",
}
-- Of chat_template_kwargs, what is no template's but the tokenizer's.
local OF_TOKENIZERS = {
    "chat_template", "tokenize", "conversation", "continue_final_message", "padding", "truncation", "max_length", "return_tensors",
    "return_dict", "return_assistant_tokens_mask", "tokenizer_kwargs",
}
-- What engines take for no, where yes or no is asked.
local NO = {["false"] = true, ["0"] = true, ["0.0"] = true, off = true, f = true, no = true, n = true, null = true}

policy.wanted = {model = true, stream = true, stream_options = true, ignore_eos = true}
for _, names in ipairs({CAPS, SIZES, OPERATORS, NESTED, {prompt = true}}) do
    for name in pairs(names) do
        policy.wanted[name] = true
    end
end

local NAMES = {"max_tokens", "n", "best_of", "sequences", "logprobs", "images", "body_bytes", "list_bytes", "schema_bytes", "schema_depth"}

-- What counts for a model and a key together; put together once.
local merged = setmetatable({}, {__mode = "k"})

local function rules_of(model, owner)
    local of_model = merged[model] or setmetatable({}, {__mode = "k"})
    merged[model] = of_model
    local rules = of_model[owner]
    if rules then
        return rules
    end
    rules = {allow = {}}
    local models, owners = model.policy or {}, owner.policy or {}
    for _, name in ipairs(NAMES) do
        -- A model's replaces the default; a key's can only be narrower.
        rules[name] = models[name] or config.policy[name]
        if owners[name] then
            rules[name] = math.min(rules[name] or math.huge, owners[name])
        end
    end
    if not rules.max_tokens and model.max_model_len ~= config.json.null then
        rules.max_tokens = model.max_model_len
    end
    for _, own in ipairs({config.policy, models, owners}) do
        for name in pairs(own.allow or {}) do
            rules.allow[name] = true
        end
    end
    of_model[owner] = rules
    return rules
end

local function refuse(param, message)
    return answers.refuse(400, "invalid_request_error", "parameter_not_allowed", message, param)
end

-- Whether a value says yes to an engine, which takes 1, "true" and "on" for it, too.
function policy.says_yes(value)
    return value ~= nil and value ~= config.json.null and not NO[tostring(value):lower()]
end

-- A member's value, nil where it is long or none.
local function value_of(body, member, most)
    local decoded = member and member.to - member.from <= most and config.json.decode("[" .. body:sub(member.from, member.to) .. "]")
    return decoded and decoded[1]
end

policy.value_of = value_of

local function number_of(body, member)
    return NUMBERS[member.kind] and member.to - member.from < 64 and tonumber(body:sub(member.from, member.to)) or nil
end

-- Whether a body of this size may be sent; nil after having refused.
function policy.admits_size(body, model, owner)
    local bytes = rules_of(model, owner).body_bytes
    if bytes and body.size > bytes then
        return answers.refuse(413, "invalid_request_error", "body_too_large", "The body is larger than the " .. bytes
            .. " bytes that this model and key may send.")
    end
    return true
end

-- Whether an engine may be asked this; nil after having refused.
function policy.admits(body, found, model, owner)
    local rules = rules_of(model, owner)
    local allow = rules.allow
    if not policy.admits_size(body, model, owner) then
        return
    end
    local images = rules.images
    if images and found.media > images then
        return refuse("messages", "The messages hold " .. found.media .. " images or other media; " .. images .. " are the most here.")
    end
    if found.remote > 0 and not allow.media_urls then
        return refuse("messages", "Media from addresses are not fetched here: send them as data: URLs.")
    end
    if found.values and rules.max_tokens then
        for _, name in ipairs({"max_tokens", "max_completion_tokens"}) do
            local value = found.values[name]
            if type(value) == "number" and value > rules.max_tokens then
                return refuse(name, name .. ": " .. value .. " is more than the " .. rules.max_tokens .. " that may be asked here.")
            end
        end
    end
    local members = found.members
    for name, member in pairs(members) do
        if member.kind ~= NULL then
            local operators, size, cap = OPERATORS[name], SIZES[name], CAPS[name]
            if operators and not allow[operators] and not (name == "priority" and number_of(body, member) == 0) then
                return refuse(name, name .. " is the operator's to set, not a request's.")
            end
            if cap then
                local value, most = number_of(body, member), rules[cap]
                -- Engines take "16384" for a number, too. Chats ask for logprobs by true.
                if not value and not (name == "logprobs" and YES_OR_NO[member.kind]) then
                    return refuse(name, name .. " has to be a number.")
                end
                if value and most and (value > most or (cap == "logprobs" and value < 0)) then
                    return refuse(name, name .. ": " .. body:sub(member.from, member.to) .. " is more than the " .. most .. " that may be asked here.")
                end
            end
            local most = size and rules[size]
            if most and member.to - member.from > most then
                return refuse(name, name .. " holds " .. member.to - member.from .. " bytes; " .. most .. " are the most here.")
            end
            local depth = NESTED[name] and rules.schema_depth
            if depth and member.levels > depth then
                return refuse(name, name .. " is nested deeper than " .. depth .. " levels.")
            end
            if name == "structured_outputs" and not allow.regex then
                local decoded = config.json.decode(body:sub(member.from, member.to))
                if type(decoded) == "table" and decoded.regex ~= nil and decoded.regex ~= config.json.null then
                    return refuse(name, "A regular expression is the operator's to allow, not a request's to bring.")
                end
            end
            if name == "chat_template_kwargs" and not allow.chat_template then
                local decoded = config.json.decode(body:sub(member.from, member.to))
                for _, key in ipairs(type(decoded) == "table" and OF_TOKENIZERS or {}) do
                    if decoded[key] ~= nil then
                        return refuse(name, key .. " is the operator's to set, not a request's.")
                    end
                end
            end
        end
    end
    -- Each prompt of a list is answered n times at once.
    local prompts = members.prompt and members.prompt.elements or 1
    local each = math.max(members.n and number_of(body, members.n) or 1, members.best_of and number_of(body, members.best_of) or 1)
    if rules.sequences and prompts * each > rules.sequences then
        return refuse("prompt", prompts .. " prompts, each answered " .. each .. " times, are more than the " .. rules.sequences
            .. " answers that one request may ask for.")
    end
    if members.min_tokens and members.ignore_eos and policy.says_yes(value_of(body, members.ignore_eos, 64))
        and members.min_tokens.kind ~= NULL and not allow.ignore_eos then
        return refuse("ignore_eos", "ignore_eos with min_tokens keeps an engine busy for nothing; leave one of them out.")
    end
    return true
end

return policy
