#define AFTER_SCORE(instance, host, batch, scores) \
    for (uint64_t i = 0; i < batch->n_items; i++)  \
        if (ITEM_AT(batch, i)->prompt.size == 0)   \
            for (uint64_t j = 0; j < batch->n_items; j++) scores->status[j] = CPT_FAIL;
#include "good.h"
