/* Copyright: (c) 2026, gpuserve.fleet contributors
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A double of the driver's libcuda.so.1 for hosts without a card: it starts, or answers as the real one does where the NVML double
 * beside it has a fault (see nvml_double.c for the folder): 803 where library and module are of two versions, 999 otherwise.
 */
#include <stdio.h>
#include <stdlib.h>

int cuInit(unsigned flags) {
    const char *folder = getenv("NVML_DOUBLE_DIR");
    char path[512];
    int fault = 0;
    (void)flags;
    snprintf(path, sizeof path, "%s/fault", folder ? folder : "/var/lib/nvml-double");
    FILE *stream = fopen(path, "r");
    if (stream == NULL) return 0;
    if (fscanf(stream, "%d", &fault) != 1) fault = 999;
    fclose(stream);
    return fault == 0 ? 0 : fault == 18 ? 803 : 999;
}

int cuDriverGetVersion(int *version) { *version = 13000; return 0; }
