#ifndef STROBE_RUNTIME_CUDA_DRIVER_H
#define STROBE_RUNTIME_CUDA_DRIVER_H

/** \file
 * The CUDA driver API, found at run time: nothing of Strobe links to CUDA, and no
 * CUDA header is needed to build it. Types and constants are those of cuda.h. */

#include <cstddef>
#include <cstdint>
#include <string>

namespace strobe::cuda {

using Result = int;  // CUresult; 0 is success
using Device = int;
using DevicePointer = unsigned long long;
using Context = struct CUctx_st *;
using Module = struct CUmod_st *;
using Function = struct CUfunc_st *;
using Stream = struct CUstream_st *;

/** CUtensorMap. */
struct alignas(64) TensorMap {
    uint64_t opaque[16];
};

constexpr int attribute_multiprocessors = 16, attribute_capability_major = 75, attribute_capability_minor = 76,
              attribute_max_shared_optin = 97;
constexpr int function_max_threads = 0, function_registers = 4, function_max_dynamic_shared = 8;
constexpr int jit_error_log_buffer = 5, jit_error_log_buffer_size = 6;
constexpr int pointer_context = 1;
constexpr int capture_none = 0, capture_active = 1;
constexpr int capture_mode_relaxed = 2;
constexpr unsigned stream_non_blocking = 1;
constexpr int map_u8 = 0, map_u16 = 1, map_u32 = 2, map_i32 = 3, map_u64 = 4, map_i64 = 5, map_f16 = 6, map_f32 = 7,
              map_f64 = 8, map_bf16 = 9;
constexpr int map_interleave_none = 0, map_l2_promotion_128 = 2, map_fill_zero = 0;

/** CUlaunchAttribute and CUlaunchConfig. */
struct LaunchAttribute {
    int id = 0;
    alignas(8) char value[64] = {};
};
struct LaunchConfig {
    unsigned grid[3] = {1, 1, 1}, block[3] = {1, 1, 1}, shared_bytes = 0;
    Stream stream = nullptr;
    LaunchAttribute *attributes = nullptr;
    unsigned num_attributes = 0;
};
constexpr int launch_programmatic_serialization = 6;

/** name in the table, symbol, result, arguments. The second list may be missing in old drivers. */
#define STROBE_CUDA_REQUIRED(X)                                                                                   \
    X(init, "cuInit", (unsigned))                                                                                 \
    X(get_error_string, "cuGetErrorString", (Result, const char **))                                              \
    X(get_error_name, "cuGetErrorName", (Result, const char **))                                                  \
    X(driver_get_version, "cuDriverGetVersion", (int *))                                                          \
    X(device_get_attribute, "cuDeviceGetAttribute", (int *, int, Device))                                         \
    X(ctx_get_current, "cuCtxGetCurrent", (Context *))                                                            \
    X(ctx_get_device, "cuCtxGetDevice", (Device *))                                                               \
    X(ctx_push_current, "cuCtxPushCurrent_v2", (Context))                                                         \
    X(ctx_pop_current, "cuCtxPopCurrent_v2", (Context *))                                                         \
    X(module_load_data_ex, "cuModuleLoadDataEx", (Module *, const void *, unsigned, int *, void **))              \
    X(module_unload, "cuModuleUnload", (Module))                                                                  \
    X(module_get_function, "cuModuleGetFunction", (Function *, Module, const char *))                             \
    X(func_get_attribute, "cuFuncGetAttribute", (int *, int, Function))                                           \
    X(func_set_attribute, "cuFuncSetAttribute", (Function, int, int))                                             \
    X(launch_kernel, "cuLaunchKernel",                                                                            \
      (Function, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, Stream, void **, void **)) \
    X(mem_alloc, "cuMemAlloc_v2", (DevicePointer *, size_t))                                                      \
    X(mem_free, "cuMemFree_v2", (DevicePointer))                                                                  \
    X(memset_d8_async, "cuMemsetD8Async", (DevicePointer, unsigned char, size_t, Stream))                         \
    X(stream_create, "cuStreamCreate", (Stream *, unsigned))                                                      \
    X(stream_destroy, "cuStreamDestroy_v2", (Stream))                                                             \
    X(stream_synchronize, "cuStreamSynchronize", (Stream))                                                        \
    X(stream_is_capturing, "cuStreamIsCapturing", (Stream, int *))                                                \
    X(thread_exchange_capture_mode, "cuThreadExchangeStreamCaptureMode", (int *))                                 \
    X(pointer_get_attribute, "cuPointerGetAttribute", (void *, int, DevicePointer))

#define STROBE_CUDA_OPTIONAL(X)                                                                                    \
    X(tensor_map_encode_tiled, "cuTensorMapEncodeTiled",                                                           \
      (TensorMap *, int, uint32_t, void *, const uint64_t *, const uint64_t *, const uint32_t *, const uint32_t *, \
       int, int, int, int))                                                                                        \
    X(stream_get_capture_info, "cuStreamGetCaptureInfo_v2",                                                        \
      (Stream, int *, unsigned long long *, void **, const void **, size_t *))                                     \
    X(stream_get_id, "cuStreamGetId", (Stream, unsigned long long *))                                              \
    X(device_primary_ctx_retain, "cuDevicePrimaryCtxRetain", (Context *, Device))                                  \
    X(ctx_set_current, "cuCtxSetCurrent", (Context))                                                               \
    X(ctx_get_id, "cuCtxGetId", (Context, unsigned long long *))                                                   \
    X(func_load, "cuFuncLoad", (Function))                                                                         \
    X(launch_kernel_ex, "cuLaunchKernelEx", (const LaunchConfig *, Function, void **, void **))

/** The functions of one driver library. */
struct Driver {
#define STROBE_CUDA_MEMBER(NAME, SYMBOL, ARGUMENTS) Result(*NAME) ARGUMENTS = nullptr;
    STROBE_CUDA_REQUIRED(STROBE_CUDA_MEMBER)
    STROBE_CUDA_OPTIONAL(STROBE_CUDA_MEMBER)
#undef STROBE_CUDA_MEMBER
    std::string library;  // where it was found
};

/** Opens a driver library and initialises it. Throws RuntimeFailure if it is
 * missing, lacks a function, or finds no device. */
Driver open_driver(const char *library);

/** The process's driver: libcuda.so.1, or the library that STROBE_LIBCUDA names,
 * opened on first use. Throws what open_driver threw, at every call. */
const Driver &driver();

/** Throws RuntimeFailure "<doing>: <the driver's text> (<its name>)" unless the result is success. */
void fail(Result result, const char *doing);
inline void check(Result result, const char *doing) {
    if (result != 0) {
        fail(result, doing);
    }
}
/** The driver's text for a result. */
std::string text_of(const Driver &driver, Result result);

/** While it lives, this thread may allocate, load and synchronise although some
 * stream is being captured; what it does then is not part of the graph. */
class RelaxedCapture {
public:
    RelaxedCapture();
    ~RelaxedCapture();
    RelaxedCapture(const RelaxedCapture &) = delete;
    RelaxedCapture &operator=(const RelaxedCapture &) = delete;

private:
    int mode;
};

}  // namespace strobe::cuda

#endif
