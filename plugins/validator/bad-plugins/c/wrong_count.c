#define ON_ITEM(instance, host, batch, i) \
    if (i + 1 == batch->n_items) break;
#include "good.h"
