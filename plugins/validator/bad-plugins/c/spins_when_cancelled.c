#define CANCELLED(host, i) 0
#define ON_ITEM(instance, host, batch, i) \
    while (host->cancelled(host->context)) {}
#include "good.h"
