/* Says of every item that it is not for this expert. */
#define ON_ITEM(instance, host, batch, i)                    \
    {                                                        \
        host->fail(host->context, i, cpt_text("not today")); \
        scores->status[i] = CPT_ABSTAIN;                     \
        continue;                                            \
    }
#include "good.h"
