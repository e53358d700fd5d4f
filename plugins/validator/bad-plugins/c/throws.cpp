#include <stdexcept>
#define ON_ITEM(instance, host, batch, i) \
    if (item->params.size > 0 && item->params.data[0] != '{') throw std::runtime_error("expected an object");
#include "good.h"
