-- Copyright: (c) 2026, gpuserve.fleet contributors
-- GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- The door's decisions: who may come in, to which engine a request goes, and where else it goes when that one can't be reached.
--
-- A name that a client sends is only ever looked up; nothing of it becomes part of an address, a header or a path.

local ffi = require("ffi")
local admission = require("admission")
local answers = require("answers")
local body_of = require("body")
local config = require("config")
local counts = require("counts")
local engines = require("engines")
local requests = require("requests")
local scan = require("scan")

local C, ffi_string = ffi.C, ffi.string
local decode = config.json.decode
local find, lower, sub = string.find, string.lower, string.sub
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

-- Members of a body that are looked for.
local WANTED = {model = true}
-- Longer names are nobody's; escaped, each of a name's characters can take six.
local LONGEST_VALUE = 1024
local STRING = ('"'):byte()
local NOT_JSON = "The body is not JSON (an object in UTF-8, at most 1000 levels deep)."

-- What a scan has found of a body, or nil after having refused it.
local function looked_through(body, wanted)
    local found = scan.new(WANTED, find(wanted.path, "/messages", 1, true) ~= nil)
    local good, problem = body:scanned_by(found)
    if good then
        return found
    end
    return refuse(400, "invalid_request_error", "invalid_json", problem == "no_object" and "The body has to be a JSON object." or NOT_JSON)
end

-- The text of a member that is a string, nil where it is none.
local function text_of(body, member)
    if not member or member.kind ~= STRING then
        return nil
    end
    if member.to - member.from > LONGEST_VALUE then
        return body:sub(member.from + 1, member.from + 200), true
    end
    local decoded = decode("[" .. body:sub(member.from, member.to) .. "]")
    return decoded and decoded[1], false, not decoded
end

-- The name in a request's body, or nil after having refused it.
local function named_by_body(owner, body, found)
    local name, cut, broken = text_of(body, found.members.model)
    if broken then
        return refuse(400, "invalid_request_error", "invalid_json", NOT_JSON)
    end
    if not name or name == "" then
        return refuse(400, "invalid_request_error", "missing_model",
            'The body has to name a "model" (a string); there are: ' .. answers.existing(owner) .. ".", "model")
    end
    if cut then
        return answers.unknown_model(owner, name)
    end
    return name
end

local function is_multipart(var)
    return sub(lower(var.content_type or ""), 1, 10) == "multipart/"
end

local function unavailable(status, code, message)
    ngx.header["Retry-After"] = "2"
    return refuse(status, "server_error", code, message)
end

local function is_open(owner, name)
    local found = names[name]
    return found and answers.may_use(owner, found.at) and found
end

local function send(request, at, path)
    request.endpoint = request.model.all[at]
    requests.take(request, "in " .. request.endpoint, 1)
    return ngx.exec("/_u/" .. request.index .. "/" .. at - 1 .. path)
end

-- Whether a model's engines have room for one more that waits.
local function has_room(model)
    if not model.queue or model.queue == 0 then
        return true
    end
    local under_way = 0
    for _, endpoint in ipairs(model.endpoints) do
        under_way = under_way + counts.of("in " .. endpoint)
    end
    return under_way < model.queue
end

-- Reads the body, settles which model it is for, and sends it there.
local function forward(request, owner, wanted, var)
    local name = wanted.name
    -- Where the path names the model, nothing has to be read to refuse it.
    if name and not is_open(owner, name) then
        ngx.req.discard_body()
        return answers.unknown_model(owner, name)
    end
    if not admission.enter(request, owner, var) then
        return
    end
    local body = body_of.read()
    if not body then
        return answers.page(400)
    end
    request.body = body
    admission.settle(request, body.size)
    if is_multipart(var) then
        if not name then
            return refuse(415, "invalid_request_error", "unsupported_media_type",
                "A multipart body names no model that can be read here: send it to /m/MODEL/v1/... instead.")
        end
    else
        local found = looked_through(body, wanted)
        if not found then
            return
        end
        if not name then
            name = named_by_body(owner, body, found)
            if not name then
                return
            end
            local known = is_open(owner, name)
            if not known then
                return answers.unknown_model(owner, name)
            end
            if known.alias == 1 then
                -- An alias is ours: the engine has never heard of it.
                local member = found.members.model
                body:replace({{from = member.from, to = member.to, text = '"' .. config.models[known.at + 1].name .. '"'}})
            end
        end
    end
    body:close()
    request.index = names[name].at
    request.model = config.models[request.index + 1]
    var.gw_model = request.model.name
    if not has_room(request.model) then
        return admission.too_many(request, "concurrency", 1, "Too many requests at once; try again shortly.")
    end
    local at = engines.pick(owner, request.model, "")
    if not at then
        return unavailable(503, "model_unavailable", "The engine of this model takes nothing new right now; try again shortly.")
    end
    return send(request, at, wanted.path)
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
    local request = requests.begin(var.gw_at)
    request.owner = owner
    return forward(request, owner, wanted, var)
end

-- Of what nginx notes of each engine that it tried ("- : 0.001"), what belongs to the last.
local function last_of(times)
    return times and times:match("[^ ]*$") or ""
end

-- nginx got no answer from an engine. A request that never reached it goes to another one; one that did is not sent twice.
function door.again()
    local var = ngx.var
    local request = requests.current(var)
    if request and request.endpoint and last_of(var.upstream_connect_time) == "-" then
        -- Nobody else is sent there until the next look finds it well.
        engines.lost(request.endpoint)
        local tried, path = var.uri:match("^/_u/%d+/(%d+)(/.*)$")
        var.gw_tried = var.gw_tried .. " " .. tried + 1 .. " "
        local _, count = var.gw_tried:gsub("%d+", "")
        local at = count < 3 and engines.pick(request.owner, request.model, var.gw_tried)
        if at then
            requests.give_back(request, "in " .. request.endpoint)
            return send(request, at, path)
        end
    end
    if last_of(var.upstream_status) == "504" then
        return unavailable(504, "model_timeout", "The engine of this model took too long.")
    end
    return unavailable(502, "model_unavailable", "The engine of this model does not answer; try again shortly.")
end

return door
