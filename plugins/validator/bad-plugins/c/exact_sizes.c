#define IS_VALID(batch, scores) ((batch)->struct_size == sizeof(cpt_batch) && cpt_batch_is_valid(batch, scores))
#include "good.h"
