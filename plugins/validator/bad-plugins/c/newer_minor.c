/* Built with a header of a later minor version, whose table has two functions more. */
#define GETTER
#define MINOR 7
#include "good.h"

typedef struct longer_table {
    cpt_plugin_v1 table;
    void (*new_function)(void);
    uint64_t new_number;
} longer_table;

static void new_function(void) { abort(); }

CPT_EXPORT const cpt_plugin_v1 *cpt_plugin_v1_get(void) {
    static const longer_table table = {{MAGIC, MAJOR, MINOR, sizeof(longer_table), CAPABILITIES, {MANIFEST, sizeof(MANIFEST) - 1},
                                        good_create, good_score, good_destroy, NULL},
                                       new_function,
                                       42};
    return &table.table;
}
