#define LIGHT(light, batch, i) (2 * (light) - 1)
#include "good.h"
