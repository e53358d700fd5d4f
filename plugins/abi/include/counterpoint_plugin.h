/*
 * counterpoint_plugin.h: the C interface between Counterpoint and a reward plugin. C11 and C++17, 64-bit targets.
 *
 * A plugin is a shared library that exports one symbol:
 *
 *     const cpt_plugin_v1 *cpt_plugin_v1_get(void);
 *
 * It returns a table that lives as long as the library, which is never unloaded, or NULL when the plugin cannot be used.
 *
 * Versions. The major version is part of the symbol's name; the first 16 bytes of the table (magic, major, minor,
 * struct_size) are frozen for ever. A minor version only appends fields, to the end of structs; cpt_str never grows. The size
 * of an item is item_stride, that of an image image_stride, that of every other struct its struct_size. Whoever reads a struct
 * looks at its size first: smaller than in minor version 0 (CPT_HOST_SIZE_0 and so on, not sizeof) is an error, a field that
 * a later minor version appended is there only when the size covers it, and what is behind the known fields is ignored.
 * Hosts accept plugins of any minor version of their major version, and the reverse.
 *
 * Memory. Nothing that one side allocates is freed by the other. What the host passes is borrowed: it is valid until the
 * call returns, and it is read-only except for `values` and `status` of cpt_scores, which the host owns and the plugin
 * fills. Strings have a length and no terminating NUL; they may contain NULs, and a hostile host may pass bytes that are
 * not UTF-8: fail that item then.
 *
 * Threads. create, score and destroy of one instance may be called from different threads, never at the same time. Calls of
 * different instances overlap only if the plugin says CPT_CAP_CONCURRENT.
 *
 * Nothing may unwind out of a plugin (no C++ exception, no longjmp), and a plugin leaves the process as it found it: working
 * directory, environment, signal handlers, locale, floating-point mode, standard output. Use the host's log to speak.
 */
#ifndef COUNTERPOINT_PLUGIN_H
#define COUNTERPOINT_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#define CPT_STATIC_ASSERT(condition) static_assert(condition, #condition)
#else
#define CPT_STATIC_ASSERT(condition) _Static_assert(condition, #condition)
#endif

#if defined(_WIN32)
#define CPT_EXPORT __declspec(dllexport)
#else
#define CPT_EXPORT __attribute__((visibility("default")))
#endif

/* The first four bytes of every table: "CPT1" in memory on a little-endian machine. */
#define CPT_MAGIC UINT32_C(0x31545043)
#define CPT_ABI_MAJOR 1
#define CPT_ABI_MINOR 1

/* What create and score return. */
#define CPT_OK 0        /* done */
#define CPT_ERROR 1     /* the call as a whole failed; host->fail(.., CPT_WHOLE_CALL, ..) says why */
#define CPT_PANIC 2     /* the plugin caught a panic or an exception; the instance is poisoned and will be destroyed */
#define CPT_CANCELLED 3 /* stopped early because host->cancelled said so */

/* The status of an item: the host writes CPT_UNWRITTEN before the call, the plugin writes one of the others. */
#define CPT_UNWRITTEN (-1)
#define CPT_VALUE 0   /* every output of the item has a finite score */
#define CPT_ABSTAIN 1 /* the expert does not apply to this item; host->fail may say why */
#define CPT_FAIL 2    /* this item could not be scored; host->fail says why */

/* Capabilities: bits of cpt_plugin_v1.capabilities. A bit is a promise, and the validator checks it. */
#define CPT_CAP_CONCURRENT UINT64_C(1)      /* different instances may be called at the same time */
#define CPT_CAP_DETERMINISTIC UINT64_C(2)   /* same settings, items and seed: same scores, to the last bit */
#define CPT_CAP_BATCH_INVARIANT UINT64_C(4) /* an item's scores do not depend on the other items of its call */

/* Pixel formats. Three channels R, G, B, next to each other; sRGB, never linear. */
#define CPT_RGB_U8 1  /* uint8_t, 0 to 255 */
#define CPT_RGB_F32 2 /* float, 0 to 1; aligned to 4 bytes, strides too */

/* Levels of host->log. */
#define CPT_LOG_ERROR 1
#define CPT_LOG_WARN 2
#define CPT_LOG_INFO 3
#define CPT_LOG_DEBUG 4

/* The item number by which host->fail speaks of the whole call. */
#define CPT_WHOLE_CALL UINT64_MAX

