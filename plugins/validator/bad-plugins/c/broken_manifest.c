#define MANIFEST "{\"abi\": {\"major\": 1, "
#include "good.h"
