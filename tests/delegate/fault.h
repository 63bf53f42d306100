/* The options of the delegate: its fault, when the fault begins, and how long an invoke takes. */
#ifndef FAULT_H
#define FAULT_H

#include <limits.h>
#include <time.h>

#include "tflite_abi.h"

typedef enum { NONE, HANG, ABORT, SEGFAULT, FAIL, SLOW, WRONG, REFUSE, FORK, UNKNOWN } Fault;

typedef struct {
    Fault fault;
    long after;            /* the first so many invokes of all kernels in this process have no fault */
    long delay_us;         /* the least duration of an invoke */
    long slow_us;          /* the least duration of a slow invoke; 0: ten times delay_us */
    char unless[PATH_MAX]; /* while this file exists, there is no fault; empty: no file */
} Options;

/* Reads `count` options. Returns false after it has passed a message about an invalid one to `refuse`. */
bool options_read(Options *options, char **keys, char **values, size_t count, void (*refuse)(const char *));

/* Returns the present fault, regardless of the number of invokes. */
Fault fault_now(const Options *options);

/* Returns the fault of this invoke, and counts it. Call it once for each invoke. */
Fault fault_of_next_invoke(const Options *options);

/* Hangs, ends or forks the process if that is the fault. The fork sleeps for ever. */
void fault_strike(Fault fault);

/* Returns the earliest time at which an invoke that begins now may end. */
struct timespec fault_earliest_end(const Options *options, Fault fault);

void sleep_until(struct timespec moment);

/* Reverses the order of the values in each row, and changes every value by a quarter of its range or more. */
void spoil(Tensor *output, int row);

#endif
