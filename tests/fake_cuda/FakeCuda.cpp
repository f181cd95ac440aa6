#include "FakeCuda.h"

#include <cstdio>
#include <cstring>
#include <memory>
#include <new>

namespace {

FakeCuda *state() {
    static auto *the_state = new FakeCuda;
    return the_state;
}

uint64_t next_address = 0x7f0000000000;
std::map<void *, std::string> functions;
uintptr_t next_handle = 0x1000;

thread_local std::vector<void *> context_stack;
thread_local int capture_mode = 0;  // global

void *current() {
    if (!context_stack.empty()) {
        return context_stack.back();
    }
    return state()->has_context ? reinterpret_cast<void *>(uintptr_t(state()->context_number * 16)) : nullptr;
}

/** Records a call; the result it shall have. */
int called(const char *symbol) {
    state()->calls.push_back(symbol);
    const auto found = state()->fail_with.find(symbol);
    return found == state()->fail_with.end() ? 0 : found->second;
}

/** Calls that break a capture elsewhere unless the thread has relaxed its mode. */
void unsafe(const char *symbol) {
    if (!state()->capturing.empty() && capture_mode != 2) {
        state()->violation = std::string(symbol) + " during a capture";
    }
}

using Lock = std::lock_guard<std::mutex>;

}  // namespace

