-- Copyright: (c) 2026, gpuserve.fleet contributors
-- GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Reads through the text of a JSON object, piece by piece, for a few of its top-level members and for what points to media elsewhere.
-- Nothing is decoded, so that what it costs is one look at each byte, in pieces as small as the caller likes.
--
-- Read as Python's parser does: of two members of one name the last counts, "\u006dodel" is "model". What an engine would take for JSON in
-- another coding, or deeper than a thousand levels, is none here.

local ffi = require("ffi")
local decode = require("config").json.decode

local DEEPEST, LONGEST_NAME = 1000, 256

-- A state says what may come next; "in a list" and "in an object" are two, so that most bytes need one look into a table and nothing else:
-- which state follows, and what has to be done beside it.
local STATES, number_of = {
    "top", "end", "first key", "key", "colon", "in name", "in name, escape", "in name, 4", "in name, 3", "in name, 2", "in name, 1",
    "first value", "list value", "list after", "list text", "list text, escape", "list text, 4", "list text, 3", "list text, 2",
    "list text, 1", "list word", "object value", "object after", "object text", "object text, escape", "object text, 4", "object text, 3",
    "object text, 2", "object text, 1", "object word",
}, {}
for at, name in ipairs(STATES) do
    number_of[name] = at
end
local NOTHING, REFUSE, OPEN, CLOSE, BEGIN_NAME, ESCAPE_NAME, END_NAME, BEGIN_TEXT, END_TEXT, BEGIN_WORD, END_WORD = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
local doing, following = ffi.new("uint8_t[?]", 256 * (#STATES + 1), REFUSE), ffi.new("uint8_t[?]", 256 * (#STATES + 1))
-- A single value fills an array of C only where its length is fixed.
ffi.fill(doing, 256 * (#STATES + 1), REFUSE)

local function rule(state, characters, action, following_state)
    for at = 1, #characters do
        local place = number_of[state] * 256 + characters:byte(at)
        doing[place], following[place] = action, number_of[following_state]
    end
end

local SPACES, DIGITS, LETTERS = " \t\r\n", "0123456789", "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
local NO_CONTROL = {}
for byte = 32, 255 do
    NO_CONTROL[#NO_CONTROL + 1] = string.char(byte)
end
NO_CONTROL = table.concat(NO_CONTROL)

local function text_rules(inside, ending, action, escape_action)
    rule(inside, NO_CONTROL, NOTHING, inside)
    rule(inside, "\\", escape_action, inside .. ", escape")
    rule(inside, '"', action, ending)
    rule(inside .. ", escape", '"\\/bfnrt', NOTHING, inside)
    rule(inside .. ", escape", "u", NOTHING, inside .. ", 4")
    for left = 4, 2, -1 do
        rule(inside .. ", " .. left, DIGITS .. "abcdefABCDEF", NOTHING, inside .. ", " .. left - 1)
    end
    rule(inside .. ", 1", DIGITS .. "abcdefABCDEF", NOTHING, inside)
end

local function value_rules(state, container)
    rule(state, SPACES, NOTHING, state)
    rule(state, '"', BEGIN_TEXT, container .. " text")
    -- true, false, null, NaN, Infinity, numbers.
    rule(state, "tfnNI-" .. DIGITS, BEGIN_WORD, container .. " word")
    rule(state, "{", OPEN, "first key")
    rule(state, "[", OPEN, "first value")
end

rule("top", SPACES, NOTHING, "top")
rule("top", "{", OPEN, "first key")
rule("end", SPACES, NOTHING, "end")
for _, state in ipairs({"first key", "key"}) do
    rule(state, SPACES, NOTHING, state)
    rule(state, '"', BEGIN_NAME, "in name")
end
rule("first key", "}", CLOSE, "end")
text_rules("in name", "colon", END_NAME, ESCAPE_NAME)
rule("colon", SPACES, NOTHING, "colon")
rule("colon", ":", NOTHING, "object value")
value_rules("first value", "list")
rule("first value", "]", CLOSE, "end")
for container, bracket in pairs({list = "]", object = "}"}) do
    value_rules(container .. " value", container)
    text_rules(container .. " text", container .. " after", END_TEXT, NOTHING)
    rule(container .. " word", "+-." .. DIGITS .. LETTERS, NOTHING, container .. " word")
    rule(container .. " word", SPACES .. ",}]", END_WORD, container .. " after")
    rule(container .. " after", SPACES, NOTHING, container .. " after")
    rule(container .. " after", bracket, CLOSE, "end")
end
rule("list after", ",", NOTHING, "list value")
rule("object after", ",", NOTHING, "key")

local TOP, END, FIRST_KEY = number_of["top"], number_of["end"], number_of["first key"]
local LIST_AFTER, OBJECT_AFTER = number_of["list after"], number_of["object after"]
local in_string = {}
for at, name in ipairs(STATES) do
    in_string[at] = name:find("text", 1, true) ~= nil or name:find("in name", 1, true) ~= nil
end

-- What a name says of its value: it is media, or an object with the address of some.
local MEDIA, SOURCE = 1, 2

local SHARED = ffi.new("uint8_t[?]", DEEPEST + 2)

local Scan = {}
Scan.__index = Scan

local scan = {}

-- wanted: the names of the members to be found, each with true. What was found is in `members`, by name: kind (its first character as a
-- number), from and to (offsets in the text, from 0, to exclusive), levels (how deep it is nested), elements (how many texts and
-- containers it holds right below it); in `first` where they begin, in `remote` and `media` how many parts point elsewhere, and to anything.
-- at_once: it is fed in one piece, so that nothing else is between.
function scan.new(wanted, looks_at_sources, at_once)
    return setmetatable({
        wanted = wanted, sources = looks_at_sources and 1 or 0, members = {}, remote = 0, media = 0, state = TOP, depth = 0, read = 0,
        is_object = at_once and SHARED or ffi.new("uint8_t[?]", DEEPEST + 2), begun = "", had_escape = false,
        -- A name was seen whose value is media, or an object with their address ("source"); the depth of such an object; within such a value.
        -- Numbers all: LuaJIT holds true and false for two types.
        pending = 0, media_at = 0, in_media = 0, deepest = 1, elements = 0,
    }, Scan)
end

-- The text of the string that ends before `to` in this piece: of a long one its beginning.
function Scan:text(piece, from, to)
    local begun = self.begun
    if #begun > LONGEST_NAME then
        return begun
    end
    return begun .. ffi.string(piece + from, math.min(to - from, LONGEST_NAME + 1))
end

function Scan:name_ended(text, depth)
    if #text > LONGEST_NAME then
        return
    end
    if self.had_escape then
        local decoded = decode('["' .. text .. '"]')
        text = decoded and decoded[1] or ""
    end
    if depth == 1 and self.wanted[text] then
        self.name = text
    end
    if text:sub(-4) == "_url" or (text == "url" and self.media_at == depth) then
        self.pending = MEDIA
    elseif self.sources == 1 and text == "source" then
        self.pending = SOURCE
    end
end

function Scan:media_ended(text)
    self.in_media = 0
    self.media = self.media + 1
    if text:sub(1, 5):lower() ~= "data:" then
        self.remote = self.remote + 1
    end
end

function Scan:member_ended(to, deepest, elements)
    local member = self.members[self.opened]
    if not member then
        member = {}
        self.members[self.opened] = member
    end
    member.kind, member.from, member.to, member.levels, member.elements = self.kind, self.from, to, deepest - 1, elements
    self.opened = nil
end

-- Whether a name, as it stands in this piece, can be one that counts anywhere: ..._url, url, source.
local function may_count(piece, from, to, sources)
    local length = to - from
    return (length >= 3 and piece[to - 1] == 108 and piece[to - 2] == 114 and piece[to - 3] == 117) or (sources == 1 and length == 6)
end

-- Takes the next piece; returns nil and what is wrong where this can't become an object.
function Scan:feed(piece, length)
    local state, depth, is_object, base = self.state, self.depth, self.is_object, self.read
    local pending, in_media, at, from = self.pending, self.in_media, 0, 0
    local deepest, elements = self.deepest, self.elements
    -- One loop and none within it, which LuaJIT compiles as one.
    while at < length do
        local place = state * 256 + piece[at]
        local action = doing[place]
        local before = state
        state = following[place]
        at = at + 1
        if action == NOTHING then -- luacheck: ignore
        elseif action == END_TEXT then
            if in_media == 1 then
                self:media_ended(self:text(piece, from, at - 1))
                in_media = 0
            end
            if depth == 2 then
                elements = elements + 1
            elseif depth == 1 and self.opened then
                self:member_ended(base + at, deepest, elements)
            end
        elseif action == END_NAME then
            if depth == 1 or self.had_escape or self.begun ~= "" or may_count(piece, from, at - 1, self.sources) then
                self:name_ended(self:text(piece, from, at - 1), depth)
                pending = self.pending
            end
        elseif action == BEGIN_NAME then
            self.had_escape, self.begun = false, ""
            from = at
        elseif action == END_WORD then
            -- What ends it is looked at again.
            at = at - 1
            if depth == 1 and self.opened then
                self:member_ended(base + at, deepest, elements)
            end
        elseif action == CLOSE then
            if depth == self.media_at then
                self.media_at = 0
            end
            depth = depth - 1
            if depth > 0 then
                state = is_object[depth] == 1 and OBJECT_AFTER or LIST_AFTER
                if depth == 2 then
                    elements = elements + 1
                elseif depth == 1 and self.opened then
                    self:member_ended(base + at, deepest, elements)
                end
            end
        elseif action == ESCAPE_NAME then
            self.had_escape = true
        elseif action == REFUSE then
            return nil, before == TOP and "no_object" or "invalid_json"
        else
            -- A value begins.
            if depth == 1 and self.name then
                self.opened, self.name = self.name, nil
                self.kind, self.from = piece[at - 1], base + at - 1
                deepest, elements = 1, 0
            end
            if action == OPEN then
                depth = depth + 1
                if depth > DEEPEST then
                    return nil, "too_deep"
                end
                deepest = depth > deepest and depth or deepest
                is_object[depth] = state == FIRST_KEY and 1 or 0
                if depth == 1 then
                    self.first = base + at
                end
                if pending ~= 0 and state == FIRST_KEY then
                    self.media_at = depth
                end
            elseif action == BEGIN_TEXT then
                self.begun = ""
                from = at
                in_media = pending == MEDIA and 1 or 0
            end
            if pending ~= 0 then
                pending = 0
                self.pending = 0
            end
        end
    end
    self.in_media, self.deepest, self.elements = in_media, deepest, elements
    if in_string[state] and #self.begun <= LONGEST_NAME then
        self.begun = self:text(piece, from, length)
    end
    self.state, self.depth, self.read = state, depth, base + length
    return true
end

-- Whether what was fed is a whole object.
function Scan:is_whole()
    return self.state == END
end

return scan
