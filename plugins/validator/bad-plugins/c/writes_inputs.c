#define ON_ITEM(instance, host, batch, i) \
    if (item->image != NULL) *(volatile char *)item->image->data = 0;
#include "good.h"
