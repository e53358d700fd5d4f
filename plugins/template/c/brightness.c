/*
 * How near the mean brightness of an image is to a target. C11, and C++17 as it is.
 *
 *     cc -std=c11 -O2 -fPIC -fvisibility=hidden -shared -I plugins/abi/include plugins/template/c/brightness.c -o libbrightness.so -lm
 */
#include "counterpoint_plugin.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    double target; /* 0 (black) to 1 (white) */
} brightness;

static const char MANIFEST[] =
    "{\"abi\": {\"major\": 1, \"minor\": 1}, \"name\": \"brightness\", \"version\": \"0.1.0\", \"experts\": [{"
    "\"name\": \"brightness\", \"description\": \"how near the mean brightness of an image is to a target\", "
    "\"outputs\": [{\"name\": \"score\", \"range\": [0, 1]}], \"needs\": [\"image\"], "
    "\"judges\": \"generation\"}]}";

static int32_t fail(const cpt_host *host, uint64_t item, const char *why) {
    host->fail(host->context, item, cpt_text(why));
    return item == CPT_WHOLE_CALL ? CPT_ERROR : CPT_FAIL;
}

/* The settings are nothing, {} or {"target": NUMBER}. A plugin with more of them takes a JSON library. */
static int read_settings(cpt_str json, double *target) {
    char text[128];
    int empty = -1, full = -1;
    *target = 0.5;
    if (json.size == 0) return 1;
    if (json.size >= sizeof text || memchr(json.data, 0, json.size)) return 0;
    memcpy(text, json.data, json.size);
    text[json.size] = '\0';
    sscanf(text, " { } %n", &empty);
    if (empty < 0 || text[empty] != '\0') {
        double given;
        if (sscanf(text, " { \"target\" : %lf } %n", &given, &full) != 1 || full < 0 || text[full] != '\0') return 0;
        *target = given;
    }
    return *target >= 0.0 && *target <= 1.0;
}

static int32_t create(const cpt_host *host, const cpt_setup *setup, void **instance) {
    static const char name[] = "brightness";
    brightness made, *self;
    if (host->struct_size < CPT_HOST_SIZE_0) return CPT_ERROR; /* nobody to tell */
    if (setup->struct_size < CPT_SETUP_SIZE_0) return fail(host, CPT_WHOLE_CALL, "the setup is too small");
    if (setup->expert.size != sizeof name - 1 || memcmp(setup->expert.data, name, sizeof name - 1) != 0)
        return fail(host, CPT_WHOLE_CALL, "expected the expert brightness");
    if (!read_settings(setup->settings, &made.target))
        return fail(host, CPT_WHOLE_CALL, "expected settings {\"target\": 0 to 1}");
    self = (brightness *)malloc(sizeof *self);
    if (!self) return fail(host, CPT_WHOLE_CALL, "out of memory");
    *self = made;
    *instance = self;
    return CPT_OK;
}

static void destroy(void *instance) {
    free(instance);
}

/* The mean of all samples, 0 to 1. Rows and pixels may have gaps between them. */
static double mean(const cpt_image *image) {
    const char *data = (const char *)image->data;
    double sum = 0.0;
    for (uint64_t y = 0; y < image->height; y++) {
        for (uint64_t x = 0; x < image->width; x++) {
            const void *pixel = data + y * image->row_stride + x * image->pixel_stride;
            for (int c = 0; c < 3; c++) {
                if (image->format == CPT_RGB_U8)
                    sum += ((const uint8_t *)pixel)[c] / 255.0;
                else
                    sum += ((const float *)pixel)[c];
            }
        }
    }
    return sum / (3.0 * image->width * image->height);
}

static int32_t score_item(const brightness *self, const cpt_host *host, const cpt_item *item, uint64_t i, double *value) {
    const cpt_image *image = item->image;
    double score;
    if (!image) return fail(host, i, "expected an image, got none");
    if (image->format != CPT_RGB_U8 && image->format != CPT_RGB_F32) return fail(host, i, "unknown pixel format");
    score = 1.0 - fabs(mean(image) - self->target);
    if (!isfinite(score)) return fail(host, i, "expected finite pixels");
    *value = score < 0.0 ? 0.0 : score;
    return CPT_VALUE;
}

static int32_t score(void *instance, const cpt_host *host, const cpt_batch *batch, const cpt_scores *scores) {
    if (host->struct_size < CPT_HOST_SIZE_0) return CPT_ERROR;
    if (!cpt_batch_is_valid(batch, scores)) return fail(host, CPT_WHOLE_CALL, "the batch is too small");
    if (scores->n_outputs != 1) return fail(host, CPT_WHOLE_CALL, "expected one output");
    for (uint64_t i = 0; i < batch->n_items; i++) {
        if (host->cancelled(host->context)) return CPT_CANCELLED;
        scores->status[i] = score_item((const brightness *)instance, host, cpt_item_at(batch, i), i, &scores->values[i]);
    }
    return CPT_OK;
}

static const cpt_plugin_v1 TABLE = {
    CPT_MAGIC,
    CPT_ABI_MAJOR,
    CPT_ABI_MINOR,
    sizeof(cpt_plugin_v1),
    CPT_CAP_CONCURRENT | CPT_CAP_DETERMINISTIC | CPT_CAP_BATCH_INVARIANT,
    {MANIFEST, sizeof MANIFEST - 1},
    create,
    score,
    destroy,
    NULL, /* no extensions */
};

const cpt_plugin_v1 *cpt_plugin_v1_get(void) {
    return &TABLE;
}
