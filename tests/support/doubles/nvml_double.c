/* Copyright: (c) 2026, gpuserve.fleet contributors
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A double of NVIDIA's libnvidia-ml.so.1 for hosts without a card: the real nvidia-ml-py loads it and runs its own code.
 *
 * All state is in a folder (NVML_DOUBLE_DIR, /var/lib/nvml-double where that is not set):
 *   cards    a line a card: UUID, name, total bytes, reserved bytes, compute capability; split by tabs
 *   fault    if there: the number of the NVML error that nvmlInit answers with (18: driver and library of two versions)
 *   held/    a file for each process that holds memory: "UUID BYTES". The process keeps a record lock on it; whoever holds the lock is
 *            the process, as this namespace numbers it, and a process that is gone holds none. So memory ends with its process, as on
 *            a card, and pids are right inside and outside of containers.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7 };
enum { CARDS = 16 };

typedef unsigned long long bytes_t;
typedef struct { char uuid[96], name[96]; bytes_t total, reserved; int major, minor; } card_t;
typedef struct { bytes_t total, free, used; } memory_t;
typedef struct { unsigned version; bytes_t total, reserved, free, used; } memory_v2_t;
typedef struct { unsigned pid; bytes_t used; unsigned gpu_instance, compute_instance; } process_t;

static card_t cards[CARDS];
static int count, opened;

static void path_of(char *path, size_t size, const char *name) {
    const char *folder = getenv("NVML_DOUBLE_DIR");
    snprintf(path, size, "%s/%s", folder ? folder : "/var/lib/nvml-double", name);
}

static int read_cards(void) {
    char path[512], line[512];
    path_of(path, sizeof path, "cards");
    FILE *stream = fopen(path, "r");
    count = 0;
    if (stream == NULL) return 0;
    while (count < CARDS && fgets(line, sizeof line, stream)) {
        card_t *card = &cards[count];
        if (sscanf(line, "%95[^\t]\t%95[^\t]\t%llu\t%llu\t%d.%d", card->uuid, card->name, &card->total, &card->reserved,
                   &card->major, &card->minor) == 6) count++;
    }
    fclose(stream);
    return count;
}

int nvmlInitWithFlags(unsigned flags) {
    char path[512];
    int fault = 0;
    (void)flags;
    path_of(path, sizeof path, "fault");
    FILE *stream = fopen(path, "r");
    if (stream) {
        if (fscanf(stream, "%d", &fault) != 1) fault = 999;
        fclose(stream);
    }
    if (fault) return fault;
    read_cards();
    opened++;
    return SUCCESS;
}
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlInit(void) { return nvmlInitWithFlags(0); }

int nvmlShutdown(void) {
    if (!opened) return UNINITIALIZED;
    opened--;
    return SUCCESS;
}

const char *nvmlErrorString(int error) {
    switch (error) {
    case SUCCESS: return "Success";
    case UNINITIALIZED: return "Uninitialized";
    case INVALID_ARGUMENT: return "Invalid Argument";
    case NOT_SUPPORTED: return "Not Supported";
    case NOT_FOUND: return "Not Found";
    case INSUFFICIENT_SIZE: return "Insufficient Size";
    case 9: return "Driver Not Loaded";
    case 15: return "GPU is lost";
    case 18: return "Driver/library version mismatch";
    default: return "Unknown Error";
    }
}

int nvmlSystemGetDriverVersion(char *text, unsigned size) { snprintf(text, size, "580.95.05"); return SUCCESS; }
int nvmlSystemGetNVMLVersion(char *text, unsigned size) { snprintf(text, size, "13.580.95.05"); return SUCCESS; }
int nvmlSystemGetCudaDriverVersion(int *version) { *version = 13000; return SUCCESS; }
int nvmlSystemGetCudaDriverVersion_v2(int *version) { *version = 13000; return SUCCESS; }

int nvmlDeviceGetCount_v2(unsigned *found) { *found = (unsigned)count; return opened ? SUCCESS : UNINITIALIZED; }

int nvmlDeviceGetHandleByIndex_v2(unsigned index, card_t **card) {
    if (index >= (unsigned)count) return INVALID_ARGUMENT;
    *card = &cards[index];
    return SUCCESS;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, card_t **card) {
    for (int index = 0; index < count; index++) {
        if (strcmp(cards[index].uuid, uuid) == 0) {
            *card = &cards[index];
            return SUCCESS;
        }
    }
    return NOT_FOUND;
}

int nvmlDeviceGetUUID(card_t *card, char *text, unsigned size) { snprintf(text, size, "%s", card->uuid); return SUCCESS; }
int nvmlDeviceGetName(card_t *card, char *text, unsigned size) { snprintf(text, size, "%s", card->name); return SUCCESS; }
int nvmlDeviceGetIndex(card_t *card, unsigned *index) { *index = (unsigned)(card - cards); return SUCCESS; }
int nvmlDeviceGetCudaComputeCapability(card_t *card, int *major, int *minor) {
    *major = card->major;
    *minor = card->minor;
    return SUCCESS;
}

/* Writes at most `room` processes and returns how many hold memory on the card; `sum` counts those too that no pid here names. */
static unsigned holders(const card_t *card, process_t *found, unsigned room, bytes_t *sum) {
    char path[512], uuid[96];
    unsigned number = 0;
    bytes_t size;
    *sum = 0;
    path_of(path, sizeof path, "held");
    DIR *folder = opendir(path);
    if (folder == NULL) return 0;
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (entry->d_name[0] == '.') continue;
        int handle = openat(dirfd(folder), entry->d_name, O_RDONLY | O_CLOEXEC);
        if (handle < 0) continue;
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        char text[256] = "";
        if (fcntl(handle, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK && read(handle, text, sizeof text - 1) > 0 &&
            sscanf(text, "%95s %llu", uuid, &size) == 2 && strcmp(uuid, card->uuid) == 0) {
            *sum += size;
            if (lock.l_pid > 0) {
                if (number < room) found[number] = (process_t){(unsigned)lock.l_pid, size, ~0u, ~0u};
                number++;
            }
        }
        close(handle);
    }
    closedir(folder);
    return number;
}

int nvmlDeviceGetMemoryInfo_v2(card_t *card, memory_v2_t *memory) {
    bytes_t used;
    holders(card, NULL, 0, &used);
    bytes_t usable = card->total - card->reserved;
    memory->total = card->total;
    memory->reserved = card->reserved;
    memory->used = used < usable ? used : usable;
    memory->free = usable - memory->used;
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo(card_t *card, memory_t *memory) {
    memory_v2_t full;
    nvmlDeviceGetMemoryInfo_v2(card, &full);
    *memory = (memory_t){full.total, full.free, full.used + full.reserved};
    return SUCCESS;
}

int nvmlDeviceGetComputeRunningProcesses_v3(card_t *card, unsigned *size, process_t *found) {
    bytes_t sum;
    unsigned room = found ? *size : 0;
    *size = holders(card, found, room, &sum);
    return *size > room ? INSUFFICIENT_SIZE : SUCCESS;
}
int nvmlDeviceGetComputeRunningProcesses_v2(card_t *card, unsigned *size, process_t *found) {
    return nvmlDeviceGetComputeRunningProcesses_v3(card, size, found);
}
