/* What the delegate does wrong, from when on, and how long it takes: its options. */
#ifndef FAULT_H
#define FAULT_H

#include <limits.h>
#include <time.h>

#include "tflite_abi.h"

typedef enum { NONE, HANG, ABORT, SEGFAULT, FAIL, SLOW, WRONG, REFUSE, UNKNOWN } Fault;

typedef struct {
    Fault fault;
    long after;            /* so many invokes of a kernel in this process are sound */
    long delay_us;         /* an invoke takes so long at least */
    long slow_us;          /* a slow one takes so long at least; 0: ten times delay_us */
    char unless[PATH_MAX]; /* while there is such a file, all are; empty: no file */
} Options;

/* Reads `count` options; gives false after `refuse` was told which one is no good. */
bool options_read(Options *options, char **keys, char **values, size_t count, void (*refuse)(const char *));

/* The fault there is now, not counting invokes. */
Fault fault_now(const Options *options);

/* The fault this invoke has; every invoke asks once. */
Fault fault_of_next_invoke(const Options *options);

/* Hangs, or ends the process, if that is the fault. */
void fault_strike(Fault fault);

/* When an invoke that begins now may be over. */
struct timespec fault_earliest_end(const Options *options, Fault fault);

void sleep_until(struct timespec moment);

/* Turns the order within each row round, and makes every value wrong by a quarter of its range or more. */
void spoil(Tensor *output, int row);

#endif
