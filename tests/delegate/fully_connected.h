/* output = activation(input x weights^T + bias), in float32 or int8. */
#ifndef FULLY_CONNECTED_H
#define FULLY_CONNECTED_H

#include "tflite_abi.h"

typedef struct {
    const Tensor *input;
    const Tensor *weights;
    const Tensor *bias; /* or NULL */
    Tensor *output;
    int activation;
} FullyConnected;

/* Returns whether the delegate can compute the layer. The CPU computes all others. */
bool fully_connected_is_ours(const FullyConnected *layer);

/* Returns the number of values in a row of the output. */
int fully_connected_row(const FullyConnected *layer);

void fully_connected_compute(const FullyConnected *layer);

#endif
