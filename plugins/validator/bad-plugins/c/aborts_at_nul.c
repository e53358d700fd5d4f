/* As a program does that takes texts for C strings and checks their length. */
#define ON_ITEM(instance, host, batch, i) \
    if (item->prompt.size > 0 && memchr(item->prompt.data, 0, item->prompt.size) != NULL) abort();
#include "good.h"
