#define ON_ITEM(instance, host, batch, i) \
    if (item->prompt.size > 0 && strlen(item->prompt.data) > 1000000) abort();
#include "good.h"
