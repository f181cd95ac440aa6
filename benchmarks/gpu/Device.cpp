#include "Device.h"

#include <dlfcn.h>

#include <stdexcept>
#include <vector>

namespace strobe {

namespace {

constexpr size_t cache_bytes = size_t(256) << 20;

}  // namespace

struct Device::Driver {
    using Pointer = unsigned long long;

    void *library = nullptr;
    int (*init)(unsigned);
    int (*device_get)(int *, int);
    int (*device_get_name)(char *, int, int);
    int (*context_retain)(void **, int);
    int (*context_set)(void *);
    int (*mem_alloc)(Pointer *, size_t);
    int (*mem_free)(Pointer);
    int (*copy_to_device)(Pointer, const void *, size_t);
    int (*memset_async)(Pointer, unsigned char, size_t, void *);
    int (*event_create)(void **, unsigned);
    int (*event_record)(void *, void *);
    int (*event_synchronize)(void *);
    int (*event_elapsed)(float *, void *, void *);
    int (*error_string)(int, const char **);

    int device = 0;
    void *context = nullptr, *begin = nullptr, *end = nullptr;
    Pointer cache = 0;
    std::vector<Pointer> allocated;

    template<typename Function>
    void find(Function &function, const char *symbol) {
        function = reinterpret_cast<Function>(dlsym(library, symbol));
        if (!function) {
            throw std::runtime_error(std::string("the CUDA driver has no ") + symbol);
        }
    }

    void check(int result, const char *what) const {
        if (result != 0) {
            const char *text = nullptr;
            error_string(result, &text);
            throw std::runtime_error(std::string(what) + ": " + (text ? text : std::to_string(result)));
        }
    }

    void open() {
        library = dlopen("libcuda.so.1", RTLD_NOW);
        if (!library) {
            throw std::runtime_error("no CUDA driver (libcuda.so.1) on this machine");
        }
        find(init, "cuInit");
        find(device_get, "cuDeviceGet");
        find(device_get_name, "cuDeviceGetName");
        find(context_retain, "cuDevicePrimaryCtxRetain");
        find(context_set, "cuCtxSetCurrent");
        find(mem_alloc, "cuMemAlloc_v2");
        find(mem_free, "cuMemFree_v2");
        find(copy_to_device, "cuMemcpyHtoD_v2");
        find(memset_async, "cuMemsetD8Async");
        find(event_create, "cuEventCreate");
        find(event_record, "cuEventRecord");
        find(event_synchronize, "cuEventSynchronize");
        find(event_elapsed, "cuEventElapsedTime");
        find(error_string, "cuGetErrorString");
    }
};

Device::Device() : driver(new Driver) {
    Driver &d = *driver;
    d.open();
    d.check(d.init(0), "cuInit");
    d.check(d.device_get(&d.device, 0), "cuDeviceGet");
    d.check(d.context_retain(&d.context, d.device), "cuDevicePrimaryCtxRetain");
    d.check(d.context_set(d.context), "cuCtxSetCurrent");
    d.check(d.event_create(&d.begin, 0), "cuEventCreate");
    d.check(d.event_create(&d.end, 0), "cuEventCreate");
    d.check(d.mem_alloc(&d.cache, cache_bytes), "cuMemAlloc");
}

Device::~Device() {
    release_all();
    driver->mem_free(driver->cache);
    delete driver;
}

std::string Device::name() const {
    char text[256] = "";
    driver->device_get_name(text, sizeof text, driver->device);
    return text;
}

void *Device::allocate(size_t bytes) {
    Driver::Pointer made = 0;
    driver->check(driver->mem_alloc(&made, bytes > 0 ? bytes : 1), "cuMemAlloc");
    driver->allocated.push_back(made);
    return reinterpret_cast<void *>(made);
}

void Device::upload(void *to, const void *from, size_t bytes) {
    driver->check(driver->copy_to_device(reinterpret_cast<Driver::Pointer>(to), from, bytes), "cuMemcpyHtoD");
}

void Device::release_all() {
    for (const Driver::Pointer memory : driver->allocated) {
        driver->mem_free(memory);
    }
    driver->allocated.clear();
}

double Device::time_cold(const std::function<void()> &launch) {
    Driver &d = *driver;
    d.check(d.memset_async(d.cache, 0, cache_bytes, nullptr), "cuMemsetD8Async");
    d.check(d.event_record(d.begin, nullptr), "cuEventRecord");
    launch();
    d.check(d.event_record(d.end, nullptr), "cuEventRecord");
    d.check(d.event_synchronize(d.end), "cuEventSynchronize");
    float milliseconds = 0;
    d.check(d.event_elapsed(&milliseconds, d.begin, d.end), "cuEventElapsedTime");
    return milliseconds;
}

}  // namespace strobe