/* UTF-8, `size` bytes, no terminating NUL. `data` may be NULL when `size` is 0. */
typedef struct cpt_str {
    const char *data;
    uint64_t size;
} cpt_str;

/* An image, row by row from the top. Pixel (x, y) starts at data + y * row_stride + x * pixel_stride. */
typedef struct cpt_image {
    const void *data;
    uint32_t width;  /* 1 or more */
    uint32_t height; /* 1 or more */
    uint32_t format; /* CPT_RGB_U8 or CPT_RGB_F32; fail the item on any other */
    uint32_t reserved;
    uint64_t row_stride;   /* bytes from a row to the next; may be more than the row needs */
    uint64_t pixel_stride; /* bytes from a pixel to the next; 3 channels or more */
} cpt_image;

/* One sample to be scored. */
typedef struct cpt_item {
    cpt_str prompt;     /* what the image was generated from */
    cpt_str response;   /* what the policy wrote */
    cpt_str class_name; /* concept class, such as "person" */
    cpt_str params;     /* the task's parameters, as JSON; empty when there are none */
    const cpt_image *image;      /* what the policy generated; NULL when it generates none */
    const cpt_image *references; /* images of the concept, cpt_batch.image_stride bytes apart */
    uint64_t n_references;
    uint64_t candidate; /* number of the candidate within its group */
} cpt_item;

/* What score is asked. Walk the arrays with cpt_item_at and cpt_reference_at, which respect the strides. */
typedef struct cpt_batch {
    uint32_t struct_size;
    uint32_t item_stride;  /* bytes of an item, and from an item to the next */
    uint32_t image_stride; /* bytes of an image, and from a reference image to the next */
    uint32_t reserved;
    const cpt_item *items;
    uint64_t n_items;     /* may be 0 */
    uint64_t seed;        /* of everything random in this call */
    uint64_t deadline_ns; /* nanoseconds that the call may take; 0 means no limit */
} cpt_batch;

/* What score answers: the outputs of item i are values[i * n_outputs .. (i + 1) * n_outputs]. */
typedef struct cpt_scores {
    uint32_t struct_size;
    uint32_t n_outputs; /* as many as the manifest lists for the expert */
    double *values;     /* n_items * n_outputs, NaN before the call */
    int32_t *status;    /* n_items, CPT_UNWRITTEN before the call */
} cpt_scores;

/* What the host offers during a call of create or score. Not to be kept afterwards. */
typedef struct cpt_host {
    uint32_t struct_size;
    uint32_t minor; /* the host's minor version */
    void *context;  /* to be passed back to each function */
    void (*log)(void *context, int32_t level, cpt_str message);
    /* Says why item number `item` has no score, or with CPT_WHOLE_CALL why the call failed. The text is copied. */
    void (*fail)(void *context, uint64_t item, cpt_str message);
    /* Not 0 when the call should return soon, with CPT_CANCELLED. Cheap; ask it between items. */
    int32_t (*cancelled)(void *context);
    /* An optional part by name and revision, such as "name/1"; NULL when the host does not have it. */
    const void *(*extension)(void *context, cpt_str name);
} cpt_host;

/* What create is given. */
typedef struct cpt_setup {
    uint32_t struct_size;
    uint32_t reserved;
    cpt_str expert;   /* which of the manifest's experts */
    cpt_str settings; /* JSON object from the run's config; empty means {} */
    cpt_str base;     /* folder that relative paths in the settings are relative to */
} cpt_setup;

/* The table. */
typedef struct cpt_plugin_v1 {
    /* Frozen for ever. */
    uint32_t magic;       /* CPT_MAGIC */
    uint32_t major;       /* CPT_ABI_MAJOR */
    uint32_t minor;       /* the CPT_ABI_MINOR that the plugin was built with */
    uint32_t struct_size; /* sizeof(cpt_plugin_v1) that the plugin was built with */
    /* Minor version 0. */
    uint64_t capabilities; /* CPT_CAP_* */
    /* JSON: {"abi": {"major": 1, "minor": 1}, "name": "mine", "version": "0.1.0", "experts": [{"name": "sharpness",
     * "description": "...", "outputs": [{"name": "score", "range": [0, 1]}], "needs": ["image"], "judges": "generation"}]}.
     * Names: lower case letters, digits, `_`, `-`. range, needs (text, image, reference, face) and judges (understanding,
     * generation, both) may be left out. docs/src/plugin_abi.md has every rule. */
    cpt_str manifest;
    /* Makes an instance of an expert. On CPT_OK `*instance` is what score and destroy are given; otherwise there is none.
     * Refuse with CPT_ERROR, and say why by host->fail, an expert that the manifest does not list, settings that are no JSON
     * object or have a key or value that the expert does not know, and a host or setup smaller than minor version 0's. */
    int32_t (*create)(const cpt_host *host, const cpt_setup *setup, void **instance);
    /* Scores a batch. */
    int32_t (*score)(void *instance, const cpt_host *host, const cpt_batch *batch, const cpt_scores *scores);
    /* Frees an instance, also a poisoned one. */
    void (*destroy)(void *instance);
    /* Minor version 1. */
    /* An optional part by name and revision; NULL when the plugin does not have it. May itself be NULL. */
    const void *(*extension)(cpt_str name);
} cpt_plugin_v1;

