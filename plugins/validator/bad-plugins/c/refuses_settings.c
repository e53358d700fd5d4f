#define ON_CREATE(host, setup)                                            \
    {                                                                     \
        host->fail(host->context, CPT_WHOLE_CALL, cpt_text("not today")); \
        return CPT_ERROR;                                                 \
    }
#include "good.h"
