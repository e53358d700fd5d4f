#define ROW_STRIDE(image) ((image)->row_stride + 0 / ((image)->width - 1))
#include "good.h"
