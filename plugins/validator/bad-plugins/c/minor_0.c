/* Built with the header of minor version 0, whose table ends before `extension`; something else lies after it. */
#define GETTER
#define MINOR 0
#include "good.h"

typedef struct table_0 {
    uint32_t magic, major, minor, struct_size;
    uint64_t capabilities;
    cpt_str manifest;
    int32_t (*create)(const cpt_host *host, const cpt_setup *setup, void **instance);
    int32_t (*score)(void *instance, const cpt_host *host, const cpt_batch *batch, const cpt_scores *scores);
    void (*destroy)(void *instance);
} table_0;

CPT_STATIC_ASSERT(sizeof(table_0) == CPT_PLUGIN_V1_SIZE_0);

CPT_EXPORT const cpt_plugin_v1 *cpt_plugin_v1_get(void) {
    static const struct {
        table_0 table;
        uint64_t after[8];
    } memory = {{MAGIC, MAJOR, MINOR, sizeof(table_0), CAPABILITIES, {MANIFEST, sizeof(MANIFEST) - 1}, good_create, good_score,
                 good_destroy},
                {1, 2, 3, 4, 5, 6, 7, 8}};
    return (const cpt_plugin_v1 *)(const void *)&memory;
}
