/* output = activation(input x weights^T + bias), in float32 or int8. */
#ifndef FULLY_CONNECTED_H
#define FULLY_CONNECTED_H

#include "tflite_abi.h"

typedef struct {
    const Tensor *input;
    const Tensor *weights;
    const Tensor *bias; /* NULL where there is none */
    Tensor *output;
    int activation;
} FullyConnected;

/* Whether all of it can be computed here; what cannot is the CPU's. */
bool fully_connected_is_ours(const FullyConnected *layer);

/* How many values a row of the output has. */
int fully_connected_row(const FullyConnected *layer);

void fully_connected_compute(const FullyConnected *layer);

#endif
