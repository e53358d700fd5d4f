#include <sys/stat.h>
#define ON_DESTROY(instance) umask(0);
#include "good.h"
