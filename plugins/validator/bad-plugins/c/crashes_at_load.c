#include "good.h"

__attribute__((constructor)) static void at_load(void) {
    volatile int *nowhere = NULL;
    *nowhere = 1;
}
