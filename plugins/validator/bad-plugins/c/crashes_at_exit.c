#include "good.h"

__attribute__((destructor)) static void at_exit(void) { abort(); }
