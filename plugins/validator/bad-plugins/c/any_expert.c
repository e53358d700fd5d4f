#define IS_EXPERT(name) 1
#include "good.h"
