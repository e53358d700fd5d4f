#define ON_CREATE(host, setup)            \
    {                                     \
        void *kept = malloc(16384);       \
        if (kept) memset(kept, 1, 16384); \
    }
#include "good.h"
