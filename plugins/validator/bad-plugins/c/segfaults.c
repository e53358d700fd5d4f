#define ON_SCORE(instance, host, batch, scores) \
    if (batch->n_items > 2) *(volatile int *)NULL = 1;
#include "good.h"
