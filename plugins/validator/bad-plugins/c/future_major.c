#define MAJOR 2
#include "good.h"
