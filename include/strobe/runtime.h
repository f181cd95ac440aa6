#ifndef STROBE_RUNTIME_H
#define STROBE_RUNTIME_H

/** \file
 * The C interface of Strobe's run-time library: run a compiled kernel package on
 * tensors in device memory. Link with libstrobe_runtime; it finds the CUDA driver
 * at run time and depends on nothing else.
 *
 * All functions may be called from several threads at once. They act in the
 * calling thread's current CUDA context, launch on the stream they are given, never
 * wait for the device on the hot path, and may be captured into CUDA graphs.
 */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A loaded package. */
typedef struct strobe_package strobe_package;

enum {
    strobe_max_rank = 8,
};

/** What the functions below return. strobe_last_error() has the text. */
enum {
    strobe_success = 0,
    strobe_error_argument = 1, /* an argument is not legal; the text names it and says what would be */
    strobe_error_runtime = 2,  /* the machine refused: the driver, memory, a damaged package */
    strobe_error_internal = 3  /* a bug in Strobe */
};

/** Element types: the codes of halide_type_t. */
enum { strobe_int = 0, strobe_uint = 1, strobe_float = 2, strobe_bfloat = 4 };

/** A tensor in device memory. Dimension 0 is the algorithm's innermost: a PyTorch
 * tensor of shape (batch, head, sequence, feature) has sizes {feature, sequence, head, batch}. */
typedef struct strobe_tensor {
    void *data; /* device address of the first element; may be null if a size is 0 */
    int64_t sizes[strobe_max_rank];
    int64_t strides[strobe_max_rank]; /* in elements */
    int32_t rank;
    uint8_t type_code; /* strobe_int, ... */
    uint8_t type_bits;
    uint8_t reserved[2]; /* 0 */
} strobe_tensor;

/** Reads a serialized package, which may be freed afterwards; touches no device. Null on failure. */
strobe_package *strobe_package_open(const uint8_t *data, size_t size);

/** Unloads a package. The launches made with it must have finished, and the CUDA
 * graphs that captured one must not be launched any more. Null does nothing. */
void strobe_package_close(strobe_package *package);

/** Loads the code into the current context now rather than at the first launch. */
int strobe_package_load(strobe_package *package);

/** A JSON text: {"name", "architecture", "buffers": [{"name", "type", "rank", "output"}],
 * "scalars": [{"name", "type", "min", "max"}], "plans": [{"schedule", "query_tile", "cost_per_unit",
 * "cost_per_step", "steps",
 * "kernels": [...]}]}. It lives as long as the package. Null on failure. */
const char *strobe_package_describe(strobe_package *package);

/** Launches on `cuda_stream` (a CUstream or cudaStream_t; null is the default stream). Tensors and scalars come
 * in the order of strobe_package_describe. `plan` is an index into its plans, or -1 for the one
 * that should take least time on these sizes. */
int strobe_launch(strobe_package *package, const strobe_tensor *tensors, int num_tensors, const double *scalars,
                  int num_scalars, void *cuda_stream, int plan);

/** The same with scratch memory of the caller's: strobe_workspace_bytes bytes at a
 * multiple of 256, used by nobody else until the launch has run. */
int strobe_launch_in(strobe_package *package, const strobe_tensor *tensors, int num_tensors, const double *scalars,
                     int num_scalars, void *cuda_stream, int plan, void *workspace, size_t workspace_bytes);

/** The scratch memory that such a launch takes; plan -1 asks for enough for any plan. Negative on failure. */
int64_t strobe_workspace_bytes(strobe_package *package, const strobe_tensor *tensors, int num_tensors, int plan);

/** The text of the last failure in this thread; "" if there was none. */
const char *strobe_last_error(void);

#ifdef __cplusplus
}
#endif

#endif
