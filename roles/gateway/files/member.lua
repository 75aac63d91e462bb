-- Copyright: (c) 2026, gpuserve.fleet contributors
-- GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Changes one member of a JSON object in its text, and nothing else: written anew, 12345678901234567890 would become a float and an empty
-- list an empty object.

local decode = require("config").json.decode
local find, sub = string.find, string.sub

-- Where the string that starts at `from` ends.
local function end_of_string(text, from)
    local at = from + 1
    while true do
        at = find(text, '["\\]', at)
        if sub(text, at, at) == '"' then
            return at
        end
        at = at + 2
    end
end

local member = {}

-- `text` is an object that has been parsed before, and every top-level member `name` of it a string or anything else but an open bracket:
-- returns it with the value of each such member replaced by the string `value`.
function member.replace(text, name, value)
    local pieces, kept, at, depth = {}, 1, 1, 0
    while true do
        at = find(text, '["{}%[%]]', at)
        if not at then
            break
        end
        local mark = sub(text, at, at)
        if mark == '"' then
            local last = end_of_string(text, at)
            local colon = depth == 1 and select(2, find(text, "^%s*:%s*", last + 1))
            if colon and decode("[" .. sub(text, at, last) .. "]")[1] == name then
                local from = colon + 1
                local to = sub(text, from, from) == '"' and end_of_string(text, from) or find(text, "[,}]", from) - 1
                if not find(text, "^[{%[]", from) then
                    pieces[#pieces + 1] = sub(text, kept, colon) .. '"' .. value .. '"'
                    kept, last = to + 1, to
                end
            end
            at = last + 1
        else
            depth = depth + ((mark == "{" or mark == "[") and 1 or -1)
            at = at + 1
        end
    end
    pieces[#pieces + 1] = sub(text, kept)
    return table.concat(pieces)
end

return member
