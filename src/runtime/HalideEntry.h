#ifndef STROBE_RUNTIME_HALIDE_ENTRY_H
#define STROBE_RUNTIME_HALIDE_ENTRY_H

/** \file
 * What a Halide pipeline calls to run a kernel package on its buffers. */

#include <cstdint>

struct halide_buffer_t;
struct halide_device_interface_t;

extern "C" {

/** Runs a serialized package on Halide buffers, given in the order of the package's
 * buffers: copies inputs to the device and allocates outputs there as Halide's own GPU code does, launches in Halide's
 * context on Halide's stream, and marks the outputs as changed on the device. The package's bytes must stay in place
 * as long as they are used; they are parsed and loaded once. `interface` is what
 * halide_cuda_device_interface() returns in the code that calls.
 *
 * Returns 0, or a Halide error code after halide_error(user_context, text). Where the Halide
 * runtime is not linked into the process (code that Halide compiles just in time keeps its
 * own), the text goes to the standard error stream, the context is that of the
 * buffers' memory, and the stream is the default one. */
int strobe_halide_run_on(void *user_context, const halide_device_interface_t *interface, const uint8_t *package,
                         int64_t size, halide_buffer_t **buffers, int num_buffers, const double *scalars,
                         int num_scalars);

/** The same with the device interface of the Halide runtime linked into the process. */
int strobe_halide_run(void *user_context, const uint8_t *package, int64_t size, halide_buffer_t **buffers,
                      int num_buffers, const double *scalars, int num_scalars);
}

#endif
