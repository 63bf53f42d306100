#define _GNU_SOURCE
#include "fault.h"

#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SLOWER = 10, US_PER_S = 1000 * 1000, NS_PER_US = 1000, NS_PER_S = 1000 * 1000 * 1000 };

static const char *const NAMES[UNKNOWN] = {"none", "hang", "abort", "segfault", "error", "slow", "wrong", "refuse", "fork"};

static atomic_long invokes; /* of all kernels in this process */

static Fault fault_named(const char *name)
{
    Fault fault = NONE;
    while (fault < UNKNOWN && strcmp(NAMES[fault], name) != 0)
        fault++;
    return fault;
}

static bool read_number(const char *text, long *number)
{
    char *end;
    errno = 0;
    *number = strtol(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && *number >= 0;
}

static bool read_path(const char *text, char path[PATH_MAX])
{
    return snprintf(path, PATH_MAX, "%s", text) < PATH_MAX;
}

/* Returns what was expected, or NULL if the option is valid. */
static const char *read_one(Options *options, const char *key, const char *value)
{
    if (strcmp(key, "fault") == 0) {
        options->fault = fault_named(value);
        return options->fault == UNKNOWN ? "one of none, hang, abort, segfault, error, slow, wrong, refuse, fork" : NULL;
    }
    if (strcmp(key, "after") == 0)
        return read_number(value, &options->after) ? NULL : "a number of invokes";
    if (strcmp(key, "delay_us") == 0)
        return read_number(value, &options->delay_us) ? NULL : "a number of microseconds";
    if (strcmp(key, "slow_us") == 0)
        return read_number(value, &options->slow_us) ? NULL : "a number of microseconds";
    if (strcmp(key, "unless") == 0)
        return read_path(value, options->unless) ? NULL : "a path";
    return "only the options fault, after, delay_us, slow_us, unless";
}

bool options_read(Options *options, char **keys, char **values, size_t count, void (*refuse)(const char *))
{
    *options = (Options){.fault = NONE};
    for (size_t i = 0; i < count; i++) {
        const char *expected = read_one(options, keys[i], values[i]);
        if (expected == NULL)
            continue;
        char message[512];
        snprintf(message, sizeof message, "option %s is '%s', expected %s", keys[i], values[i], expected);
        refuse(message);
        return false;
    }
    return true;
}

Fault fault_now(const Options *options)
{
    bool is_off = options->unless[0] != '\0' && access(options->unless, F_OK) == 0;
    return is_off ? NONE : options->fault;
}

Fault fault_of_next_invoke(const Options *options)
{
    return atomic_fetch_add(&invokes, 1) < options->after ? NONE : fault_now(options);
}

void fault_strike(Fault fault)
{
    volatile int *volatile nowhere = NULL; /* volatile, or the compiler would replace the write by a trap */
    switch (fault) {
    case HANG:
        for (;;)
            sleep(60);
    case ABORT:
        abort();
    case SEGFAULT:
        *nowhere = 0;
        break;
    case FORK:
        if (fork() == 0)
            for (;;)
                pause();
        break;
    default:
        break;
    }
}

struct timespec fault_earliest_end(const Options *options, Fault fault)
{
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    long slow_us = options->slow_us > 0 ? options->slow_us : options->delay_us * SLOWER;
    long delay_us = fault == SLOW ? slow_us : options->delay_us;
    end.tv_sec += delay_us / US_PER_S;
    end.tv_nsec += delay_us % US_PER_S * NS_PER_US;
    if (end.tv_nsec >= NS_PER_S) {
        end.tv_sec++;
        end.tv_nsec -= NS_PER_S;
    }
    return end;
}

void sleep_until(struct timespec moment)
{
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &moment, NULL) == EINTR)
        ;
}

/* Moves negative values to the upper quarter of the range and all others to the lower quarter. */
static void spoil_int8(int8_t *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        values[i] = (int8_t)((values[i] < 0 ? 63 : -65) - values[i] / 2);
}

static void spoil_float32(float *values, int row)
{
    float beyond = 1.0f;
    for (int i = 0; i < row; i++)
        beyond = fmaxf(beyond, fabsf(values[i]));
    for (int i = 0; i < row; i++)
        values[i] = (values[i] < 0 ? beyond : -beyond) - values[i];
}

void spoil(Tensor *output, int row)
{
    if (output->type == TYPE_INT8) {
        spoil_int8(output->data, output->bytes);
        return;
    }
    float *values = output->data;
    for (size_t rows = output->bytes / sizeof(float) / (size_t)row; rows > 0; rows--, values += row)
        spoil_float32(values, row);
}
