#define NEEDS "[\"image\"]"
#define IS_FORMAT(format) 1
#include "good.h"
