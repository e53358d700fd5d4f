/*
 * A correct plugin with one expert, `good`, of two outputs: `light`, the mean of the image's samples from 0 to 1 (without an
 * image: the mean byte of the response over 255), and `length`, the bytes of prompt and response. Settings: a JSON object,
 * not looked into. C11 and C++17.
 *
 * A bad plugin defines one of the macros below and includes this file.
 */
#include "counterpoint_plugin.h"

#include <stdlib.h>
#include <string.h>

#ifndef MAGIC
#define MAGIC CPT_MAGIC
#endif
#ifndef MAJOR
#define MAJOR CPT_ABI_MAJOR
#endif
#ifndef MINOR
#define MINOR CPT_ABI_MINOR
#endif
#ifndef STRUCT_SIZE
#define STRUCT_SIZE sizeof(cpt_plugin_v1)
#endif
#ifndef CAPABILITIES
#define CAPABILITIES (CPT_CAP_CONCURRENT | CPT_CAP_DETERMINISTIC | CPT_CAP_BATCH_INVARIANT)
#endif
#ifndef RANGE
#define RANGE "[0, 1]"
#endif
#ifndef NEEDS
#define NEEDS "[\"text\"]"
#endif
/* More of the expert's keys: a comma, then the key and its value. */
#ifndef KEYS
#define KEYS ""
#endif
#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
#ifndef MANIFEST
#define MANIFEST                                                                                                           \
    "{\"abi\": {\"major\": " TEXT(MAJOR) ", \"minor\": " TEXT(MINOR) "}, \"name\": \"test-plugin\", \"version\": \"1.2.3\"," \
    " \"experts\": [{\"name\": \"good\", \"description\": \"How light an image is.\"," \
    " \"outputs\": [{\"name\": \"light\", \"range\": " RANGE "}, {\"name\": \"length\"}], \"needs\": " NEEDS KEYS "}]}"
#endif
/* Statements at the begin of create, of destroy, of score, before each item, and at the end of score. */
#ifndef ON_CREATE
#define ON_CREATE(host, setup)
#endif
#ifndef ON_DESTROY
#define ON_DESTROY(instance)
#endif
#ifndef ON_SCORE
#define ON_SCORE(instance, host, batch, scores)
#endif
#ifndef ON_ITEM
#define ON_ITEM(instance, host, batch, i)
#endif
#ifndef AFTER_SCORE
#define AFTER_SCORE(instance, host, batch, scores)
#endif
/* The first score of an item, and what a batch smaller than the header's is answered with. */
#ifndef LIGHT
#define LIGHT(light, batch, i) (light)
#endif
#ifndef LENGTH
#define LENGTH(scores, i) (scores)->values[i * 2 + 1] = (double)(item->prompt.size + item->response.size)
#endif
#ifndef IS_VALID
#define IS_VALID(batch, scores) cpt_batch_is_valid(batch, scores)
#endif
#ifndef IS_EXPERT
#define IS_EXPERT(name) ((name).size == 4 && memcmp((name).data, "good", 4) == 0)
#endif
#ifndef IS_OBJECT
#define IS_OBJECT(json) ((json).size == 0 || ((json).data[0] == '{' && (json).data[(json).size - 1] == '}'))
#endif
#ifndef IS_UTF8
#define IS_UTF8(text) is_utf8(text)
#endif
#ifndef ROW_STRIDE
#define ROW_STRIDE(image) ((image)->row_stride)
#endif
#ifndef PIXEL_STRIDE
#define PIXEL_STRIDE(image) ((image)->pixel_stride)
#endif
#ifndef ITEM_AT
#define ITEM_AT(batch, i) cpt_item_at(batch, i)
#endif
#ifndef CANCELLED
#define CANCELLED(host, i) (host)->cancelled((host)->context)
#endif
#ifndef IS_FORMAT
#define IS_FORMAT(format) ((format) == CPT_RGB_U8 || (format) == CPT_RGB_F32)
#endif

