-- Copyright: (c) 2026, gpuserve.fleet contributors
-- GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- The decisions on a request: who may come in, to which engine a request goes, and where else it goes when that one can't be reached.
--
-- A name that a client sends is only ever looked up; nothing of it becomes part of an address, a header or a path.

local ffi = require("ffi")
local admission = require("admission")
local answers = require("answers")
local body_of = require("body")
local config = require("config")
local counts = require("counts")
local account = require("account")
local engines = require("engines")
local filters = require("filters")
local form = require("form")
local gunzip = require("gunzip")
local policy = require("policy")
local requests = require("requests")
local scan = require("scan")
local usage = require("usage")

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

-- What is asked for as a websocket.
local REALTIME = "/v1/realtime"

-- What a direct address asks for: the model's name, and what the engine is asked.
local function addressed(name, path)
    if path == "/v1/models" then
        return {kind = "list_one", name = name}
    end
    if direct[path] and path == REALTIME then
        return {kind = "socket", name = name, path = path}
    elseif direct[path] then
        return {kind = "post", name = name, path = path}
    end
end

local plain = {["/v1/models"] = {kind = "models"}, ["/health"] = {kind = "health"}, ["/livez"] = {kind = "alive"}}
for path in pairs(config.posts) do
    plain[path] = {kind = path == REALTIME and "socket" or "post", path = path}
end

