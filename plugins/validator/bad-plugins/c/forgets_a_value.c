#define LENGTH(scores, i) (void)item
#include "good.h"
