/* A plugin that behaves as its settings say: {"mode": "..."}. Without a mode it gives, for each item, the mean red sample of the
 * image over 255 (or the length of the response, without an image) as `score` and the number of references as `references`. */
#include "counterpoint_plugin.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#ifndef MAJOR
#define MAJOR CPT_ABI_MAJOR
#endif
#ifndef MINOR
#define MINOR CPT_ABI_MINOR
#endif
#ifndef SIZE
#define SIZE sizeof(cpt_plugin_v1)
#endif
#ifndef CAPABILITIES
#define CAPABILITIES (CPT_CAP_CONCURRENT | CPT_CAP_DETERMINISTIC | CPT_CAP_BATCH_INVARIANT)
#endif
#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

typedef struct instance {
    char mode[32];
    char base[256];
} instance;

static int32_t create(const cpt_host *host, const cpt_setup *setup, void **out) {
    instance *self = (instance *)calloc(1, sizeof(instance));
    const char *key = setup->settings.size ? memchr(setup->settings.data, ':', setup->settings.size) : NULL;
    if (key) {
        const char *value = key + 2; /* {"mode":"..."} as serde_json writes it */
        size_t n = 0;
        while (value[n] != '"' && n + 1 < sizeof(self->mode)) n++;
        memcpy(self->mode, value, n);
    }
    if (strcmp(self->mode, "refuse") == 0) {
        host->fail(host->context, CPT_WHOLE_CALL, cpt_text("the mode `refuse` is not for use"));
        free(self);
        return CPT_ERROR;
    }
#if defined(__x86_64__)
    if (strcmp(self->mode, "flush at once") == 0) _mm_setcsr(_mm_getcsr() | 0x8040);
#endif
    *out = self;
    return CPT_OK;
}

static double red(const cpt_image *image) {
    double sum = 0;
    for (uint32_t y = 0; y < image->height; y++) {
        for (uint32_t x = 0; x < image->width; x++) {
            const char *pixel = (const char *)image->data + y * image->row_stride + x * image->pixel_stride;
            sum += image->format == CPT_RGB_U8 ? *(const uint8_t *)pixel / 255.0 : *(const float *)(const void *)pixel;
        }
    }
    return sum / image->width / image->height;
}

static int32_t score(void *state, const cpt_host *host, const cpt_batch *batch, const cpt_scores *scores) {
    const char *mode = ((instance *)state)->mode;
#define IS(name) (strcmp(mode, name) == 0)
    if (IS("error")) {
        host->fail(host->context, CPT_WHOLE_CALL, cpt_text("the weights are missing"));
        return CPT_ERROR;
    }
    if (IS("panic")) return CPT_PANIC;
    if (IS("code")) return 77;
    if (IS("silent")) return CPT_OK;
    if (IS("exit")) _exit(9);
    if (IS("spin")) while (!host->cancelled(host->context)) usleep(1000);
    if (IS("spin")) return CPT_CANCELLED;
    if (IS("late") || IS("alone")) {
        static atomic_int inside;
        int others = atomic_fetch_add(&inside, 1);
        usleep(50000);
        atomic_fetch_sub(&inside, 1);
        if (others > 0 && IS("alone")) return CPT_ERROR;
    }
    if (IS("late panic")) {
        while (!host->cancelled(host->context)) usleep(1000);
        return CPT_PANIC;
    }
    if (IS("liar")) return CPT_CANCELLED;
#if defined(__x86_64__)
    if (IS("flush")) _mm_setcsr(_mm_getcsr() | 0x8040);
#endif
    for (uint64_t i = 0; i < batch->n_items; i++) {
        const cpt_item *item = cpt_item_at(batch, i);
        double *out = scores->values + i * scores->n_outputs;
        out[0] = item->image ? red(item->image) : (double)item->response.size;
        out[1] = (double)item->n_references;
        if (item->n_references && IS("references")) out[1] = red(cpt_reference_at(batch, item, item->n_references - 1));
        scores->status[i] = CPT_VALUE;
        if (i == 1 && IS("abstain")) scores->status[i] = CPT_ABSTAIN;
        if (i == 1 && IS("fail")) {
            host->fail(host->context, i, cpt_text("no face"));
            scores->status[i] = CPT_FAIL;
        }
        if (i == 1 && IS("unwritten")) scores->status[i] = CPT_UNWRITTEN;
        if (i == 1 && IS("status")) scores->status[i] = 9;
        if (i == 1 && IS("nan")) out[0] = NAN;
        if (i == 1 && IS("range")) out[1] = 101.0;
        if (IS("seed")) out[0] = (double)batch->seed;
    }
    if (IS("after")) scores->values[batch->n_items * scores->n_outputs] = 1.0;
    if (IS("before")) scores->status[-1] = 0;
    return CPT_OK;
}

static void destroy(void *state) { free(state); }

#define MANIFEST                                                                                                       \
    "{\"abi\":{\"major\":" TEXT(MAJOR) ",\"minor\":" TEXT(MINOR) "},\"name\":\"moody\",\"version\":\"1.0\",\"experts\":[" \
    "{\"name\":\"moody\",\"description\":\"as told\",\"needs\":[\"text\"],\"outputs\":[{\"name\":\"score\"},"             \
    "{\"name\":\"references\",\"range\":[0,100]}]}]}"

const cpt_plugin_v1 *cpt_plugin_v1_get(void) {
#ifdef LATER
    /* The table of a later minor version: longer than this host knows. */
    static struct { cpt_plugin_v1 table; uint64_t more[5]; } table = {
#else
    static struct { cpt_plugin_v1 table; } table = {
#endif
        .table = {CPT_MAGIC, MAJOR, MINOR, SIZE, CAPABILITIES, {MANIFEST, sizeof(MANIFEST) - 1}, create, score, destroy,
                  NULL}};
    return &table.table;
}
