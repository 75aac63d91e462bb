-- Copyright: (c) 2026, gpuserve.fleet contributors
-- GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- The door's decisions: who may come in, to which engine a request goes, and where else it goes when that one can't be reached.
--
-- A name that a client sends is only ever looked up; nothing of it becomes part of an address, a header or a path.

local ffi = require("ffi")
local answers = require("answers")
local config = require("config")
local engines = require("engines")
local member = require("member")

local C, ffi_string = ffi.C, ffi.string
local decode = config.json.decode
local byte, find, lower, sub = string.byte, string.find, string.lower, string.sub
local OPEN = byte("{")
local names, keys, direct = config.names, config.keys, config.direct
local refuse = answers.refuse

ffi.cdef([[
typedef struct { uint32_t h[8]; uint32_t nl, nh; uint32_t data[16]; unsigned int num, md_len; } gpuserve_sha256;
int SHA256_Init(gpuserve_sha256 *state);
int SHA256_Update(gpuserve_sha256 *state, const void *data, size_t length);
int SHA256_Final(unsigned char *digest, gpuserve_sha256 *state);
]])

local state, bytes = ffi.new("gpuserve_sha256"), ffi.new("unsigned char[32]")

local function digest(text)
    C.SHA256_Init(state)
    C.SHA256_Update(state, text, #text)
    C.SHA256_Final(bytes, state)
    return ffi_string(bytes, 32)
end

-- What a direct address asks for: the model's name, and what the engine is asked.
local function addressed(name, path)
    if path == "/v1/models" then
        return {kind = "model", name = name}
    end
    if direct[path] then
        return {kind = "post", name = name, path = path}
    end
end

local plain = {["/v1/models"] = {kind = "models"}, ["/health"] = {kind = "health"}}
for path in pairs(config.posts) do
    plain[path] = {kind = "post", path = path}
end

-- What follows the /v1 of an engine's path; /chat/completions ends like /completions, so the longer ones come first.
local tails = {}
for path in pairs(direct) do
    tails[#tails + 1] = sub(path, 4)
end
table.sort(tails, function(one, other) return #one > #other end)

-- What a request's path asks for: kind (post, models, model, health), name of the model where the path has it, path for the engine.
local function target(uri)
    if plain[uri] then
        return plain[uri]
    end
    if sub(uri, 1, 11) == "/v1/models/" then
        return {kind = "model", name = sub(uri, 12)}
    end
    if sub(uri, 1, 3) == "/m/" then
        local at = find(uri, "/v1/", 4, true)
        if at and at > 4 then
            return addressed(sub(uri, 4, at - 1), sub(uri, at))
        end
    elseif sub(uri, 1, 4) == "/v1/" then
        -- A name may hold slashes (Qwen/Qwen2.5-3B-Instruct), so what follows it is looked for from the end.
        for _, tail in ipairs(tails) do
            if #uri > 4 + #tail and sub(uri, -#tail) == tail then
                return addressed(sub(uri, 5, -#tail - 1), "/v1" .. tail)
            end
        end
    end
end

-- The key that a request carries, nil for none.
local function credential(var)
    local authorization, other = var.http_authorization, var.http_x_api_key
    local bearer
    if authorization then
        if lower(sub(authorization, 1, 7)) ~= "bearer " then
            return nil
        end
        bearer = sub(authorization, 8)
        if find(bearer, " ", 1, true) then
            bearer = bearer:match("^ *(.-) *$")
        end
    end
    if not other or other == "" or other == bearer then
        return bearer
    end
    -- Two different keys in one request: which one counts would be a guess.
    return (not bearer or bearer == "") and other or nil
end

-- The record of the key that a request carries, nil for none that is good. Looking up the digest of what was sent takes the same time
-- whatever part of a key is right: how long it takes says nothing about the key.
local function owner_of(var)
    if not config.auth then
        return config.anyone
    end
    local sent = credential(var)
    if not sent or sent == "" or #sent > 256 then
        return nil
    end
    local owner = keys[digest(sent)]
    if owner and owner.expires and ngx.time() >= owner.expires then
        return nil
    end
    return owner
end

-- The name in a request's body and the body, or nil after having refused it.
local function named_by_body(owner)
    ngx.req.read_body()
    local body = ngx.req.get_body_data() or ""
    -- A parser of C strings would take a null byte for the end, an engine would not.
    local value = not find(body, "\0", 1, true) and decode(body)
    if type(value) ~= "table" or (byte(body) ~= OPEN and not find(body, "^%s*{")) then
        local sort = lower(ngx.var.content_type or "")
        if sub(sort, 1, 10) == "multipart/" then
            return refuse(415, "invalid_request_error", "unsupported_media_type",
                "A multipart body names no model that can be read here: send it to /m/MODEL/v1/... instead.")
        end
        return refuse(400, "invalid_request_error", "invalid_json",
            value and "The body has to be a JSON object." or "The body is not JSON (UTF-8, at most 1000 levels deep).")
    end
    local name = value.model
    if type(name) ~= "string" or name == "" then
        return refuse(400, "invalid_request_error", "missing_model",
            'The body has to name a "model" (a string); there are: ' .. answers.existing(owner) .. ".", "model")
    end
    return name, body
end

local function send(way, endpoint, path)
    engines.taken(endpoint)
    return ngx.exec(way .. path)
end

local function unavailable(status, code, message)
    ngx.header["Retry-After"] = "2"
    return refuse(status, "server_error", code, message)
end

local function forward(owner, wanted)
    local name, body = wanted.name, nil
    if not name then
        name, body = named_by_body(owner)
        if not name then
            return
        end
    end
    local found = names[name]
    if not found or not answers.may_use(owner, found.at) then
        if not body then
            ngx.req.discard_body()
        end
        return answers.unknown_model(owner, name)
    end
    local model = config.models[found.at + 1]
    -- An alias is ours: the engine has never heard of it.
    if found.alias == 1 and body then
        ngx.req.set_body_data(member.replace(body, "model", model.name))
    end
    local at = engines.pick(owner, model, "")
    if not at then
        ngx.var.gw_model = model.name
        return unavailable(503, "model_unavailable", "The engine of this model takes nothing new right now; try again shortly.")
    end
    return send("/_u/" .. found.at .. "/" .. at - 1, model.all[at], wanted.path)
end

local door = {}

-- Answers a request, or sends it on its way. A body is read only once its sender is known.
function door.enter()
    local var, method = ngx.var, ngx.req.get_method()
    local uri = var.uri
    local wanted = target(uri)
    if #uri > 200 then
        -- A line of the log has to stay shorter than what is written at once.
        var.gw_path = sub(uri, 1, 200)
    end
    if not wanted then
        ngx.req.discard_body()
        return refuse(404, "invalid_request_error", "not_found", "There is nothing at this path.")
    end
    if wanted.kind == "post" and method ~= "POST" or wanted.kind ~= "post" and method ~= "GET" and method ~= "HEAD" then
        local allowed = wanted.kind == "post" and "POST" or "GET, HEAD"
        ngx.req.discard_body()
        ngx.header["Allow"] = allowed
        return refuse(405, "invalid_request_error", "method_not_allowed", "This path takes " .. allowed .. " only.")
    end
    if wanted.kind == "health" then
        return answers.health()
    end
    local owner = owner_of(var)
    if not owner then
        ngx.req.discard_body()
        ngx.header["WWW-Authenticate"] = "Bearer"
        return refuse(401, "invalid_request_error", "invalid_api_key",
            'No valid API key was sent: put one into "Authorization: Bearer KEY" or "x-api-key: KEY".')
    end
    var.gw_key = owner.name
    if wanted.kind == "models" then
        return answers.list_models(owner)
    elseif wanted.kind == "model" then
        return answers.one_model(owner, wanted.name)
    end
    return forward(owner, wanted)
end

-- Of what nginx notes of each engine that it tried ("- : 0.001"), what belongs to the last.
local function last_of(times)
    return times and times:match("[^ ]*$") or ""
end

-- nginx got no answer from an engine. A request that never reached it goes to another one; one that did is not sent twice.
function door.again()
    local var = ngx.var
    if last_of(var.upstream_connect_time) == "-" then
        -- Nobody else is sent there until the next look finds it well.
        engines.lost(var.gw_endpoint)
        local index, tried, path = var.uri:match("^/_u/(%d+)/(%d+)(/.*)$")
        local model = config.models[index + 1]
        var.gw_tried = var.gw_tried .. " " .. tried + 1 .. " "
        local _, count = var.gw_tried:gsub("%d+", "")
        local at = count < 3 and engines.pick(owner_of(var) or config.anyone, model, var.gw_tried)
        if at then
            engines.left(var.gw_endpoint)
            return send("/_u/" .. index .. "/" .. at - 1, model.all[at], path)
        end
    end
    if last_of(var.upstream_status) == "504" then
        return unavailable(504, "model_timeout", "The engine of this model took too long.")
    end
    return unavailable(502, "model_unavailable", "The engine of this model does not answer; try again shortly.")
end

return door
