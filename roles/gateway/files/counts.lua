-- Copyright: (c) 2026, gpuserve.fleet contributors
-- GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Counts of what is under way, which survive the process that counted. By name: the sum of all of nginx's processes, and beside it each
-- process's share ("of PID NAME"). A process that is gone takes its share out of the sum, whatever ended it.

local ffi = require("ffi")

local C = ffi.C
local dict = ngx.shared.counts
local ONE_OF_OURS_GONE = 3 -- ESRCH
-- A process can end between the two halves of a count. A sum that differs from its shares by the same in as many looks is set right; while
-- requests come and go it differs for an instant only.
local LOOKS = 10

ffi.cdef([[
int kill(int pid, int signal);
]])

local counts = {}

-- Names of this process's shares; known once it has been started.
local shares = setmetatable({}, {__index = function(known, name)
    local share = "of " .. ngx.worker.pid() .. " " .. name
    known[name] = share
    return share
end})

-- Returns the new sum.
function counts.take(name, amount)
    local sum = dict:incr(name, amount, 0)
    dict:incr(shares[name], amount, 0)
    return sum
end

function counts.give_back(name, amount)
    dict:incr(shares[name], -amount, 0)
    dict:incr(name, -amount, 0)
end

function counts.of(name)
    return dict:get(name) or 0
end

local function is_gone(pid)
    return C.kill(pid, 0) ~= 0 and ffi.errno() == ONE_OF_OURS_GONE
end

local differed, looks = {}, {}

-- Takes the shares of processes that are gone out of the sums.
function counts.settle()
    local sums, gone = {}, {}
    for _, key in ipairs(dict:get_keys(0)) do
        local pid, name = key:match("^of (%d+) (.+)$")
        if pid then
            pid = tonumber(pid)
            if gone[pid] == nil then
                gone[pid] = is_gone(pid)
            end
            local share = dict:get(key) or 0
            if gone[pid] then
                dict:delete(key)
                dict:incr(name, -share, 0)
            else
                sums[name] = (sums[name] or 0) + share
            end
        else
            sums[key] = sums[key] or 0
        end
    end
    for name, sum in pairs(sums) do
        local difference = (dict:get(name) or 0) - sum
        looks[name] = difference ~= 0 and difference == differed[name] and looks[name] + 1 or 1
        differed[name] = difference
        if difference ~= 0 and looks[name] >= LOOKS then
            dict:incr(name, -difference, 0)
            differed[name] = nil
        end
    end
end

-- One of nginx's processes settles for all of them, beginning with what the one before it left.
function counts.watch()
    if ngx.worker.id() ~= 0 then
        return
    end
    ngx.timer.at(0, counts.settle)
    ngx.timer.every(1, counts.settle)
end

return counts
