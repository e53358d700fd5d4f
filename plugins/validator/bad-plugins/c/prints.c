#include <stdio.h>
#define ON_SCORE(instance, host, batch, scores) printf("%d items\n", 3);
#include "good.h"
