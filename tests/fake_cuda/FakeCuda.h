#ifndef STROBE_TESTS_FAKE_CUDA_H
#define STROBE_TESTS_FAKE_CUDA_H

/** \file
 * A driver without a device. FakeCuda.cpp is built as a shared library that the
 * runtime opens in the place of libcuda.so.1 (STROBE_LIBCUDA); tests reach the same library through
 * fake_cuda() to set what the device is like and to read what was asked of it. */

#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

struct FakeLaunch {
    std::string entry;
    unsigned blocks = 0, grid_y = 0, grid_z = 0, threads = 0, shared = 0;
    void *stream = nullptr;
    void *context = nullptr;
    bool overlaps = false;  // launched with programmatic stream serialization
    std::vector<std::vector<uint8_t>> params;  // as many as param_sizes has for the entry

    template<typename T>
    T param(size_t i) const {
        return *reinterpret_cast<const T *>(params.at(i).data());
    }
};

struct FakeTensorMap {
    int type = 0;
    unsigned rank = 0;
    uint64_t address = 0;
    std::vector<uint64_t> sizes, strides;
    std::vector<uint32_t> box, element_strides;
    int interleave = 0, swizzle = 0, promotion = 0, fill = 0;
};

struct FakeCuda {
    std::mutex mutex;

    // The device.
    int multiprocessors = 132, capability_major = 9, capability_minor = 0, max_threads = 1024, max_shared = 232448;
    bool has_context = true;
    std::set<std::string> entries;                        // kernels that every module has
    std::map<std::string, std::vector<int>> param_sizes;  // bytes of each parameter of a kernel
    std::string module_log;                               // non-empty: loading fails with this text
    std::map<std::string, int> fail_with;                 // symbol, or a kernel's entry -> result
    std::map<void *, unsigned long long> capturing;       // stream -> capture
    std::map<void *, unsigned long long> stream_ids;      // stream -> number; else its address
    unsigned long long context_number = 7;                // which context is current
    bool record = true;                                   // false: launches only count

    // What was asked of it.
    std::vector<FakeLaunch> launches;
    std::vector<FakeTensorMap> maps;
    std::vector<std::string> calls;            // every call but launches and queries, in order
    std::map<uint64_t, uint64_t> allocations;  // address -> bytes
    std::set<uint64_t> cleared;                // addresses of allocations that were set to zero
    std::map<std::string, int> shared_limits;  // kernel -> dynamic shared memory granted
    std::vector<uint8_t> image;                // the first bytes of the last module
    int launch_count = 0, modules = 0;
    std::string violation;  // what the driver would have refused or undefined

    int count(const std::string &symbol) const {
        int n = 0;
        for (const std::string &call : calls) {
            n += call == symbol;
        }
        return n;
    }
};

/** Of the library that the runtime opened; back to its initial state by reset(). */
extern "C" FakeCuda *fake_cuda_state();
extern "C" void fake_cuda_reset();

#endif
