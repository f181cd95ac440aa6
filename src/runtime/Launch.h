#ifndef STROBE_RUNTIME_LAUNCH_H
#define STROBE_RUNTIME_LAUNCH_H

/** \file
 * Runs a kernel package on tensors in device memory. */

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "runtime/Arguments.h"
#include "runtime/CudaDriver.h"

namespace strobe {

struct LaunchOptions {
    int plan = -1;  // index into package.plans; -1: the one that should take least time
    // Plain scratch memory of at least workspace_bytes() bytes, aligned to 256 bytes and used by
    // nobody else until the launch has run; null: the runtime's own. Counters are always the runtime's.
    uint64_t workspace = 0;
    uint64_t workspace_bytes = 0;
};

/** A package, and its code in every context that it has run in. All functions may
 * be called from several threads at once. They act in the calling thread's current context. */
class LoadedPackage {
public:
    /** Throws RuntimeFailure if the package is not valid. Touches no device. */
    explicit LoadedPackage(KernelPackage package);
    /** Unloads the code; graphs that captured a launch must be gone. */
    ~LoadedPackage();
    LoadedPackage(const LoadedPackage &) = delete;
    LoadedPackage &operator=(const LoadedPackage &) = delete;

    const KernelPackage &package() const {
        return the_package;
    }

    /** Loads the code into the current context, if it is not there yet. A launch
     * does so by itself. */
    void load();

    /** Checks the arguments, then puts the kernels of one plan on the stream, and
     * returns the plan's index. Never waits for the device once the code is loaded and workspaces have
     * grown; may be captured into a CUDA graph. A kernel without work is not launched.
     * Throws UserError for arguments, RuntimeFailure for the machine. */
    int launch(const TensorArgument *tensors, int num_tensors, const double *scalars, int num_scalars,
               cuda::Stream stream, const LaunchOptions &options = {});

    /** Bytes of plain scratch memory that a launch on these tensors takes; with plan -1
     * enough for every plan. */
    uint64_t workspace_bytes(const TensorArgument *tensors, int num_tensors, int plan = -1) const;

private:
    struct InContext;

    InContext &in_current_context();
    InContext *find(cuda::Context context, unsigned long long id) const;
    int choose_plan(const InContext &loaded, const TensorArgument *tensors) const;

    const KernelPackage the_package;
    std::mutex mutex;                          // held to add to `contexts`
    std::atomic<InContext *> newest{nullptr};  // a list; entries live as long as the package
};

}  // namespace strobe

#endif
