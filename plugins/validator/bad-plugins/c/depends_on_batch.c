#define LIGHT(light, batch, i) ((light) / (double)(batch)->n_items)
#include "good.h"
