#define IS_VALID(batch, scores) 1
#include "good.h"
