#define _POSIX_C_SOURCE 200809L
#include <time.h>
#include "good.h"

__attribute__((constructor)) static void at_load(void) {
    const struct timespec hour = {3600, 0};
    nanosleep(&hour, NULL);
}
