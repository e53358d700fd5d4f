#define ON_ITEM(instance, host, batch, i) \
    if (item->image != NULL && item->image->width < 2) abort();
#include "good.h"
