#define KEYS ", \"judges\": \"generation\""
#include "good.h"
