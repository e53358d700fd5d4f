#define ON_ITEM(instance, host, batch, i) \
    if (host->cancelled(host->context)) break;
#define CANCELLED(host, i) 0
#include "good.h"
