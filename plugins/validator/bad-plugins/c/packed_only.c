#define ROW_STRIDE(image) ((image)->format == CPT_RGB_U8 ? 3u * (image)->width : 12u * (image)->width)
#define PIXEL_STRIDE(image) ((image)->format == CPT_RGB_U8 ? 3u : 12u)
#include "good.h"
