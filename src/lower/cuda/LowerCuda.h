#ifndef STROBE_LOWER_CUDA_LOWER_CUDA_H
#define STROBE_LOWER_CUDA_LOWER_CUDA_H

/** \file
 * Tile programs to a kernel package for sm_90a: Halide IR, through Halide's PTX
 * code generator, with the device intrinsics expanded. */

#include "runtime/KernelPackage.h"
#include "schedule/Schedule.h"
#include "tile/TileProgram.h"

namespace strobe {

/** One way to run the algorithm: a tile program and the choices it was built from. */
struct CudaCandidate {
    TileProgram program;
    Choices choices;
    std::string schedule;                           // as text, kept in the package for explain
    double cost_per_unit = 1, cost_per_tile = 0;    // predicted: a block of rows, each tile of the stream's length
};

/** All candidates must compute the same algorithm; the runtime picks one a launch.
 * Their code is generated side by side, in a thread each.
 * The package holds PTX; see device/Assemble.h for machine code. Throws UserError
 * for what has no kernel in this form. */
KernelPackage lower_cuda(const std::vector<CudaCandidate> &candidates);

}  // namespace strobe

#endif
