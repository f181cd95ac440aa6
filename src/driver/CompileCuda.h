#ifndef STROBE_DRIVER_COMPILE_CUDA_H
#define STROBE_DRIVER_COMPILE_CUDA_H

/** \file
 * Halide Funcs to a kernel package that runs on the GPU, with what the assembler
 * says of the kernels. */

#include "Compile.h"
#include "device/Assemble.h"
#include "runtime/KernelPackage.h"

namespace strobe {

struct CudaCompilation {
    Compilation stages;  // of the package's first plan
    KernelPackage package;
    std::string ptx;
    std::vector<KernelStatistics> kernels;  // empty where there is no ptxas
    std::vector<std::string> warnings;      // its form, spills, serialised matrix instructions: what makes it slow
    bool general = false;                   // the form of the kernels: general, or warp-specialised
    std::string general_because;  // why the warp-specialised form does not do; empty if it does, or was not wanted

    /** A line a kernel, and the warnings. */
    std::string statistics() const;
};

/** Why these outputs get the general kernel under this schedule; empty if they get the
 * warp-specialised one, or the schedule asks for the general one. Throws UserError if the
 * schedule insists on the former. */
std::string general_because(const std::vector<Halide::Func> &outputs, const Halide::Target &target,
                            const Schedule &schedule);

/** All stages, then ptxas where there is one; else the package holds PTX, which the
 * driver assembles when it is loaded. The kernel is warp-specialised where that form
 * exists and covers the algorithm, else general, with a warning; a schedule with
 * kernel(general) asks for the latter, one with directives about warps insists on the
 * former. \p name: of the package; by default that of the first output. Throws
 * UserError for what compile() refuses. */
CudaCompilation compile_cuda(const std::vector<Halide::Func> &outputs, const Halide::Target &target,
                             const Schedule &schedule = {}, const std::string &name = "");

}  // namespace strobe

#endif
