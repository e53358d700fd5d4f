#define _POSIX_C_SOURCE 200809L
#include <time.h>
static void pause_ms(long ms) {
    const struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}
#define CANCELLED(host, i) (((i) == 0 && (host)->cancelled((host)->context)) || (pause_ms(60), 0))
#include "good.h"
