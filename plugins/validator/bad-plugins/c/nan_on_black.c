#include <math.h>
#define LIGHT(light, batch, i) ((light) == 0 ? (double)NAN : (light))
#include "good.h"
