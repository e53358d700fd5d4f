#include <stdio.h>
#define ON_SCORE(instance, host, batch, scores) \
    if (fopen("/dev/null", "r") == NULL) return CPT_ERROR;
#include "good.h"
