-- Copyright: (c) 2026, gpuserve.fleet contributors
-- GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- The name of a model in a multipart form, found without reading more of its other parts than where they end. Of two the last counts, as
-- for the engine.

local find, sub = string.find, string.sub
-- Of a part's head, and of the form's name of a model.
local LONGEST = 4096

-- Between so many parts nginx does whatever else it has to do.
local PARTS_AT_ONCE, BREATH_S = 16, 0.001

local form = {}

-- Whether a part's head names it "model". Line by line, so that no head is looked through more than once.
local function names_model(head)
    for line in head:gmatch("[^\r\n]+") do
        local disposition = line:match("^[Cc][Oo][Nn][Tt][Ee][Nn][Tt]%-[Dd][Ii][Ss][Pp][Oo][Ss][Ii][Tt][Ii][Oo][Nn]:(.*)$")
        for parameter in (disposition or ""):gmatch("[^;]+") do
            local name = parameter:match("^%s*[Nn][Aa][Mm][Ee]=(.*)$")
            if name and (name:match('^"([^"]*)"%s*$') or name:match("^(%S*)%s*$")) == "model" then
                return true
            end
        end
    end
    return false
end

-- The boundary that a form's type names, nil for none that is good.
local function boundary_of(content_type)
    local boundary = content_type:match('[Bb][Oo][Uu][Nn][Dd][Aa][Rr][Yy]="([^"]+)"') or content_type:match("[Bb][Oo][Uu][Nn][Dd][Aa][Rr][Yy]=([^;%s]+)")
    return boundary and #boundary <= 70 and boundary or nil
end

-- Where the value of the part "model" stands (offsets from 0, to exclusive) and what it is; nil for none.
function form.model_of(body, content_type)
    local boundary = boundary_of(content_type)
    if not boundary then
        return nil
    end
    local mark = "--" .. boundary
    -- Offsets of each mark: what is looked at overlaps by the length of one.
    local marks, base, rest = {}, 0, ""
    body:each(function(piece)
        local text = rest .. piece
        local start, at = base - #rest, 1
        while true do
            local found = find(text, mark, at, true)
            if not found then
                break
            end
            marks[#marks + 1] = start + found - 1
            if #marks > 1000 then
                return nil
            end
            at = found + #mark
        end
        base = base + #piece
        rest = sub(text, math.max(at, #text - #mark + 2))
        return true
    end)
    local name, from, to
    for number = 1, #marks - 1 do
        local begin, finish = marks[number] + #mark, marks[number + 1]
        local text = body:sub(begin, math.min(finish, begin + LONGEST))
        local head, value = text:match("^[ \t]*\r?\n(.-\r?\n)\r?\n()")
        if number % PARTS_AT_ONCE == 0 then
            ngx.sleep(BREATH_S)
        end
        if head and names_model(head) then
            from, to = begin + value - 1, finish
            local found = body:sub(from, math.min(to, from + 1024)):gsub("\r?\n$", "")
            name = found
            to = from + #found
        end
    end
    return name, from, to
end

return form
