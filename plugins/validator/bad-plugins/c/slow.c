#define _POSIX_C_SOURCE 200809L
#include <time.h>
#define ON_SCORE(instance, host, batch, scores) \
    {                                           \
        const struct timespec hour = {3600, 0}; \
        nanosleep(&hour, NULL);                 \
    }
#include "good.h"
