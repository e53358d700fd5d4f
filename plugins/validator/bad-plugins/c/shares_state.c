#define _POSIX_C_SOURCE 200809L
#include <stdatomic.h>
#include <time.h>

static atomic_int busy;

/* Each call takes it, and each of its ends gives it back. */
#define ON_ITEM(instance, host, batch, i)                \
    if (i == 0) {                                        \
        const struct timespec time = {0, 2000000};       \
        if (atomic_exchange(&busy, 1)) return CPT_ERROR; \
        nanosleep(&time, NULL);                          \
    }
#define CANCELLED(host, i) ((host)->cancelled((host)->context) && atomic_exchange(&busy, 0))
#define AFTER_SCORE(instance, host, batch, scores) busy = 0;
#include "good.h"
