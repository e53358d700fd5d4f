#include <fenv.h>
#define ON_SCORE(instance, host, batch, scores) fesetround(FE_UPWARD);
#include "good.h"
