#define ON_SCORE(instance, host, batch, scores) \
    if (batch->n_items == 0) return CPT_ERROR;
#include "good.h"
