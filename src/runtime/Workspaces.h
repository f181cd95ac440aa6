#ifndef STROBE_RUNTIME_WORKSPACES_H
#define STROBE_RUNTIME_WORKSPACES_H

/** \file
 * Scratch memory of one package in one context.
 *
 * Kernels on one stream run one after another, so they share that stream's
 * memory; different streams never share. Two kinds: plain memory, and memory that is zero
 * when a launch begins and that the launch leaves zero. Memory grows on the first launches
 * and is then reused: no allocation, no synchronisation.
 *
 * A launch that is being captured into a CUDA graph is replayed later, beside
 * anything: its memory is given to nobody but launches captured on the same
 * stream in the same capture (which the graph runs in order), and stays until the package is
 * closed. Close a package only after the graphs that hold it.
 */

#include <map>
#include <mutex>
#include <vector>

#include "runtime/CudaDriver.h"

namespace strobe {

class Workspaces {
public:
    /** Allocates the first zeroed memory in the current context. */
    Workspaces();
    Workspaces(const Workspaces &) = delete;
    Workspaces &operator=(const Workspaces &) = delete;

    struct Addresses {
        uint64_t plain = 0, zeroed = 0;
    };
    /** Frees the memory. The context must be current, and no launch may use it any more. */
    void release();

    /** Memory for one launch on this stream, aligned to 256 bytes. The caller holds
     * `mutex` from here until all kernels of the launch are on the stream: another thread's
     * kernels must not come between them. */
    Addresses take(cuda::Stream stream, uint64_t plain_bytes, uint64_t zeroed_bytes);

    /** Gives later launches other zeroed memory: one failed between its kernels, and what the
     * last of them clears stays as it is. The caller holds `mutex`. */
    void forget_zeroed();

    /** At least 256 bytes that no kernel may read meaning from: what maps of empty tensors point at. */
    uint64_t empty_page() const {
        return empty;
    }

    std::mutex mutex;

private:
    struct Memory {
        uint64_t address = 0, bytes = 0;
    };
    struct StreamMemory {
        unsigned long long stream_id = 0;
        Memory plain, zeroed;
    };
    struct CaptureMemory {
        unsigned long long capture_id = 0;
        cuda::Stream stream = nullptr;
        Memory plain, zeroed;
    };

    uint64_t allocate(uint64_t bytes, bool zeroed, const char *what);
    uint64_t take_zeroed(uint64_t bytes);
    StreamMemory &memory_of(cuda::Stream stream);
    Addresses take_captured(cuda::Stream stream, unsigned long long capture, uint64_t plain_bytes,
                            uint64_t zeroed_bytes);
    void grow_plain(Memory &memory, cuda::Stream stream, uint64_t bytes);

    std::map<std::pair<cuda::Stream, size_t>, StreamMemory>
        streams;  // by stream, and thread where the stream is per thread
    std::vector<CaptureMemory> captures;
    std::vector<uint64_t> allocations;
    Memory pool;  // zeroed memory not handed out yet
    uint64_t empty = 0;
};

}  // namespace strobe

#endif
