#define EXTENSION(name) function_data(good_inject_panic)
#include "good.h"
