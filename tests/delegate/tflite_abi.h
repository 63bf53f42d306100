/* The part of TFLite's binary interface for delegates that the delegate of the tests uses.
 *
 * Order, types and values are those of TFLite 1.x to LiteRT 2.3 on 64-bit Linux. The names are our own. Fields that are
 * not read here are declared only for the layout. */
#ifndef TFLITE_ABI_H
#define TFLITE_ABI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { OK = 0, ERROR = 1 } Status;

enum { OPERATOR_FULLY_CONNECTED = 9 };
enum { TYPE_FLOAT32 = 1, TYPE_INT32 = 2, TYPE_INT8 = 9 };
enum { ALLOCATION_READ_ONLY = 1 };
enum { QUANTIZATION_AFFINE = 1 };
enum { ACTIVATION_NONE = 0, ACTIVATION_RELU = 1, ACTIVATION_RELU6 = 3 };
enum { WEIGHTS_PLAIN = 0 };

typedef struct {
    int size;
    int data[];
} Ints;

typedef struct {
    int size;
    float data[];
} Floats;

/* real = scale * (stored - zero_point), with one entry, or one for each index of `dimension` */
typedef struct {
    Floats *scale;
    Ints *zero_point;
    int32_t dimension;
} Affine;

typedef struct Delegate Delegate;

typedef struct {
    int type;
    void *data;
    Ints *dims;
    struct {
        float scale;
        int32_t zero_point;
    } whole_tensor;
    int allocation;
    size_t bytes;
    const void *mapped_file;
    const char *name;
    Delegate *delegate;
    int buffer_handle;
    bool data_is_stale;
    bool is_variable;
    struct {
        int type;
        Affine *affine;
    } quantization;
    void *sparsity;
    const Ints *dims_signature;
} Tensor;

typedef struct {
    Ints *inputs;
    Ints *outputs;
    Ints *intermediates;
    Ints *temporaries;
    void *user_data;
    void *builtin_data;
    const void *custom_data;
    int custom_data_bytes;
    Delegate *delegate;
    bool might_have_side_effect;
} Node;

/* builtin_data of a FULLY_CONNECTED node */
typedef struct {
    int activation;
    int weights_format;
    bool keep_dims;
    bool asymmetric_inputs;
    int bias_type;
} FullyConnectedParams;

typedef struct Context Context;

/* passed by value, so its size matters */
typedef struct {
    void *(*init)(Context *context, const char *params, size_t length);
    void (*free)(Context *context, void *user_data);
    Status (*prepare)(Context *context, Node *node);
    Status (*invoke)(Context *context, Node *node);
    const char *(*profiling_string)(const Context *context, const Node *node);
    int32_t builtin_code;
    const char *custom_name;
    int version;
    void *external_registration;
    void *(*async_kernel)(Context *context, Node *node);
    uint64_t in_place;
} Registration;

struct Context {
    size_t tensor_count;
    Status (*get_execution_plan)(Context *context, Ints **plan);
    Tensor *tensors;
    void *runtime;
    Status (*resize_tensor)(Context *context, Tensor *tensor, Ints *dims);
    void (*report_error)(Context *context, const char *format, ...);
    Status (*add_tensors)(Context *context, int count, int *first);
    Status (*get_node)(Context *context, int index, Node **node, Registration **registration);
    Status (*replace_nodes)(Context *context, Registration kernel, const Ints *nodes, Delegate *delegate);
    /* more fields follow, which are not used here */
};

struct Delegate {
    void *data;
    Status (*prepare)(Context *context, Delegate *delegate);
    Status (*copy_from_buffer)(Context *context, Delegate *delegate, int handle, Tensor *tensor);
    Status (*copy_to_buffer)(Context *context, Delegate *delegate, int handle, Tensor *tensor);
    void (*free_buffer)(Context *context, Delegate *delegate, int *handle);
    int64_t flags;
    void *opaque_builder;
};

/* the `params` of a kernel's `init` */
typedef struct {
    Delegate *delegate;
    Ints *nodes;
    Ints *inputs;
    Ints *outputs;
} KernelParams;

#endif
