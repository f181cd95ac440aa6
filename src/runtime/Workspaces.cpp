#include "Workspaces.h"

#include <algorithm>
#include <functional>
#include <thread>

#include "support/Error.h"

namespace strobe {

namespace {

constexpr uint64_t pool_bytes = 1 << 20;
constexpr uint64_t granule = 256;

uint64_t round_up(uint64_t bytes) {
    return (bytes + granule - 1) / granule * granule;
}

/** A number that no other stream of the process ever has; a handle may come back
 * for a new stream once its stream is destroyed. */
unsigned long long id_of(cuda::Stream stream) {
    unsigned long long id = 0;
    if (cuda::driver().stream_get_id) {
        cuda::check(cuda::driver().stream_get_id(stream, &id), "cannot use the stream of a launch");
    }
    return id;
}

/** CU_STREAM_PER_THREAD is one handle for a stream of each thread. */
size_t thread_of(cuda::Stream stream) {
    const auto per_thread = reinterpret_cast<cuda::Stream>(uintptr_t(2));
    return stream == per_thread ? std::hash<std::thread::id>()(std::this_thread::get_id()) : 0;
}

}  // namespace

Workspaces::Workspaces() {
    pool = {allocate(pool_bytes, true, "the runtime's counters"), pool_bytes};
    empty = pool.address;
    pool.address += granule;
    pool.bytes -= granule;
}

void Workspaces::release() {
    for (uint64_t address : allocations) {
        cuda::driver().mem_free(address);
    }
    allocations.clear();
}

uint64_t Workspaces::allocate(uint64_t bytes, bool zeroed, const char *what) {
    const cuda::Driver &driver = cuda::driver();
    const cuda::RelaxedCapture relaxed;
    cuda::DevicePointer address = 0;
    if (cuda::Result result = driver.mem_alloc(&address, bytes)) {
        strobe_runtime_failure() << "cannot allocate " << bytes << " bytes of device memory for " << what << ": "
                                 << cuda::text_of(driver, result);
    }
    allocations.push_back(address);
    if (zeroed) {
        cuda::Stream stream = nullptr;
        cuda::check(driver.stream_create(&stream, cuda::stream_non_blocking), "cannot create a stream");
        cuda::Result result = driver.memset_d8_async(address, 0, bytes, stream);
        if (result == 0) {
            result = driver.stream_synchronize(stream);
        }
        driver.stream_destroy(stream);
        cuda::check(result, "cannot clear device memory");
    }
    return address;
}

uint64_t Workspaces::take_zeroed(uint64_t bytes) {
    if (bytes > pool.bytes) {
        const uint64_t size = std::max(bytes, pool_bytes);
        pool = {allocate(size, true, "a zeroed workspace"), size};
    }
    const uint64_t address = pool.address;
    pool.address += bytes;
    pool.bytes -= bytes;
    return address;
}

Workspaces::StreamMemory &Workspaces::memory_of(cuda::Stream stream) {
    StreamMemory &memory = streams[{stream, thread_of(stream)}];
    const unsigned long long id = id_of(stream);
    if (memory.stream_id != id) {
        // A new stream under an old handle: kernels of the old one may still run, so
        // its zeroed memory is left to them; freeing its plain memory waits for them.
        if (memory.plain.address) {
            const cuda::RelaxedCapture relaxed;
            allocations.erase(std::find(allocations.begin(), allocations.end(), memory.plain.address));
            cuda::driver().mem_free(memory.plain.address);
        }
        memory = {};
        memory.stream_id = id;
    }
    return memory;
}

void Workspaces::grow_plain(Memory &memory, cuda::Stream stream, uint64_t bytes) {
    if (memory.address) {
        const cuda::RelaxedCapture relaxed;
        cuda::check(cuda::driver().stream_synchronize(stream), "cannot enlarge a workspace");
        allocations.erase(std::find(allocations.begin(), allocations.end(), memory.address));
        cuda::driver().mem_free(memory.address);
        memory = {};
    }
    // Half as much again, so that slowly growing lengths do not allocate at every launch.
    const uint64_t size = round_up(bytes + bytes / 2);
    memory = {allocate(size, false, "a workspace"), size};
}

Workspaces::Addresses Workspaces::take_captured(cuda::Stream stream, unsigned long long capture, uint64_t plain_bytes,
                                                uint64_t zeroed_bytes) {
    auto found = std::find_if(captures.begin(), captures.end(), [&](const CaptureMemory &c) {
        return capture != 0 && c.capture_id == capture && c.stream == stream;
    });
    if (found == captures.end()) {
        captures.push_back({capture, stream, {}, {}});
        found = captures.end() - 1;
    }
    // What a captured launch got before stays its own: growing takes new memory.
    if (found->plain.bytes < plain_bytes) {
        found->plain = {allocate(plain_bytes, false, "the workspace of a captured launch"), plain_bytes};
    }
    if (found->zeroed.bytes < zeroed_bytes) {
        found->zeroed = {take_zeroed(zeroed_bytes), zeroed_bytes};
    }
    return {found->plain.address, found->zeroed.address};
}

void Workspaces::forget_zeroed() {
    for (auto &[stream, memory] : streams) {
        memory.zeroed = {};
    }
    for (CaptureMemory &memory : captures) {
        memory.zeroed = {};
    }
}

Workspaces::Addresses Workspaces::take(cuda::Stream stream, uint64_t plain_bytes, uint64_t zeroed_bytes) {
    const cuda::Driver &driver = cuda::driver();
    plain_bytes = round_up(plain_bytes);
    zeroed_bytes = round_up(zeroed_bytes);
    int status = cuda::capture_none;
    cuda::check(driver.stream_is_capturing(stream, &status), "cannot use the stream of a launch");
    if (status != cuda::capture_none) {
        unsigned long long capture = 0;
        if (driver.stream_get_capture_info) {
            cuda::check(driver.stream_get_capture_info(stream, &status, &capture, nullptr, nullptr, nullptr),
                        "cannot use the stream of a launch");
        }
        return take_captured(stream, capture, plain_bytes, zeroed_bytes);
    }
    StreamMemory &memory = memory_of(stream);
    if (memory.plain.bytes < plain_bytes) {
        grow_plain(memory.plain, stream, plain_bytes);
    }
    if (memory.zeroed.bytes < zeroed_bytes) {
        memory.zeroed = {take_zeroed(zeroed_bytes), zeroed_bytes};
    }
    return {memory.plain.address, memory.zeroed.address};
}

}  // namespace strobe
