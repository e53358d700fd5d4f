#define PANIC(instance) (void)(instance)
#include "good.h"
