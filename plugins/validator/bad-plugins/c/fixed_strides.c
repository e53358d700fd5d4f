#define ITEM_AT(batch, i) (&(batch)->items[i])
#include "good.h"
