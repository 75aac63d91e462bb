-- Copyright: (c) 2026, gpuserve.fleet contributors
-- GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- What was used by day, where it outlives the container: a file a key and month, in it a line of JSON a day and model. Whoever bills, or
-- asks with playbooks/usage.yml, reads these; budgets are taken up from them. Files of months that are over long enough are removed.

local ffi = require("ffi")
local config = require("config")

local C = ffi.C
local dict = ngx.shared.usage
local decode = config.json.decode
local FOLDER = "/usage/"
-- What is counted, and what a line calls it.
local KINDS = {
    {"requests", "requests"}, {"prompt", "prompt_tokens"}, {"cached", "cached_tokens"}, {"output", "output_tokens"},
    {"audio_ms", "audio_ms"}, {"estimated", "estimated"},
}

-- As the kernel and both C libraries have it on 64 bits.
ffi.cdef([[
typedef struct gpuserve_folder gpuserve_folder;
typedef struct { uint64_t ino; int64_t off; unsigned short length; unsigned char sort; char name[256]; } gpuserve_entry;
gpuserve_folder *opendir(const char *path);
gpuserve_entry *readdir(gpuserve_folder *folder);
int closedir(gpuserve_folder *folder);
]])

local models, owners = {}, {[config.anyone.name] = true}
for _, model in ipairs(config.models) do
    models[model.name] = true
end
for _, owner in pairs(config.keys) do
    owners[owner.name] = true
end

local ledger = {}

function ledger.today()
    return os.date("!%Y-%m-%d")
end

local function path_of(month, key)
    return FOLDER .. "usage-" .. month .. "-" .. key .. ".jsonl"
end

-- The lines of a file, each as it is written and decoded.
local function lines_of(path)
    local file, found = io.open(path, "r"), {}
    for line in file and file:lines() or function() end do
        local told = decode(line)
        if type(told) == "table" and type(told.day) == "string" and type(told.model) == "string" then
            found[#found + 1] = {text = line, told = told}
        end
    end
    if file then
        file:close()
    end
    return found
end

-- Adds to what a key used of a model today.
function ledger.add(day, key, model, used)
    for kind, value in pairs(used) do
        dict:incr("day " .. day .. " " .. key .. " " .. model .. " " .. kind, value, 0)
    end
    dict:set("unwritten " .. key, true)
end

local function line_of(day, key, model)
    if not dict:get("day " .. day .. " " .. key .. " " .. model .. " requests") then
        return nil
    end
    local parts = {string.format('{"day":"%s","key":"%s","model":"%s"', day, key, model)}
    for _, kind in ipairs(KINDS) do
        parts[#parts + 1] = string.format(',"%s":%d', kind[2], dict:get("day " .. day .. " " .. key .. " " .. model .. " " .. kind[1]) or 0)
    end
    return table.concat(parts) .. "}"
end

local complained

-- Puts a file in its place whole. Returns nil where that can't be had.
local function put(path, text)
    local new = path .. ".new-" .. ngx.worker.pid()
    local file, problem = io.open(new, "w")
    local good = file and file:write(text) and file:flush()
    if file then
        file:close()
    end
    if good then
        good, problem = os.rename(new, path)
    end
    if not good then
        os.remove(new)
        if not complained then
            complained = true
            ngx.log(ngx.ERR, "what clients use can't be written to ", path, " (", problem or "the disk is full",
                "): it counts on in memory, until the container is started anew")
        end
    end
    return good
end

local function write_key(day, key)
    local path, lines = path_of(day:sub(1, 7), key), {}
    local now = {}
    for model in pairs(models) do
        now[model] = line_of(day, key, model)
    end
    for _, line in ipairs(lines_of(path)) do
        if line.told.day ~= day or not now[line.told.model] then
            lines[#lines + 1] = line.text
        end
    end
    for _, model in ipairs(config.models) do
        lines[#lines + 1] = now[model.name]
    end
    return lines[1] and put(path, table.concat(lines, "\n") .. "\n")
end

local function write_day(day)
    for key in pairs(owners) do
        if dict:get("unwritten " .. key) then
            -- What is added meanwhile is written the next time.
            dict:delete("unwritten " .. key)
            if not write_key(day, key) then
                dict:set("unwritten " .. key, true)
            end
        end
    end
end

local function month_number(year, month)
    return tonumber(year) * 12 + tonumber(month)
end

-- Removes files of months before those that are kept, and what a process left that ended while it wrote.
local function prune(day)
    local oldest = month_number(day:sub(1, 4), day:sub(6, 7)) - config.usage_months + 1
    local folder = C.opendir(FOLDER)
    if folder == nil then
        return
    end
    local gone = {}
    while true do
        local entry = C.readdir(folder)
        if entry == nil then
            break
        end
        local name = ffi.string(entry.name)
        local year, month = name:match("^usage%-(%d%d%d%d)%-(%d%d)%-.+%.jsonl$")
        if (year and month_number(year, month) < oldest) or name:match("^usage%-.+%.jsonl%.new%-%d+$") then
            gone[#gone + 1] = name
        end
    end
    C.closedir(folder)
    for _, name in ipairs(gone) do
        os.remove(FOLDER .. name)
    end
end

local written

function ledger.write()
    local day = ledger.today()
    if written and written ~= day then
        write_day(written)
        -- Of a day that is over nothing is asked here any more.
        local old = "day " .. written .. " "
        for _, key in ipairs(dict:get_keys(0)) do
            if key:sub(1, #old) == old then
                dict:delete(key)
            end
        end
        prune(day)
    end
    written = day
    write_day(day)
end

-- Takes up what was used today and this month where nothing is known, after the container was started anew.
local function restore(day)
    if not dict:add("restored", true) then
        return
    end
    local month = day:sub(1, 7)
    for key in pairs(owners) do
        for _, line in ipairs(lines_of(path_of(month, key))) do
            local told = line.told
            local tokens = (told.prompt_tokens or 0) + (told.output_tokens or 0)
            dict:incr("tokens " .. month .. " " .. key, tokens, 0)
            if told.day == day then
                dict:incr("tokens " .. day .. " " .. key, tokens, 0)
                for _, kind in ipairs(KINDS) do
                    dict:incr("day " .. day .. " " .. key .. " " .. told.model .. " " .. kind[1], told[kind[2]] or 0, 0)
                end
            end
        end
    end
end

function ledger.open()
    written = ledger.today()
    restore(written)
    prune(written)
end

return ledger