extern "C" {

FakeCuda *fake_cuda_state() {
    return state();
}

void fake_cuda_reset() {
    FakeCuda *s = state();
    s->~FakeCuda();
    new (s) FakeCuda;
}

int cuInit(unsigned) {
    return 0;
}

int cuGetErrorString(int result, const char **text) {
    *text = result == 2     ? "out of memory"
            : result == 1   ? "invalid argument"
            : result == 218 ? "a PTX JIT compilation failed"
                            : nullptr;
    return *text ? 0 : 1;
}

int cuGetErrorName(int result, const char **text) {
    *text = result == 2 ? "CUDA_ERROR_OUT_OF_MEMORY" : result == 1 ? "CUDA_ERROR_INVALID_VALUE" : nullptr;
    return *text ? 0 : 1;
}

int cuDriverGetVersion(int *version) {
    *version = 12080;
    return 0;
}

int cuDeviceGetAttribute(int *value, int attribute, int) {
    const Lock lock(state()->mutex);
    switch (attribute) {
    case 16:
        *value = state()->multiprocessors;
        return 0;
    case 75:
        *value = state()->capability_major;
        return 0;
    case 76:
        *value = state()->capability_minor;
        return 0;
    case 97:
        *value = state()->max_shared;
        return 0;
    }
    return 1;
}

int cuCtxGetCurrent(void **context) {
    *context = current();
    return 0;
}

int cuCtxGetId(void *context, unsigned long long *id) {
    *id = reinterpret_cast<uintptr_t>(context) / 16;
    return 0;
}

int cuCtxGetDevice(int *device) {
    *device = 0;
    return current() ? 0 : 201;
}

int cuCtxPushCurrent_v2(void *context) {
    context_stack.push_back(context);
    return context ? 0 : 201;
}

int cuCtxPopCurrent_v2(void **context) {
    if (context_stack.empty()) {
        return 201;
    }
    *context = context_stack.back();
    context_stack.pop_back();
    return 0;
}

int cuModuleLoadDataEx(void **module, const void *image, unsigned n, int *options, void **values) {
    const Lock lock(state()->mutex);
    unsafe("cuModuleLoadDataEx");
    const int result = called("cuModuleLoadDataEx");
    if (!state()->module_log.empty()) {
        char *log = nullptr;
        size_t size = 0;
        for (unsigned i = 0; i < n; i++) {
            log = options[i] == 5 ? static_cast<char *>(values[i]) : log;
            size = options[i] == 6 ? reinterpret_cast<uintptr_t>(values[i]) : size;
        }
        if (log && size) {
            snprintf(log, size, "%s", state()->module_log.c_str());
        }
        return 218;
    }
    if (result == 0) {
        const auto *bytes = static_cast<const uint8_t *>(image);
        state()->image.assign(bytes, bytes + 4);
        state()->modules++;
        *module = reinterpret_cast<void *>(next_handle += 16);
    }
    return result;
}

int cuModuleUnload(void *) {
    const Lock lock(state()->mutex);
    state()->modules--;
    return called("cuModuleUnload");
}

int cuModuleGetFunction(void **function, void *, const char *name) {
    const Lock lock(state()->mutex);
    if (!state()->entries.count(name)) {
        return 500;
    }
    *function = reinterpret_cast<void *>(next_handle += 16);
    functions[*function] = name;
    return called("cuModuleGetFunction");
}

int cuFuncLoad(void *) {
    const Lock lock(state()->mutex);
    unsafe("cuFuncLoad");
    return called("cuFuncLoad");
}

int cuFuncGetAttribute(int *value, int attribute, void *function) {
    const Lock lock(state()->mutex);
    if (attribute == 8) {
        const auto found = state()->shared_limits.find(functions[function]);
        *value = found == state()->shared_limits.end() ? 49152 : found->second;
        return 0;
    }
    *value = attribute == 0 ? state()->max_threads : 0;
    return 0;
}

int cuFuncSetAttribute(void *function, int attribute, int value) {
    const Lock lock(state()->mutex);
    const int result = called("cuFuncSetAttribute");
    if (attribute == 8) {
        if (value > state()->max_shared) {
            return 1;
        }
        state()->shared_limits[functions[function]] = value;
    }
    return result;
}

int cuLaunchKernel(void *function, unsigned x, unsigned y, unsigned z, unsigned tx, unsigned ty, unsigned tz,
                   unsigned shared, void *stream, void **params, void **) {
    if (!state()->record) {
        return 0;
    }
    const Lock lock(state()->mutex);
    FakeLaunch launch;
    launch.entry = functions[function];
    launch.blocks = x;
    launch.grid_y = y;
    launch.grid_z = z;
    launch.threads = tx * ty * tz;
    launch.shared = shared;
    launch.stream = stream;
    launch.context = current();
    const std::vector<int> sizes = state()->param_sizes[launch.entry];
    for (size_t i = 0; i < sizes.size(); i++) {
        if (sizes[i] == 128 && reinterpret_cast<uintptr_t>(params[i]) % 64 != 0) {
            state()->violation = "a tensor map is not aligned to 64 bytes";
        }
        const auto *bytes = static_cast<const uint8_t *>(params[i]);
        launch.params.emplace_back(bytes, bytes + sizes[i]);
    }
    if (x == 0 || x > 0x7fffffff) {
        return 1;
    }
    const auto limit = state()->shared_limits.find(launch.entry);
    if (shared > 49152 && (limit == state()->shared_limits.end() || unsigned(limit->second) < shared)) {
        state()->violation = "more shared memory than was granted";
        return 1;
    }
    state()->launch_count++;
    state()->launches.push_back(launch);
    for (const std::string &what : {std::string("cuLaunchKernel"), launch.entry}) {
        const auto found = state()->fail_with.find(what);
        if (found != state()->fail_with.end()) {
            return found->second;
        }
    }
    return 0;
}

struct LaunchConfig {
    unsigned grid[3], block[3], shared;
    void *stream;
    void *attributes;
    unsigned num_attributes;
};

int cuLaunchKernelEx(const LaunchConfig *config, void *function, void **params, void **extra) {
    const size_t before = state()->launches.size();
    const int result = cuLaunchKernel(function, config->grid[0], config->grid[1], config->grid[2], config->block[0],
                                      config->block[1], config->block[2], config->shared, config->stream, params, extra);
    const Lock lock(state()->mutex);
    if (state()->launches.size() > before) {
        state()->launches.back().overlaps =
            config->num_attributes == 1 && *static_cast<const int *>(config->attributes) == 6 &&
            *reinterpret_cast<const int *>(static_cast<const char *>(config->attributes) + 8) == 1;
    }
    return result;
}

int cuMemAlloc_v2(unsigned long long *address, size_t bytes) {
    const Lock lock(state()->mutex);
    unsafe("cuMemAlloc_v2");
    if (const int result = called("cuMemAlloc_v2")) {
        return result;
    }
    *address = next_address;
    next_address += (bytes + 0xfffff) / 0x100000 * 0x100000;
    state()->allocations[*address] = bytes;
    return 0;
}

int cuMemFree_v2(unsigned long long address) {
    const Lock lock(state()->mutex);
    unsafe("cuMemFree_v2");
    if (state()->allocations.erase(address) == 0) {
        state()->violation = "freed an address that was not allocated";
    }
    return called("cuMemFree_v2");
}

int cuMemsetD8Async(unsigned long long address, unsigned char value, size_t bytes, void *stream) {
    const Lock lock(state()->mutex);
    if (state()->capturing.count(stream)) {
        state()->violation = "a memset was captured";
    }
    if (value == 0 && state()->allocations.count(address) && state()->allocations[address] == bytes) {
        state()->cleared.insert(address);
    }
    return called("cuMemsetD8Async");
}

int cuStreamCreate(void **stream, unsigned flags) {
    const Lock lock(state()->mutex);
    unsafe("cuStreamCreate");
    if (flags != 1) {
        state()->violation = "a stream that waits for the default stream";
    }
    *stream = reinterpret_cast<void *>(next_handle += 16);
    return called("cuStreamCreate");
}

int cuStreamDestroy_v2(void *) {
    const Lock lock(state()->mutex);
    return called("cuStreamDestroy_v2");
}

int cuStreamSynchronize(void *stream) {
    const Lock lock(state()->mutex);
    unsafe("cuStreamSynchronize");
    if (state()->capturing.count(stream)) {
        state()->violation = "waited for a stream that is being captured";
    }
    return called("cuStreamSynchronize");
}

int cuStreamIsCapturing(void *stream, int *status) {
    const Lock lock(state()->mutex);
    *status = int(state()->capturing.count(stream));
    return 0;
}

int cuStreamGetCaptureInfo_v2(void *stream, int *status, unsigned long long *id, void **, const void **, size_t *) {
    const Lock lock(state()->mutex);
    *status = int(state()->capturing.count(stream));
    *id = *status ? state()->capturing[stream] : 0;
    return 0;
}

int cuStreamGetId(void *stream, unsigned long long *id) {
    const Lock lock(state()->mutex);
    const auto found = state()->stream_ids.find(stream);
    *id = found == state()->stream_ids.end() ? reinterpret_cast<uintptr_t>(stream) : found->second;
    return 0;
}

int cuThreadExchangeStreamCaptureMode(int *mode) {
    std::swap(*mode, capture_mode);
    return 0;
}

int cuPointerGetAttribute(void *value, int attribute, unsigned long long) {
    if (attribute != 1) {
        return 1;
    }
    void *context = reinterpret_cast<void *>(uintptr_t(state()->context_number * 16));
    memcpy(value, &context, sizeof(context));
    return 0;
}

int cuTensorMapEncodeTiled(void *map, int type, unsigned rank, void *address, const uint64_t *sizes,
                           const uint64_t *strides, const uint32_t *box, const uint32_t *element_strides,
                           int interleave, int swizzle, int promotion, int fill) {
    const Lock lock(state()->mutex);
    FakeTensorMap made;
    made.type = type;
    made.rank = rank;
    made.address = reinterpret_cast<uint64_t>(address);
    made.sizes.assign(sizes, sizes + rank);
    made.strides.assign(strides, strides + rank - 1);
    made.box.assign(box, box + rank);
    made.element_strides.assign(element_strides, element_strides + rank);
    made.interleave = interleave;
    made.swizzle = swizzle;
    made.promotion = promotion;
    made.fill = fill;
    state()->maps.push_back(made);
    bool legal = made.address % 16 == 0 && made.address != 0 && rank >= 1 && rank <= 5;
    for (unsigned i = 0; i < rank; i++) {
        legal = legal && sizes[i] >= 1 && sizes[i] <= (uint64_t(1) << 32);
        legal = legal &&
                (i == 0 || (strides[i - 1] % 16 == 0 && strides[i - 1] < (uint64_t(1) << 40) && strides[i - 1] > 0));
    }
    if (!legal) {
        state()->violation = "an illegal tensor map";
        return 1;
    }
    memset(map, 0, 128);
    const uint64_t number = state()->maps.size();  // to be recognised among the parameters of a launch
    memcpy(map, &number, sizeof(number));
    return 0;
}
}
