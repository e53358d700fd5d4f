#define _POSIX_C_SOURCE 200809L
#include <time.h>
#include <stdatomic.h>
static atomic_int busy;
#define ON_SCORE(instance, host, batch, scores)    \
    const struct timespec time = {0, 2000000};     \
    if (atomic_exchange(&busy, 1)) return CPT_ERROR; \
    nanosleep(&time, NULL);
#define AFTER_SCORE(instance, host, batch, scores) busy = 0;
#include "good.h"
