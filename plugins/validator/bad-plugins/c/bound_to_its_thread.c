static _Thread_local int here;
#define ON_CREATE(host, setup) here = 1;
#define ON_SCORE(instance, host, batch, scores) \
    if (!here) return CPT_ERROR;
#include "good.h"
