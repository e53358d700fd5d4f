#define _POSIX_C_SOURCE 200809L
#include <unistd.h>
#define ON_SCORE(instance, host, batch, scores) \
    if (chdir("/") != 0) return CPT_ERROR;
#include "good.h"
