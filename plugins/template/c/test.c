/*
 * The plugin's own test: a host of a few lines.
 *
 *     cc -std=c11 -Wall -Wextra -I plugins/abi/include plugins/template/c/test.c -o brightness-test -lm
 */
#include "brightness.c"

static int failures = 0;

#define CHECK(condition) \
    ((condition) ? (void)0 : (void)(failures++, printf("%s:%d: expected %s\n", __FILE__, __LINE__, #condition)))

static void ignore_fail(void *context, uint64_t item, cpt_str message) {
    (void)context, (void)item, (void)message;
}

static int32_t never_cancelled(void *context) {
    (void)context;
    return 0;
}

static const cpt_host HOST = {sizeof(cpt_host), CPT_ABI_MINOR, NULL, NULL, ignore_fail, never_cancelled, NULL};

/* The instance with these settings, or NULL. */
static void *with_settings(const char *settings) {
    cpt_setup setup = {sizeof(cpt_setup), 0, cpt_text("brightness"), cpt_text(settings), cpt_text("")};
    void *instance = NULL;
    return create(&HOST, &setup, &instance) == CPT_OK ? instance : NULL;
}

int main(void) {
    /* One white pixel and one black, each with a gap of garbage behind it. */
    const uint8_t pixels[2][4] = {{255, 255, 255, 9}, {0, 0, 0, 9}};
    const cpt_image white = {pixels[0], 1, 1, CPT_RGB_U8, 0, 4, 4};
    const cpt_image both = {pixels, 2, 1, CPT_RGB_U8, 0, 8, 4};
    const cpt_str none = {NULL, 0};
    const cpt_item items[3] = {
        {none, none, none, none, &white, NULL, 0, 0},
        {none, none, none, none, &both, NULL, 0, 1},
        {none, none, none, none, NULL, NULL, 0, 2},
    };
    const cpt_batch batch = {sizeof(cpt_batch), sizeof(cpt_item), sizeof(cpt_image), 0, items, 3, 0, 0};
    double values[3] = {NAN, NAN, NAN};
    int32_t status[3] = {CPT_UNWRITTEN, CPT_UNWRITTEN, CPT_UNWRITTEN};
    const cpt_scores scores = {sizeof(cpt_scores), 1, values, status};

    void *instance = with_settings("{\"target\": 1.0}");
    CHECK(instance != NULL);
    CHECK(score(instance, &HOST, &batch, &scores) == CPT_OK);
    CHECK(status[0] == CPT_VALUE && values[0] == 1.0);
    CHECK(status[1] == CPT_VALUE && values[1] == 0.5);
    CHECK(status[2] == CPT_FAIL);
    destroy(instance);

    CHECK(with_settings("{\"target\": 2}") == NULL);
    CHECK(with_settings("{\"traget\": 0.5}") == NULL);
    CHECK(with_settings("{} {}") == NULL);
    instance = with_settings("{ }");
    CHECK(instance != NULL);
    destroy(instance);

    if (failures == 0) puts("ok");
    return failures != 0;
}
