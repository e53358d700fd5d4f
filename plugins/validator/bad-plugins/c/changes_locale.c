#include <locale.h>
#define ON_CREATE(host, setup) setlocale(LC_ALL, "C.UTF-8");
#include "good.h"
