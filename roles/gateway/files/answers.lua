-- Copyright: (c) 2026, gpuserve.fleet contributors
-- GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- What the gateway itself says: errors in the shape that a path's clients read, the list of models, its health.

local config = require("config")
local dict = ngx.shared.gw
local engines = require("engines")

local answers = {}

-- Names in here are ASCII; of what clients sent, nothing else is repeated.
local function quoted(text)
    return '"' .. text:gsub("[^\32-\126]", "?"):gsub('[\\"]', "\\%0") .. '"'
end

local function say(status, body)
    ngx.status = status
    ngx.header["Content-Type"] = "application/json"
    ngx.header["Content-Length"] = #body
    ngx.print(body)
end

-- What Anthropic's clients tell errors apart by.
local ANTHROPIC = {
    [400] = "invalid_request_error", [401] = "authentication_error", [403] = "permission_error", [404] = "not_found_error",
    [413] = "request_too_large", [429] = "rate_limit_error", [503] = "overloaded_error",
}

-- Returns nil, so that a caller can hand that on.
function answers.refuse(status, sort, code, message, param)
    if (ngx.var.request_uri or ""):find("/messages", 1, true) then
        sort = ANTHROPIC[status] or (status < 500 and "invalid_request_error" or "api_error")
        return say(status, string.format('{"type":"error","error":{"type":"%s","message":%s}}\n', sort, quoted(message)))
    end
    say(status, string.format('{"error":{"message":%s,"type":"%s","param":%s,"code":"%s"}}\n',
        quoted(message), sort, param and quoted(param) or "null", code))
end

-- By status: what is said where nginx itself refuses.
local PAGES = {
    [400] = {"bad_request", "The request could not be understood."},
    [404] = {"not_found", "There is nothing at this path."},
    [408] = {"request_timeout", "The request took too long to arrive."},
    [413] = {"body_too_large", "The body is larger than " .. config.limits.body_text .. "."},
    [431] = {"headers_too_large", "The headers or the address are too large."},
    [500] = {"internal_error", "The gateway failed at this request."},
}

function answers.page(status)
    local page = PAGES[status]
    return answers.refuse(status, status < 500 and "invalid_request_error" or "server_error", page[1], page[2])
end

function answers.may_use(owner, index)
    return not owner.models or owner.models[index] == true
end

-- The names of the models that a key may use, for a sentence.
function answers.existing(owner)
    local names = {}
    for at, model in ipairs(config.models) do
        if answers.may_use(owner, at - 1) then
            names[#names + 1] = model.name
        end
    end
    return names[1] and table.concat(names, ", ") or "none"
end

function answers.unknown_model(owner, name)
    answers.refuse(404, "invalid_request_error", "model_not_found", "The model `" .. name:sub(1, 100)
        .. "` does not exist here; there are: " .. answers.existing(owner) .. ".", "model")
end

local STARTED = ngx.time()

local function described(model, id)
    local length = model.max_model_len
    -- When what serves it came up; before that, when nginx did.
    local since = dict:get("since " .. model.all[1])
    return string.format('{"id":%s,"object":"model","created":%d,"owned_by":"gpuserve","root":%s,"parent":null,"max_model_len":%s,'
        .. '%s"status":"%s"}', quoted(id), since or STARTED, quoted(model.name), length ~= config.json.null and length or "null",
        model.task ~= "" and '"task":' .. quoted(model.task) .. "," or "", engines.state_of(model))
end

-- All that a key may use, or the names of one model.
function answers.list_models(owner, of)
    local only_ready = ngx.req.get_uri_args()["ready"] == "true"
    local found = {}
    for at, model in ipairs(config.models) do
        if (not of or at - 1 == of) and answers.may_use(owner, at - 1) and (not only_ready or engines.state_of(model) == "ready") then
            found[#found + 1] = described(model, model.name)
            for _, id in ipairs(model.aliases) do
                found[#found + 1] = described(model, id)
            end
            for _, id in ipairs(model.adapters) do
                found[#found + 1] = described(model, id)
            end
        end
    end
    say(200, '{"object":"list","data":[' .. table.concat(found, ",") .. "]}\n")
end

-- What a model's own address lists: that model.
function answers.list_one(owner, name)
    local found = config.names[name]
    if not found or not answers.may_use(owner, found.at) then
        return answers.unknown_model(owner, name)
    end
    answers.list_models(owner, found.at)
end

function answers.one_model(owner, name)
    local found = config.names[name]
    if not found or not answers.may_use(owner, found.at) then
        return answers.unknown_model(owner, name)
    end
    local model = config.models[found.at + 1]
    if ngx.req.get_uri_args()["ready"] == "true" and engines.state_of(model) ~= "ready" then
        -- Who stands before this gateway asks so whether to send anything here.
        ngx.header["Retry-After"] = "2"
        return answers.refuse(503, "server_error", "model_unavailable", "The engine of this model takes nothing new right now; try again shortly.")
    end
    say(200, described(model, name) .. "\n")
end

-- Whether nginx answers: what restarts it, or sends requests to this host, asks this.
function answers.alive()
    ngx.header["Cache-Control"] = "no-store"
    if engines.are_left() then
        return say(503, '{"status":"leaving"}\n')
    end
    say(200, '{"status":"alive"}\n')
end

-- Whether all models are ready, or the one whose own address is asked. Names are for those who have a key, and theirs only.
function answers.health(owner, only)
    local states, missing, all_ready = {}, {}, true
    for at, model in ipairs(config.models) do
        local state = engines.state_of(model)
        all_ready = all_ready and (state == "ready" or (only and only ~= at - 1))
        if owner and answers.may_use(owner, at - 1) then
            states[#states + 1] = quoted(model.name) .. ':"' .. state .. '"'
            if state ~= "ready" then
                missing[#missing + 1] = model.name
            end
        end
    end
    ngx.header["Cache-Control"] = "no-store"
    local word = all_ready and "ready" or "not ready" .. (missing[1] and ": " .. table.concat(missing, ", ") or "")
    say(all_ready and 200 or 503, string.format('{"status":%s%s,"generation":"%s"}\n', quoted(word),
        owner and ',"models":{' .. table.concat(states, ",") .. "}" or "", config.generation))
end

return answers
