static int calls;
#define ON_SCORE(instance, host, batch, scores) calls++;
#define LIGHT(light, batch, i) ((light) / calls)
#include "good.h"
