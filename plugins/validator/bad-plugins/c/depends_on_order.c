#define LIGHT(light, batch, i) ((light) / (double)(1 + i))
#include "good.h"
