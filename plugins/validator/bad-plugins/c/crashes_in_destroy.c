#define ON_DESTROY(instance) *(volatile int *)NULL = 1;
#include "good.h"
