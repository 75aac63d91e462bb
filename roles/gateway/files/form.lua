-- Copyright: (c) 2026, gpuserve.fleet contributors
-- GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- The name of a model in a multipart form, found without reading more of its other parts than where they end. Of two the last counts, as
-- for the engine.

local find, sub = string.find, string.sub
-- Of a part's head, and of the form's name of a model.
local LONGEST = 4096

local form = {}

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
        if head and head:lower():find("content%-disposition:[^\n]*;%s*name=\"?model\"?[%s;]") then
            from, to = begin + value - 1, finish
            local found = body:sub(from, math.min(to, from + 1024)):gsub("\r?\n$", "")
            name = found
            to = from + #found
        end
    end
    return name, from, to
end

return form
