#define AFTER_SCORE(instance, host, batch, scores) scores->status[batch->n_items] = CPT_FAIL;
#include "good.h"
