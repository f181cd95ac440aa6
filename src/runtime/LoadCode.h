#ifndef STROBE_RUNTIME_LOAD_CODE_H
#define STROBE_RUNTIME_LOAD_CODE_H

/** \file
 * Puts a package's machine code (or PTX, which the driver assembles) into the current context. */

#include <vector>

#include "runtime/CudaDriver.h"
#include "runtime/KernelPackage.h"

namespace strobe {

struct LoadedCode {
    cuda::Module module = nullptr;
    std::vector<std::vector<cuda::Function>> functions;  // by plan and kernel
    int multiprocessors = 1;
};

/** Everything that the driver would otherwise do at the first launch is done here, so that a launch
 * can be captured. Throws RuntimeFailure: another architecture, the driver's or assembler's
 * message, a missing kernel, more shared memory or threads than the device has. */
LoadedCode load_code(const KernelPackage &package);

}  // namespace strobe

#endif
