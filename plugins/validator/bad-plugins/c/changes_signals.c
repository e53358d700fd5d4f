#include <signal.h>
#define ON_CREATE(host, setup) signal(SIGTERM, SIG_IGN);
#include "good.h"
