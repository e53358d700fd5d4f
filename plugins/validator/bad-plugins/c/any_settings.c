#define IS_OBJECT(json) 1
#include "good.h"
