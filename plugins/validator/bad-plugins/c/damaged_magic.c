#define MAGIC 0xDEADBEEF
#include "good.h"
