#define ON_ITEM(instance, host, batch, i) \
    (void)*(volatile const char *)&item->response.data[item->response.size - 1];
#include "good.h"
