-- Copyright: (c) 2026, gpuserve.fleet contributors
-- GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Connections to other hosts. One that loses its power or its network says no word of it, and an engine may be silent for long: only the
-- other host's kernel can tell these apart, so it is asked (TCP keepalive). nginx can switch that on (proxy_socket_keepalive) and not say
-- how often, which is every two hours then; the host's own settings would hold for all that runs there.

local ffi = require("ffi")
local config = require("config")

local C = ffi.C

-- A connection of which nothing was heard is asked after so long, then so often, and given up after so many questions: 25 s in all.
local IDLE_S, BETWEEN_S, QUESTIONS = 10, 5, 3
-- Nothing is asked while something that was sent is not acknowledged: so long is that sent anew, where the kernel's own rule is 15 minutes.
local UNACKNOWLEDGED_MS = 25000
local EVERY_S = 5

-- As Linux numbers them (socket.h, tcp.h). tcp_info begins with bytes, of which the third says how often in a row something was sent anew.
local SOL_SOCKET, SO_KEEPALIVE = 1, 9
local TCP, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_INFO, TCP_USER_TIMEOUT = 6, 4, 5, 6, 11, 18
local AF_INET, AF_INET6 = 2, 10
local SENT_ANEW = 2

ffi.cdef([[
typedef struct { uint64_t inode; int64_t offset; unsigned short length; unsigned char type; char name[256]; } gpuserve_dirent;
typedef struct { unsigned short family; uint8_t port[2]; uint8_t rest[124]; } gpuserve_sockaddr;
void *opendir(const char *path);
gpuserve_dirent *readdir(void *folder);
int closedir(void *folder);
int getpeername(int socket, gpuserve_sockaddr *address, unsigned *length);
int getsockopt(int socket, int level, int name, void *value, unsigned *length);
int setsockopt(int socket, int level, int name, const void *value, unsigned length);
]])

local peer, info = ffi.new("gpuserve_sockaddr"), ffi.new("uint8_t[8]")
local number, length = ffi.new("int[1]"), ffi.new("unsigned[1]")

local function set(socket, level, name, value)
    number[0] = value
    C.setsockopt(socket, level, name, number, ffi.sizeof(number))
end

-- Whether this is a connection to an engine or box of another host. A name may stand for any address, so it is told by its port; a client
-- that happens to come from such a port is asked, too, and answers.
local function is_distant(socket)
    length[0] = ffi.sizeof(peer)
    if C.getpeername(socket, peer, length) ~= 0 or (peer.family ~= AF_INET and peer.family ~= AF_INET6) then
        return false
    end
    return config.distant[peer.port[0] * 256 + peer.port[1]] ~= nil
end

local function look_after(socket)
    length[0] = ffi.sizeof(number)
    if C.getsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, number, length) == 0 and number[0] == 0 then
        set(socket, TCP, TCP_KEEPIDLE, IDLE_S)
        set(socket, TCP, TCP_KEEPINTVL, BETWEEN_S)
        set(socket, TCP, TCP_KEEPCNT, QUESTIONS)
        set(socket, SOL_SOCKET, SO_KEEPALIVE, 1)
    end
    -- Set for good it would also end one whose other side acknowledges and reads nothing for a while.
    length[0] = ffi.sizeof(info)
    if C.getsockopt(socket, TCP, TCP_INFO, info, length) == 0 then
        set(socket, TCP, TCP_USER_TIMEOUT, info[SENT_ANEW] > 0 and UNACKNOWLEDGED_MS or 0)
    end
end

-- Each of nginx's processes looks after its own. One that ends after a reload does so once more, for what it is still at.
local function look_after_all()
    local folder = C.opendir("/proc/self/fd")
    if folder == nil then
        return
    end
    local entry = C.readdir(folder)
    while entry ~= nil do
        local socket = tonumber(ffi.string(entry.name))
        if socket and is_distant(socket) then
            look_after(socket)
        end
        entry = C.readdir(folder)
    end
    C.closedir(folder)
end

local connections = {}

function connections.watch()
    if next(config.distant) then
        ngx.timer.every(EVERY_S, look_after_all)
    end
end

return connections