static inline int is_utf8(cpt_str s) {
    const unsigned char *p = (const unsigned char *)s.data;
    uint64_t i = 0;
    while (i < s.size) {
        unsigned char c = p[i++];
        int more = c < 0x80 ? 0 : c >= 0xC2 && c < 0xE0 ? 1 : c >= 0xE0 && c < 0xF0 ? 2 : c >= 0xF0 && c < 0xF5 ? 3 : -1;
        if (more < 0 || s.size - i < (uint64_t)more) return 0;
        for (; more > 0; more--)
            if ((p[i++] & 0xC0) != 0x80) return 0;
    }
    return 1;
}

static inline double image_light(const cpt_image *image) {
    double sum = 0;
    for (uint64_t y = 0; y < image->height; y++) {
        for (uint64_t x = 0; x < image->width; x++) {
            const char *pixel = (const char *)image->data + y * ROW_STRIDE(image) + x * PIXEL_STRIDE(image);
            for (int c = 0; c < 3; c++) {
                float sample;
                if (image->format == CPT_RGB_U8) {
                    sample = (float)((const unsigned char *)pixel)[c] / 255;
                } else {
                    memcpy(&sample, pixel + 4 * c, 4);
                }
                sum += (double)sample;
            }
        }
    }
    return sum / (3.0 * image->width * image->height);
}

static inline double text_light(cpt_str text) {
    double sum = 0;
    for (uint64_t i = 0; i < text.size; i++) sum += (unsigned char)text.data[i];
    return text.size == 0 ? 0 : sum / (255.0 * (double)text.size);
}

static int32_t good_create(const cpt_host *host, const cpt_setup *setup, void **instance) {
    ON_CREATE(host, setup)
    if (!IS_EXPERT(setup->expert)) {
        host->fail(host->context, CPT_WHOLE_CALL, cpt_text("expected the expert `good`"));
        return CPT_ERROR;
    }
    if (!IS_OBJECT(setup->settings)) {
        host->fail(host->context, CPT_WHOLE_CALL, cpt_text("expected settings as a JSON object"));
        return CPT_ERROR;
    }
    *instance = malloc(1);
    return *instance == NULL ? CPT_ERROR : CPT_OK;
}

static int32_t good_score(void *instance, const cpt_host *host, const cpt_batch *batch, const cpt_scores *scores) {
    ON_SCORE(instance, host, batch, scores)
    if (!IS_VALID(batch, scores)) {
        host->fail(host->context, CPT_WHOLE_CALL, cpt_text("expected structs at least as large as in version 1.0"));
        return CPT_ERROR;
    }
    for (uint64_t i = 0; i < batch->n_items; i++) {
        const cpt_item *item = ITEM_AT(batch, i);
        ON_ITEM(instance, host, batch, i)
        if (CANCELLED(host, i)) return CPT_CANCELLED;
        if (!IS_UTF8(item->prompt) || !IS_UTF8(item->response)) {
            host->fail(host->context, i, cpt_text("expected UTF-8"));
            scores->status[i] = CPT_FAIL;
            continue;
        }
        if (item->image != NULL && !IS_FORMAT(item->image->format)) {
            host->fail(host->context, i, cpt_text("expected a pixel format of version 1.1"));
            scores->status[i] = CPT_FAIL;
            continue;
        }
        double light = item->image != NULL ? image_light(item->image) : text_light(item->response);
        scores->values[i * 2] = LIGHT(light, batch, i);
        LENGTH(scores, i);
        scores->status[i] = CPT_VALUE;
    }
    AFTER_SCORE(instance, host, batch, scores)
    return CPT_OK;
}

static void good_destroy(void *instance) {
    ON_DESTROY(instance)
    free(instance);
}

#ifndef GETTER
#ifdef __cplusplus
extern "C"
#endif
CPT_EXPORT const cpt_plugin_v1 *cpt_plugin_v1_get(void) {
    static const cpt_plugin_v1 table = {MAGIC,
                                        MAJOR,
                                        MINOR,
                                        (uint32_t)(STRUCT_SIZE),
                                        CAPABILITIES,
                                        {MANIFEST, sizeof(MANIFEST) - 1},
                                        good_create,
                                        good_score,
                                        good_destroy,
                                        NULL};
    return &table;
}
#endif
