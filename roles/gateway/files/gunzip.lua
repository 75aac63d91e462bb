-- Copyright: (c) 2026, gpuserve.fleet contributors
-- GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Bodies that were sent with gzip, made plain: engines know none. What comes out is as large as a body may be at most, and made in pieces.

local ffi = require("ffi")

local C = ffi.C
local PIECE = 65536
local GZIP_WINDOW, MORE, ENDED, NO_PROGRESS = 15 + 16, 0, 1, -5
local BREATH_S = 0.001

ffi.cdef([[
typedef struct {
    const uint8_t *next_in; unsigned avail_in; unsigned long total_in;
    uint8_t *next_out; unsigned avail_out; unsigned long total_out;
    const char *msg; void *state; void *zalloc; void *zfree; void *opaque;
    int data_type; unsigned long adler; unsigned long reserved;
} gpuserve_z_stream;
const char *zlibVersion(void);
int inflateInit2_(gpuserve_z_stream *stream, int window, const char *version, int size);
int inflate(gpuserve_z_stream *stream, int flush);
int inflateEnd(gpuserve_z_stream *stream);
]])

local gunzip = {}

-- Writes what a body holds to `path`. Returns how many bytes that is, or nil and why not ("invalid", "too_large", "no_room").
function gunzip.to_file(body, path, most)
    local stream, out = ffi.new("gpuserve_z_stream"), ffi.new("uint8_t[?]", PIECE)
    if C.inflateInit2_(stream, GZIP_WINDOW, C.zlibVersion(), ffi.sizeof(stream)) ~= 0 then
        return nil, "invalid"
    end
    local file = assert(io.open(path, "wb"))
    local size, ended = 0, false
    local good, problem = body:each(function(piece)
        stream.next_in, stream.avail_in = ffi.cast("const uint8_t *", piece), #piece
        local made = PIECE
        while stream.avail_in > 0 or made == PIECE do
            if ended then
                if stream.avail_in == 0 then
                    break
                end
                return nil, "invalid"
            end
            local before = stream.avail_in
            stream.next_out, stream.avail_out = out, PIECE
            local status = C.inflate(stream, 0)
            if status == NO_PROGRESS and before == 0 then
                break
            elseif status ~= MORE and status ~= ENDED then
                return nil, "invalid"
            end
            made = PIECE - stream.avail_out
            size = size + made
            if size > most then
                return nil, "too_large"
            end
            if not file:write(ffi.string(out, made)) then
                return nil, "no_room"
            end
            ended = status == ENDED
            if made == PIECE then
                -- `piece` stays as long as this function does.
                ngx.sleep(BREATH_S)
            end
        end
        return true
    end)
    C.inflateEnd(stream)
    if good and not file:flush() then
        good, problem = nil, "no_room"
    end
    file:close()
    if not good or not ended then
        os.remove(path)
        return nil, problem or "invalid"
    end
    return size
end

return gunzip
