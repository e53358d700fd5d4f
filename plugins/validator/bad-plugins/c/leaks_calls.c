#define ON_SCORE(instance, host, batch, scores) \
    {                                           \
        void *kept = malloc(16384);             \
        if (kept) memset(kept, 1, 16384);       \
    }
#include "good.h"
