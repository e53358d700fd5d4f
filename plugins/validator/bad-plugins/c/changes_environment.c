#define _POSIX_C_SOURCE 200809L
#define ON_CREATE(host, setup) setenv("OMP_NUM_THREADS", "a bad idea", 1);
#include "good.h"
