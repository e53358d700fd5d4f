#define STRUCT_SIZE 0x7FFFFFFF
#include "good.h"