/* Sizes of the structs in minor version 0. They never change, whatever sizeof becomes. */
#define CPT_IMAGE_SIZE_0 40
#define CPT_ITEM_SIZE_0 96
#define CPT_BATCH_SIZE_0 48
#define CPT_SCORES_SIZE_0 24
#define CPT_HOST_SIZE_0 48
#define CPT_SETUP_SIZE_0 56
#define CPT_PLUGIN_V1_SIZE_0 64

/* The one symbol that a plugin exports. */
CPT_EXPORT const cpt_plugin_v1 *cpt_plugin_v1_get(void);

CPT_STATIC_ASSERT(sizeof(void *) == 8);
CPT_STATIC_ASSERT(sizeof(cpt_str) == 16);
CPT_STATIC_ASSERT(sizeof(cpt_image) == 40);
CPT_STATIC_ASSERT(sizeof(cpt_item) == 96);
CPT_STATIC_ASSERT(sizeof(cpt_batch) == 48);
CPT_STATIC_ASSERT(sizeof(cpt_scores) == 24);
CPT_STATIC_ASSERT(sizeof(cpt_host) == 48);
CPT_STATIC_ASSERT(sizeof(cpt_setup) == 56);
CPT_STATIC_ASSERT(sizeof(cpt_plugin_v1) == 72);
/* Where the last field of minor version 0 ends. */
CPT_STATIC_ASSERT(offsetof(cpt_image, pixel_stride) + 8 == CPT_IMAGE_SIZE_0);
CPT_STATIC_ASSERT(offsetof(cpt_item, candidate) + 8 == CPT_ITEM_SIZE_0);
CPT_STATIC_ASSERT(offsetof(cpt_batch, deadline_ns) + 8 == CPT_BATCH_SIZE_0);
CPT_STATIC_ASSERT(offsetof(cpt_scores, status) + 8 == CPT_SCORES_SIZE_0);
CPT_STATIC_ASSERT(offsetof(cpt_host, extension) + 8 == CPT_HOST_SIZE_0);
CPT_STATIC_ASSERT(offsetof(cpt_setup, base) + 16 == CPT_SETUP_SIZE_0);
CPT_STATIC_ASSERT(offsetof(cpt_plugin_v1, destroy) + 8 == CPT_PLUGIN_V1_SIZE_0);

/* Whether a batch and its scores have all of minor version 0. A host of this major version never passes less. */
static inline int cpt_batch_is_valid(const cpt_batch *batch, const cpt_scores *scores) {
    return batch->struct_size >= CPT_BATCH_SIZE_0 && batch->item_stride >= CPT_ITEM_SIZE_0 &&
           batch->image_stride >= CPT_IMAGE_SIZE_0 && scores->struct_size >= CPT_SCORES_SIZE_0;
}

/* Item number i. */
static inline const cpt_item *cpt_item_at(const cpt_batch *batch, uint64_t i) {
    return (const cpt_item *)(const void *)((const char *)batch->items + i * batch->item_stride);
}

/* Reference image number j of an item. */
static inline const cpt_image *cpt_reference_at(const cpt_batch *batch, const cpt_item *item, uint64_t j) {
    return (const cpt_image *)(const void *)((const char *)item->references + j * batch->image_stride);
}

/* The string literal or other NUL-terminated text as a cpt_str. */
static inline cpt_str cpt_text(const char *text) {
    cpt_str s;
    s.data = text;
    s.size = 0;
    while (text[s.size] != '\0') s.size++;
    return s;
}

#ifdef __cplusplus
}
#endif
#endif
