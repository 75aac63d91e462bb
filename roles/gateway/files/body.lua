-- Copyright: (c) 2026, gpuserve.fleet contributors
-- GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- The body of a request: in memory while it is small, in a file while it is not, and looked at in pieces either way. Between two pieces
-- nginx does whatever else it has to do.

local ffi = require("ffi")

local PIECE = 65536
-- nginx calls a timer of no time again before it looks for anything else.
local BREATH_S = 0.001

local Body = {}
Body.__index = Body

local body = {}

-- Reads what the client sends, which takes as long as the client likes. Returns nil where it can't be had.
function body.read()
    if not pcall(ngx.req.read_body) then
        return nil
    end
    local text = ngx.req.get_body_data()
    if text then
        return setmetatable({text = text, size = #text}, Body)
    end
    local path = ngx.req.get_body_file()
    if not path then
        return setmetatable({text = "", size = 0}, Body)
    end
    return body.of_file(path)
end

function body.of_file(path)
    local file = io.open(path, "rb")
    local size = file and file:seek("end")
    return file and setmetatable({file = file, path = path, size = size}, Body)
end

-- The bytes from `from` to `to` (offsets from 0, to exclusive).
function Body:sub(from, to)
    if self.text then
        return self.text:sub(from + 1, to)
    end
    self.file:seek("set", from)
    return self.file:read(to - from) or ""
end

-- Hands over the whole in pieces until `take` returns nil; returns what it returned last.
function Body:each(take)
    if self.text then
        return take(self.text)
    end
    local file, at = self.file, 0
    while at < self.size do
        -- Another look at the same file may have been made meanwhile.
        file:seek("set", at)
        local piece = file:read(PIECE)
        if not piece then
            return nil, "invalid_json"
        end
        local good, problem = take(piece)
        if not good then
            return nil, problem
        end
        at = at + #piece
        ngx.sleep(BREATH_S)
    end
    return true
end

-- Has a scan look at it all. Returns true, or nil and what is wrong.
function Body:scanned_by(scan)
    local good, problem = self:each(function(piece)
        return scan:feed(ffi.cast("const uint8_t *", piece), #piece)
    end)
    if good and not scan:is_whole() then
        return nil, "invalid_json"
    end
    return good, problem
end

local function by_place(one, other)
    return one.from < other.from
end

-- Puts texts in places of others: edits of from, to, text, none over another. The engine is sent what comes of it. Returns nil where there
-- is no room for that.
function Body:replace(edits)
    table.sort(edits, by_place)
    if self.text then
        local pieces, at = {}, 0
        for _, edit in ipairs(edits) do
            pieces[#pieces + 1] = self.text:sub(at + 1, edit.from)
            pieces[#pieces + 1] = edit.text
            at = edit.to
        end
        pieces[#pieces + 1] = self.text:sub(at + 1)
        self.text = table.concat(pieces)
        self.size = #self.text
        ngx.req.set_body_data(self.text)
        return true
    end
    local path = self.path .. ".changed"
    local changed, good = assert(io.open(path, "wb")), true
    local function copy(from, to)
        while good and from < to do
            local last = math.min(from + PIECE, to)
            good = changed:write(self:sub(from, last))
            from = last
            ngx.sleep(BREATH_S)
        end
    end
    local at = 0
    for _, edit in ipairs(edits) do
        copy(at, edit.from)
        good = good and changed:write(edit.text)
        at = edit.to
    end
    copy(at, self.size)
    good = good and changed:flush()
    changed:close()
    if not good then
        os.remove(path)
        return nil
    end
    -- What it was made of lies in memory until the request has ended; nobody reads it any more.
    local before = io.open(self.path, "wb")
    if before then
        before:close()
    end
    -- nginx removes it when the request has ended.
    ngx.req.set_body_file(path, true)
    self.file:close()
    self.file, self.path = assert(io.open(path, "rb")), path
    self.size = self.file:seek("end")
    return true
end

function Body:close()
    if self.file then
        self.file:close()
        self.file = nil
    end
end

return body
