#define _POSIX_C_SOURCE 200809L
#include <time.h>
static void pause_ms(long ms) {
    const struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}
#define ON_ITEM(instance, host, batch, i) pause_ms(60);
#define CANCELLED(host, i) 0
#include "good.h"
