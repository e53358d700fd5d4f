#define IS_UTF8(text) (is_utf8(text) ? 1 : (abort(), 0))
#include "good.h"
