#include "fully_connected.h"

#include <math.h>

enum { INT8_LOWEST = -128, INT8_HIGHEST = 127 };

int fully_connected_row(const FullyConnected *layer)
{
    return layer->weights->dims->data[0];
}

static int depth_of(const FullyConnected *layer)
{
    return layer->weights->dims->data[1];
}

static size_t rows_of(const FullyConnected *layer, size_t value_bytes)
{
    return layer->input->bytes / value_bytes / (size_t)depth_of(layer);
}

static bool is_constant(const Tensor *tensor)
{
    return tensor->allocation == ALLOCATION_READ_ONLY && tensor->sparsity == NULL;
}

static bool has_types(const FullyConnected *layer, int type, int bias_type)
{
    return layer->input->type == type && layer->weights->type == type && layer->output->type == type &&
           (layer->bias == NULL || layer->bias->type == bias_type);
}

static bool has_scales(const Tensor *tensor, int channels)
{
    if (tensor->quantization.type != QUANTIZATION_AFFINE || tensor->quantization.affine == NULL)
        return false;
    const Affine *affine = tensor->quantization.affine;
    if (affine->scale == NULL || affine->zero_point == NULL || affine->zero_point->size != affine->scale->size)
        return false;
    return affine->scale->size == 1 || (affine->scale->size == channels && affine->dimension == 0);
}

static bool has_shapes(const FullyConnected *layer, size_t value_bytes)
{
    const Tensor *weights = layer->weights;
    if (weights->dims->size != 2 || weights->dims->data[0] < 1 || weights->dims->data[1] < 1)
        return false;
    size_t row = (size_t)fully_connected_row(layer), depth = (size_t)depth_of(layer);
    return weights->bytes == row * depth * value_bytes && layer->input->bytes % (depth * value_bytes) == 0 &&
           layer->output->bytes == rows_of(layer, value_bytes) * row * value_bytes;
}

bool fully_connected_is_ours(const FullyConnected *layer)
{
    int activation = layer->activation;
    if (activation != ACTIVATION_NONE && activation != ACTIVATION_RELU && activation != ACTIVATION_RELU6)
        return false;
    if (!is_constant(layer->weights) || (layer->bias != NULL && !is_constant(layer->bias)))
        return false;
    if (has_types(layer, TYPE_FLOAT32, TYPE_FLOAT32))
        return has_shapes(layer, sizeof(float));
    return has_types(layer, TYPE_INT8, TYPE_INT32) && has_shapes(layer, sizeof(int8_t)) &&
           has_scales(layer->input, 1) && has_scales(layer->output, 1) &&
           has_scales(layer->weights, fully_connected_row(layer));
}

/* Keeps a NaN, as the CPU does; fmin and fmax would lose it. */
static double clamp(double value, double lowest, double highest)
{
    if (value < lowest)
        return lowest;
    return value > highest ? highest : value;
}

static double lowest_real(int activation)
{
    return activation == ACTIVATION_NONE ? -INFINITY : 0.0;
}

static double highest_real(int activation)
{
    return activation == ACTIVATION_RELU6 ? 6.0 : INFINITY;
}

static void compute_float32(const FullyConnected *layer)
{
    const float *input = layer->input->data, *weights = layer->weights->data;
    const float *bias = layer->bias ? layer->bias->data : NULL;
    float *output = layer->output->data;
    const int row = fully_connected_row(layer), depth = depth_of(layer);
    const double lowest = lowest_real(layer->activation), highest = highest_real(layer->activation);
    for (size_t rows = rows_of(layer, sizeof(float)); rows > 0; rows--, input += depth, output += row) {
        for (int channel = 0; channel < row; channel++) {
            const float *factors = weights + (size_t)channel * depth;
            double sum = bias ? bias[channel] : 0.0;
            for (int i = 0; i < depth; i++)
                sum += (double)input[i] * factors[i];
            output[channel] = (float)clamp(sum, lowest, highest);
        }
    }
}

static int at(int size, int channel)
{
    return size == 1 ? 0 : channel;
}

static void compute_int8(const FullyConnected *layer)
{
    const int8_t *input = layer->input->data, *weights = layer->weights->data;
    const int32_t *bias = layer->bias ? layer->bias->data : NULL;
    int8_t *output = layer->output->data;
    const int row = fully_connected_row(layer), depth = depth_of(layer);
    const Affine *in = layer->input->quantization.affine, *factor = layer->weights->quantization.affine;
    const Affine *out = layer->output->quantization.affine;
    const int32_t in_zero = in->zero_point->data[0], out_zero = out->zero_point->data[0];
    const double out_scale = out->scale->data[0];
    const double lowest = clamp(out_zero + round(lowest_real(layer->activation) / out_scale), INT8_LOWEST, INT8_HIGHEST);
    const double highest =
        clamp(out_zero + round(highest_real(layer->activation) / out_scale), INT8_LOWEST, INT8_HIGHEST);
    for (size_t rows = rows_of(layer, sizeof(int8_t)); rows > 0; rows--, input += depth, output += row) {
        for (int channel = 0; channel < row; channel++) {
            const int8_t *factors = weights + (size_t)channel * depth;
            const int which = at(factor->scale->size, channel);
            const int32_t zero = factor->zero_point->data[which];
            const double scale = (double)in->scale->data[0] * factor->scale->data[which] / out_scale;
            int32_t sum = bias ? bias[channel] : 0;
            for (int i = 0; i < depth; i++)
                sum += (input[i] - in_zero) * (factors[i] - zero);
            output[channel] = (int8_t)clamp(round(sum * scale) + out_zero, lowest, highest);
        }
    }
}

void fully_connected_compute(const FullyConnected *layer)
{
    if (layer->input->type == TYPE_FLOAT32)
        compute_float32(layer);
    else
        compute_int8(layer);
}
