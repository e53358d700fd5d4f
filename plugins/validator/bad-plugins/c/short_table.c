#define STRUCT_SIZE 32
#include "good.h"
