/* Scores are drawn, one after the other: allowed to a plugin that promises nothing. */
static unsigned state;
#define CAPABILITIES 0
#define LIGHT(light, batch, i) ((light) * 0 + (double)((state = state * 1664525u + 1013904223u) >> 8) / 16777216)
#include "good.h"
