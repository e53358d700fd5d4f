#define ON_SCORE(instance, host, batch, scores) \
    if (batch->n_items > 16) return CPT_ERROR;
#include "good.h"
