/* A plugin that does what the response of an item says: score, print, sleep, die. */
#include "counterpoint_plugin.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char MANIFEST[] =
    "{\"abi\":{\"major\":1,\"minor\":1},\"name\":\"moody\",\"version\":\"1\",\"experts\":["
    "{\"name\":\"moody\",\"outputs\":[{\"name\":\"mood\"},{\"name\":\"size\"}]},"
    "{\"name\":\"bounded\",\"outputs\":[{\"name\":\"mood\",\"range\":[0,1]},{\"name\":\"size\"}]}]}";

static int is(cpt_str text, const char *word) {
    return text.size == strlen(word) && memcmp(text.data, word, text.size) == 0;
}

static int starts(cpt_str text, const char *word) {
    return text.size >= strlen(word) && memcmp(text.data, word, strlen(word)) == 0;
}

static void nap(void) {
    struct timespec time = {0, 2000000};
    nanosleep(&time, NULL);
}

/* Another process, which goes when it is killed, and whatever else is asked of loading. */
__attribute__((constructor)) static void load(void) {
    const char *mood = getenv("MOODY_LOAD");
    if (!mood) return;
    if (fork() == 0) for (;;) nap();
    while (strcmp(mood, "hang") == 0) nap();
}

static int32_t create(const cpt_host *host, const cpt_setup *setup, void **instance) {
    if (strstr(setup->settings.size ? setup->settings.data : "", "\"refuse\"")) {
        host->fail(host->context, CPT_WHOLE_CALL, cpt_text("refused, as asked"));
        return CPT_ERROR;
    }
    if (strstr(setup->settings.size ? setup->settings.data : "", "\"hang\"")) for (;;) nap();
    *instance = malloc(1);
    return CPT_OK;
}

/* The mean of an image's samples, each with its own weight, so that a wrong order shows. */
static double mean(const cpt_image *image) {
    double sum = 0;
    uint64_t n = 0;
    for (uint32_t y = 0; y < image->height; y++) {
        for (uint32_t x = 0; x < image->width; x++) {
            const char *pixel = (const char *)image->data + y * image->row_stride + x * image->pixel_stride;
            for (int c = 0; c < 3; c++) {
                double sample = image->format == CPT_RGB_U8 ? ((const uint8_t *)(const void *)pixel)[c] / 255.0
                                                            : ((const float *)(const void *)pixel)[c];
                sum += sample * (double)(++n % 97);
            }
        }
    }
    return sum / (double)n;
}

static int32_t score(void *instance, const cpt_host *host, const cpt_batch *batch, const cpt_scores *scores) {
    (void)instance;
    for (uint64_t i = 0; i < batch->n_items; i++) {
        const cpt_item *item = cpt_item_at(batch, i);
        cpt_str word = item->response;
        double value = (double)item->prompt.size + (double)item->params.size / 16.0 + (double)item->candidate * 1e-3;
        scores->status[i] = CPT_VALUE;
        if (item->image) value += mean(item->image);
        for (uint64_t j = 0; j < item->n_references; j++) value += (double)(j + 2) * mean(cpt_reference_at(batch, item, j));
        if (is(word, "exit")) exit(7);
        if (is(word, "abort")) abort();
        if (is(word, "crash")) *(volatile int *)0 = 1;
        if (is(word, "loud crash")) {
            fprintf(stderr, "about to crash\n");
            abort();
        }
        if (is(word, "hang")) for (;;) nap();
        if (is(word, "close")) {
            for (int fd = 3; fd < 64; fd++) close(fd);
            for (;;) nap();
        }
        if (is(word, "wait")) {
            while (!host->cancelled(host->context)) nap();
            return CPT_CANCELLED;
        }
        if (is(word, "fail call")) {
            host->fail(host->context, CPT_WHOLE_CALL, cpt_text("no mood today"));
            return CPT_ERROR;
        }
        if (is(word, "print")) {
            printf("CPTF this goes nowhere\n");
            fflush(stdout);
            ssize_t n = write(1, "raw", 3);
            (void)n;
            value += getchar() == EOF ? 0.5 : 0;
        }
        if (is(word, "log")) host->log(host->context, CPT_LOG_WARN, cpt_text("moody warns"));
        if (is(word, "hog")) {
            size_t size = (size_t)512 << 20;
            char *memory = malloc(size);
            if (!memory) {
                host->fail(host->context, CPT_WHOLE_CALL, cpt_text("no memory"));
                return CPT_ERROR;
            }
            memset(memory, 1, size);
            value += memory[size / 2];
            free(memory);
        }
        if (is(word, "abstain")) {
            scores->status[i] = CPT_ABSTAIN;
            host->fail(host->context, i, cpt_text("not my thing"));
        }
        if (is(word, "fail")) {
            scores->status[i] = CPT_FAIL;
            host->fail(host->context, i, cpt_text("cannot see \"it\"\n"));
        }
        if (starts(word, "bits ")) {
            char digits[32] = {0};
            memcpy(digits, word.data + 5, word.size - 5 < 31 ? word.size - 5 : 31);
            uint64_t bits = strtoull(digits, NULL, 16);
            memcpy(&value, &bits, 8);
        }
        if (is(word, "seed")) value = (double)batch->seed;
        if (is(word, "deadline")) value = (double)batch->deadline_ns;
        if (is(word, "process")) value = (double)getpid();
        if (scores->status[i] == CPT_VALUE) {
            scores->values[2 * i] = value;
            scores->values[2 * i + 1] = (double)word.size;
        }
    }
    return CPT_OK;
}

static const cpt_plugin_v1 TABLE = {
    CPT_MAGIC, CPT_ABI_MAJOR, CPT_ABI_MINOR, sizeof(cpt_plugin_v1), 0, {MANIFEST, sizeof(MANIFEST) - 1},
    create,    score,         free,          NULL,
};

CPT_EXPORT const cpt_plugin_v1 *cpt_plugin_v1_get(void) { return &TABLE; }