-- What follows the /v1 of an engine's path; /chat/completions ends like /completions, so the longer ones come first.
local tails = {}
for path in pairs(direct) do
    tails[#tails + 1] = sub(path, 4)
end
tails[#tails + 1] = "/models"
table.sort(tails, function(one, other) return #one > #other end)

-- What a request's path asks for: kind (post, socket, models, list_one, model, health, alive), name of the model where the path has it, path for the engine.
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
    -- "Bearer" and nothing is what clients send that were given no key: it says nothing.
    if authorization and lower(authorization) ~= "bearer" then
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
local function owner_of(var, other)
    if not config.auth then
        return config.anyone
    end
    local sent = credential(var) or other
    if not sent or sent == "" or #sent > 256 then
        return nil
    end
    local owner = keys[digest(sent)]
    if owner and owner.expires and ngx.time() >= owner.expires then
        return nil
    end
    return owner
end

-- By owner and model: what a key may do at the address of one model.
local narrowed = {}

local function narrow(owner, only)
    local index = tonumber(only)
    local kept = narrowed[owner] or {}
    narrowed[owner] = kept
    if not kept[index] then
        kept[index] = setmetatable({models = {[index] = answers.may_use(owner, index) or nil}}, {__index = owner})
    end
    return kept[index]
end

-- Longer names are nobody's; escaped, each of a name's characters can take six.
local LONGEST_VALUE = 1024
local STRING = ('"'):byte()
local NOT_JSON = "The body is not JSON (an object in UTF-8, at most 1000 levels deep)."

-- Small bodies that hold nothing out of the ordinary are parsed at once, which takes a tenth of the time. Members that need no more than
-- a probe of their value; whatever else there is, and what this parser takes for no JSON, is for the scan to judge.
local SMALL = 16384
local PLAIN = {model = true, stream = true, max_tokens = true, max_completion_tokens = true, prompt = true}

-- Whether a value is one, or not there.
local function is_number(value)
    return value == nil or type(value) == "number"
end

-- What a glance tells of a body, nil where it takes a scan.
local function glanced_at(body, wanted)
    local text = body.text
    if not text or #text > SMALL or find(text, "url", 1, true) or find(text, "[\\%z]") or find(wanted.path, "/messages", 1, true) then
        return nil
    end
    local at = find(text, "{", 1, true)
    local values = at and find(text, "^%s*{") and decode(text)
    if type(values) ~= "table" or type(values.model) ~= "string" and not wanted.name then
        return nil
    end
    if not (is_number(values.max_tokens) and is_number(values.max_completion_tokens)) then
        return nil
    end
    -- Of a list of prompts it counts how many they are; one of numbers is one prompt.
    if type(values.prompt) == "table" and type(values.prompt[1]) ~= "number" then
        return nil
    end
    local known = values.model and names[values.model]
    if known and known.alias == 1 then
        return nil
    end
    for name in pairs(values) do
        if policy.wanted[name] and not PLAIN[name] then
            return nil
        end
    end
    return {values = values, first = at, members = {}, media = 0, remote = 0}
end

-- What was found of a body, or nil after having refused it.
local function looked_through(body, wanted)
    local glanced = glanced_at(body, wanted)
    if glanced then
        return glanced
    end
    local found = scan.new(policy.wanted, find(wanted.path, "/messages", 1, true) ~= nil, body.text ~= nil)
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
    local name, cut, broken
    if found.values then
        name = found.values.model
    else
        name, cut, broken = text_of(body, found.members.model)
    end
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

-- The container's /tmp is full: gateway_tmp_size.
local function no_room()
    return unavailable(503, "overloaded", "There is no room for this body right now; try again shortly.")
end

local function is_open(owner, name)
    local found = names[name]
    return found and answers.may_use(owner, found.at) and found
end

local function send(request, at, path)
    request.endpoint = request.model.all[at]
    requests.take(request, "in " .. request.endpoint, 1)
    ngx.var.gw_engine_key = engines.key_of(request.endpoint) or ""
    return ngx.exec("/_u/" .. request.index .. "/" .. at - 1 .. path)
end

-- How many requests a model's engines are at and have waiting.
local function under_way(model)
    local number = 0
    for _, endpoint in ipairs(model.endpoints) do
        number = number + counts.of("in " .. endpoint)
    end
    return number
end

-- The name that a form has in its part "model", the edits that put the engine's own there; nil after having refused it.
local function named_by_form(owner, body, var)
    local name, from, to = form.model_of(body, var.content_type)
    if not name or name == "" then
        return refuse(400, "invalid_request_error", "missing_model", "The form has to have a part \"model\"; there are: "
            .. answers.existing(owner) .. ".", "model")
    end
    local known = is_open(owner, name)
    if not known then
        return answers.unknown_model(owner, name)
    end
    return name, known.alias == 1 and {{from = from, to = to, text = config.models[known.at + 1].name}} or {}
end

-- A body that was sent with gzip, made plain; nil after having refused it.
local function plain_body(request, body, var)
    local coding = lower(var.http_content_encoding or "")
    if coding == "" or coding == "identity" then
        return body
    end
    if coding ~= "gzip" and coding ~= "x-gzip" then
        return refuse(415, "invalid_request_error", "unsupported_encoding", "A body may be sent plain or with gzip.")
    end
    local path = "/tmp/client_body/plain-" .. request.at
    local size, problem = gunzip.to_file(body, path, config.limits.body)
    if not size then
        if problem == "too_large" then
            return answers.page(413)
        elseif problem == "no_room" then
            return no_room()
        end
        return refuse(400, "invalid_request_error", "invalid_encoding", "The body is not what gzip makes.")
    end
    body:close()
    -- nginx removes it when the request has ended.
    ngx.req.set_body_file(path, true)
    ngx.req.clear_header("Content-Encoding")
    return body_of.of_file(path)
end

-- Sends a request on where its model has an engine with room for it.
local function dispatch(request, owner, name, path, var)
    request.index = names[name].at
    local model = config.models[request.index + 1]
    request.model = model
    var.gw_model = model.name
    if model.closed[path] then
        return refuse(400, "invalid_request_error", "unsupported_task",
            "The model `" .. model.name .. "` is for " .. model.task .. ", which this path does not serve.", "model")
    end
    local queue = model.queue and model.queue > 0 and model.queue
    if queue and under_way(model) >= queue and not admission.room_comes(request, model.name, queue, function()
        return under_way(model) < queue
    end) then
        return admission.too_many(request, "concurrency", account.wait_of(model, under_way(model)), "Too many requests at once; try again shortly.")
    end
    local at = engines.pick(owner, model, "")
    if not at then
        return unavailable(503, "model_unavailable", "The engine of this model takes nothing new right now; try again shortly.")
    end
    return send(request, at, path)
end

-- Reads the body, settles which model it is for and whether that may be asked it, and sends it there.
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
    body = plain_body(request, body, var)
    if not body then
        return
    end
    request.body = body
    admission.settle(request, body.size)
    local edits = {}
    if is_multipart(var) then
        if find(wanted.path, "/audio/", 1, true) == nil then
            return refuse(415, "invalid_request_error", "unsupported_media_type", "This path takes JSON, no form.")
        end
        if not name then
            name, edits = named_by_form(owner, body, var)
            if not name then
                return
            end
        end
        if not policy.admits_size(body, config.models[names[name].at + 1], owner) then
            return
        end
    else
        local found = looked_through(body, wanted)
        if not found then
            return
        end
        local named = name == nil
        if named then
            name = named_by_body(owner, body, found)
            if not name then
                return
            end
        end
        local known = is_open(owner, name)
        if not known then
            return answers.unknown_model(owner, name)
        end
        local model = config.models[known.at + 1]
        if not policy.admits(body, found, model, owner) then
            return
        end
        edits = usage.asked_for(request, body, found, wanted.path)
        if named and known.alias == 1 then
            -- An alias is ours: the engine has never heard of it.
            local member = found.members.model
            edits[#edits + 1] = {from = member.from, to = member.to, text = '"' .. model.name .. '"'}
        end
    end
    if edits[1] and not body:replace(edits) then
        return no_room()
    end
    body:close()
    request.tells_usage, request.sent_bytes = true, body.size
    return dispatch(request, owner, name, wanted.path, var)
end

-- Opens a websocket to the model that the address names.
local function connect(request, owner, wanted, var)
    local name = wanted.name or ngx.req.get_uri_args()["model"]
    if lower(var.http_upgrade or "") ~= "websocket" then
        return refuse(400, "invalid_request_error", "no_websocket", "This path speaks WebSocket only.")
    end
    if type(name) ~= "string" or not is_open(owner, name) then
        return answers.unknown_model(owner, type(name) == "string" and name or "")
    end
    if not admission.enter(request, owner, var) then
        return
    end
    var.gw_upgrade, var.gw_connection = "websocket", "upgrade"
    return dispatch(request, owner, name, wanted.path, var)
end

-- The key that a browser can send with a websocket: among the protocols that it offers.
local function key_among_protocols(var)
    return (var.http_sec_websocket_protocol or ""):match("openai%-insecure%-api%-key%.([%w._~+/=-]+)")
end

-- What a browser asks before it asks: whether pages from there may. It sends no key with it.
local function preflight(var)
    local header = ngx.header
    if filters.allowed_origin(var) then
        header["Access-Control-Allow-Methods"] = "GET, POST, OPTIONS"
        local asked = var.http_access_control_request_headers or ""
        header["Access-Control-Allow-Headers"] = #asked < 1024 and asked:match("^[%w%-_, ]+$")
            or "authorization, content-type, x-api-key, x-request-id"
        header["Access-Control-Max-Age"] = "600"
    end
    ngx.status = 204
    ngx.exit(204)
end

-- Who sends wrong keys waits longer for each answer, up to a second; nobody else does, from the same address neither.
local wrong = ngx.shared.wrong
local MOST_WAITING = 64

local function denied(var)
    ngx.req.discard_body()
    local address = var.remote_addr
    -- A network of IPv6 is one sender.
    address = find(address, ":", 1, true) and address:match("^%x*:%x*:%x*:%x*") or address
    local number = wrong:incr("of " .. address, 1, 0, 60) or 1
    if number > 3 then
        local waiting = wrong:incr("waiting " .. address, 1, 0, 10) or 1
        if waiting <= MOST_WAITING then
            ngx.sleep(math.min(1, 0.05 * 2 ^ math.min(number - 4, 5)))
        end
        wrong:incr("waiting " .. address, -1, 0, 10)
    end
    ngx.header["WWW-Authenticate"] = "Bearer"
    return refuse(401, "invalid_request_error", "invalid_api_key",
        'No valid API key was sent: put one into "Authorization: Bearer KEY" or "x-api-key: KEY".')
end

local METHODS = {post = {POST = true}, socket = {GET = true}}
local READS = {GET = true, HEAD = true}

local router = {}

-- Answers a request, or sends it on its way. A body is read only once its sender is known.
function router.enter()
    local var, method = ngx.var, ngx.req.get_method()
    local uri = var.uri
    local wanted = target(uri)
    if #uri > 200 or find(uri, "[^\32-\126]") then
        -- A line of the log has to stay shorter than what is written at once, and be text.
        var.gw_path = sub(uri, 1, 200):gsub("[^\32-\126]", "?")
    end
    local id = var.http_x_request_id
    if id and #id <= 128 and find(id, "^[%w._:-]+$") then
        -- The engine gets one that no other client can have chosen, too.
        var.gw_id, var.gw_engine_id = id, id .. "." .. var.gw_at
    end
    if not wanted then
        ngx.req.discard_body()
        return refuse(404, "invalid_request_error", "not_found", "There is nothing at this path.")
    end
    if method == "OPTIONS" and config.origins and var.http_origin and var.http_access_control_request_method then
        return preflight(var)
    end
    local kind = wanted.kind
    if not (METHODS[kind] or READS)[method] then
        local allowed = kind == "post" and "POST" or kind == "socket" and "GET" or "GET, HEAD"
        ngx.req.discard_body()
        ngx.header["Allow"] = allowed
        return refuse(405, "invalid_request_error", "method_not_allowed", "This path takes " .. allowed .. " only.")
    end
    if kind == "alive" then
        return answers.alive()
    end
    local owner = owner_of(var, kind == "socket" and key_among_protocols(var) or nil)
    local only = var.gw_only
    if owner and only ~= "" then
        owner = narrow(owner, only)
    end
    if kind == "health" then
        return answers.health(owner, tonumber(only))
    end
    if not owner then
        return denied(var)
    end
    var.gw_key = owner.name
    if kind == "models" then
        return answers.list_models(owner)
    elseif kind == "model" then
        return answers.one_model(owner, wanted.name)
    elseif kind == "list_one" then
        return answers.list_one(owner, wanted.name)
    end
    local request = requests.begin(var.gw_at)
    request.owner = owner
    return (kind == "socket" and connect or forward)(request, owner, wanted, var)
end

-- Of what nginx notes of each engine that it tried ("- : 0.001"), what belongs to the last.
local function last_of(times)
    return times and times:match("[^ ]*$") or ""
end

-- Sends a request to another engine of its model than those tried, where there is one; nil where there is none.
local function elsewhere(request, var)
    local tried, path = var.uri:match("^/_u/%d+/(%d+)(/.*)$")
    var.gw_tried = var.gw_tried .. " " .. tried + 1 .. " "
    local _, count = var.gw_tried:gsub("%d+", "")
    local at = count < 3 and engines.pick(request.owner, request.model, var.gw_tried)
    if at then
        requests.give_back(request, "in " .. request.endpoint)
        return true, send(request, at, path)
    end
end

-- nginx got no answer from an engine, or one that is none for a client. A request that never reached it goes to another one; one that did
-- is not sent twice, unless a box itself answered that it could do nothing with it.
function router.again()
    local var = ngx.var
    local request = requests.current(var)
    local status = last_of(var.upstream_status)
    if request and request.endpoint and last_of(var.upstream_connect_time) == "-" then
        -- Nobody else is sent there until the next probe finds it well.
        engines.lost(request.endpoint)
        if elsewhere(request, var) then
            return
        end
    end
    local on_boxes = request and request.endpoint and request.model.on_boxes
    if on_boxes and (status == "502" or status == "503") and last_of(var.upstream_header_time) ~= "-" then
        -- The box says so itself: its engine is away, and nothing of an answer has reached the client.
        if elsewhere(request, var) then
            return
        end
        return unavailable(503, "model_unavailable", "No engine of this model takes anything right now; try again shortly.")
    end
    if (status == "503" or status == "429") and request and request.endpoint then
        -- The engine's own queue is full, and nothing was done there; another one may have room.
        if elsewhere(request, var) then
            return
        end
        request.rejected = "queue"
        ngx.header["Retry-After"] = account.wait_of(request.model, under_way(request.model))
        return refuse(429, "rate_limit_error", "rate_limit_exceeded", "The engine of this model has too many requests waiting; try again shortly.")
    end
    if status == "504" then
        return unavailable(504, "model_timeout", "The engine of this model took too long.")
    end
    return unavailable(502, "model_unavailable", "The engine of this model does not answer; try again shortly.")
end

-- An engine refused us (401) or sent us elsewhere: nothing that a client could mend. The client's own key was good.
function router.refused()
    local var = ngx.var
    local request = requests.current(var)
    if request and request.endpoint then
        if last_of(var.upstream_status) == "401" then
            ngx.log(ngx.ERR, "the engine at ", request.endpoint, " refuses the gateway's key for ", request.model.name,
                ": set api_key of this model in gateway_models to the one that the engine takes; until then it gets nothing")
            engines.refuses_key(request.endpoint)
            -- Nothing was done with it there.
            if elsewhere(request, var) then
                return
            end
        else
            ngx.log(ngx.ERR, "the engine at ", request.endpoint, " sends requests for ", request.model.name, " elsewhere (",
                last_of(var.upstream_status), "); the gateway goes nowhere that it was not told of")
        end
    end
    return unavailable(502, "model_unavailable", "The engine of this model does not take the gateway's requests; its operator has been told.")
end

return router
