-- Copyright: (c) 2026, gpuserve.fleet contributors
-- GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- What engines answer, on its way to the client: which headers get through, whether it was one at all, whether it came to its end.

local config = require("config")
local requests = require("requests")
local usage = require("usage")

local find, lower = string.find, string.lower

local GARBAGE = '{"error":{"message":"The engine of this model does not answer in HTTP.","type":"server_error","param":null,'
    .. '"code":"model_unavailable"}}\n'

local filters = {}

-- The origin that a browser's page may have come from, nil where it may not.
function filters.allowed_origin(var)
    local origin = config.origins and var.http_origin
    if not origin then
        return nil
    end
    if config.origins["*"] then
        return "*"
    end
    return config.origins[lower(origin)] and origin or nil
end

function filters.head()
    local var, header = ngx.var, ngx.header
    if config.origins then
        local origin = filters.allowed_origin(var)
        header["Access-Control-Allow-Origin"] = origin
        if origin then
            header["Access-Control-Expose-Headers"] = "X-Request-Id, Retry-After"
        end
        header["Vary"] = "Origin"
    end
    local request = requests.current(var)
    if not request or not request.endpoint then
        return
    end
    -- nginx takes what is no HTTP for an answer of its first version, which was without a head.
    if ngx.req.http_version() == 0.9 then
        request.garbage, request.answers = true, true
        ngx.status = 502
        header["Content-Type"] = "application/json"
        header["Content-Length"] = nil
        ngx.log(ngx.ERR, "the engine at ", request.endpoint, " answers ", request.model.name, "'s requests with what is no HTTP")
        return
    end
    request.answers = true
    request.streams = find(header["Content-Type"] or "", "text/event-stream", 1, true) == 1
    if request.takes_out and request.streams then
        header["Content-Length"] = nil
    end
end

function filters.body()
    local var = ngx.var
    local request = requests.current(var)
    if not request or not request.endpoint then
        return
    end
    local chunk, last = ngx.arg[1], ngx.arg[2]
    if request.garbage then
        -- As it has no head, we have to bring one; to HTTP/2 nginx has sent its own.
        local whole = var.http2 ~= "" and GARBAGE or "HTTP/1.1 502 Bad Gateway\r\nContent-Type: application/json\r\nContent-Length: " .. #GARBAGE
            .. "\r\nX-Request-Id: " .. var.gw_id .. "\r\nConnection: close\r\n\r\n" .. GARBAGE
        ngx.arg[1] = not request.told and whole or nil
        request.told = true
        request.whole = true
        return
    end
    -- Where an engine hangs up within its answer, nginx sends an empty piece to hurry what is on its way, and ends; where a client does, it
    -- just ends.
    request.broken = chunk == "" and not last
    request.whole = request.whole or last
    if request.answers and request.tells_usage then
        local kept = usage.look(request, chunk, last)
        if kept ~= chunk then
            ngx.arg[1] = kept
        end
    end
end

return filters
