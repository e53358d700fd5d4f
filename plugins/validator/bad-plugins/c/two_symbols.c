#include "good.h"

CPT_EXPORT int cpt_extra(void);
int cpt_extra(void) { return 0; }
