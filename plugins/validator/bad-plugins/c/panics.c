#define ON_SCORE(instance, host, batch, scores) \
    if (batch->n_items > 2) abort();
#include "good.h"
