#define KEYS ", \"judges\": \"understanding\""
#include "good.h"
