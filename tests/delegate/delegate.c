/* An external delegate of TFLite that stands in for an accelerator in tests. It takes the FULLY_CONNECTED nodes and
 * computes them correctly until it has the fault that its options name (see fault.h). */
#include <stdlib.h>
#include <string.h>

#include "fault.h"
#include "fully_connected.h"

#define EXPORTED __attribute__((visibility("default")))

typedef struct {
    Delegate base; /* the part that the runtime knows */
    Options options;
} TestDelegate;

/* The kernel of one node. It copies what it needs of the node, because the node may move in memory. */
typedef struct {
    const Options *options;
    int input, weights, bias, output, activation;
} Kernel;

static bool describe(Context *context, int index, Kernel *kernel)
{
    Node *node;
    Registration *registration;
    if (context->get_node(context, index, &node, &registration) != OK)
        return false;
    if (registration->builtin_code != OPERATOR_FULLY_CONNECTED || node->builtin_data == NULL)
        return false;
    const FullyConnectedParams *params = node->builtin_data;
    const Ints *inputs = node->inputs;
    if (params->weights_format != WEIGHTS_PLAIN || inputs->size < 2 || inputs->size > 3 || node->outputs->size != 1)
        return false;
    kernel->input = inputs->data[0];
    kernel->weights = inputs->data[1];
    kernel->bias = inputs->size == 3 ? inputs->data[2] : -1;
    kernel->output = node->outputs->data[0];
    kernel->activation = params->activation;
    return true;
}

static FullyConnected layer_of(const Context *context, const Kernel *kernel)
{
    Tensor *tensors = context->tensors;
    return (FullyConnected){
        .input = &tensors[kernel->input],
        .weights = &tensors[kernel->weights],
        .bias = kernel->bias < 0 ? NULL : &tensors[kernel->bias],
        .output = &tensors[kernel->output],
        .activation = kernel->activation,
    };
}

static void *kernel_init(Context *context, const char *raw, size_t length)
{
    (void)length;
    const KernelParams *params = (const KernelParams *)raw;
    Kernel *kernel = calloc(1, sizeof *kernel);
    if (kernel == NULL || !describe(context, params->nodes->data[0], kernel))
        abort(); /* cannot happen: take_all has described it before */
    kernel->options = &((TestDelegate *)params->delegate->data)->options;
    return kernel;
}

static void kernel_free(Context *context, void *kernel)
{
    (void)context;
    free(kernel);
}

static Status kernel_invoke(Context *context, Node *node)
{
    const Kernel *kernel = node->user_data;
    const FullyConnected layer = layer_of(context, kernel);
    const Fault fault = fault_of_next_invoke(kernel->options);
    const struct timespec end = fault_earliest_end(kernel->options, fault);
    fault_strike(fault);
    if (fault == FAIL) {
        context->report_error(context, "failed, as asked");
        return ERROR;
    }
    fully_connected_compute(&layer);
    if (fault == WRONG)
        spoil(layer.output, fully_connected_row(&layer));
    sleep_until(end);
    return OK;
}

/* Take one node at a time: the runtime would join neighbours into one kernel with tensors of its own between them. */
static Status take(Context *context, Delegate *delegate, int index)
{
    int memory[2] = {1, index};
    const Registration kernel = {
        .init = kernel_init,
        .free = kernel_free,
        .invoke = kernel_invoke,
        .custom_name = "TestDelegate",
        .version = 1,
    };
    return context->replace_nodes(context, kernel, (const Ints *)memory, delegate);
}

static Status take_all(Context *context, Delegate *delegate, const Ints *plan)
{
    Status status = OK;
    for (int i = 0; i < plan->size && status == OK; i++) {
        Kernel kernel;
        if (!describe(context, plan->data[i], &kernel))
            continue;
        const FullyConnected layer = layer_of(context, &kernel);
        if (fully_connected_is_ours(&layer))
            status = take(context, delegate, plan->data[i]);
    }
    return status;
}

static Status prepare(Context *context, Delegate *delegate)
{
    Ints *current;
    if (context->get_execution_plan(context, &current) != OK)
        return ERROR;
    const size_t bytes = sizeof *current + (size_t)current->size * sizeof current->data[0];
    Ints *plan = malloc(bytes);
    if (plan == NULL)
        return ERROR;
    memcpy(plan, current, bytes); /* the runtime's plan changes with every node taken */
    const Status status = take_all(context, delegate, plan);
    free(plan);
    return status;
}

EXPORTED Delegate *tflite_plugin_create_delegate(
    char **keys, char **values, size_t count, void (*report_error)(const char *))
{
    TestDelegate *delegate = calloc(1, sizeof *delegate);
    if (delegate == NULL) {
        report_error("no memory");
        return NULL;
    }
    bool good = options_read(&delegate->options, keys, values, count, report_error);
    if (good && fault_now(&delegate->options) == REFUSE) {
        report_error("refused, as asked");
        good = false;
    }
    if (!good) {
        free(delegate);
        return NULL;
    }
    delegate->base = (Delegate){.data = delegate, .prepare = prepare};
    return &delegate->base;
}

EXPORTED void tflite_plugin_destroy_delegate(Delegate *delegate)
{
    free(delegate ? delegate->data : NULL); /* NULL after a refusal */
}
