#define ON_SCORE(instance, host, batch, scores) \
    if (batch->n_items > 2) exit(0);
#include "good.h"
