#ifndef STROBE_LOWER_SIMT_LOWER_SIMT_H
#define STROBE_LOWER_SIMT_LOWER_SIMT_H

/** \file
 * Any tile program to a GPU kernel without special roles for warps: a block of
 * threads computes one block of query rows, all passes of it, operation by
 * operation, with tiles and row state in registers and shared memory. Needs nothing
 * of its inputs: any strides, alignment, element types, sizes. */

#include "device/Capability.h"
#include "lower/cuda/LowerCuda.h"
#include "runtime/KernelPackage.h"

namespace strobe {

/** What one block of threads takes. */
struct SimtFootprint {
    int threads = 0;
    int64_t shared_bytes = 0;
    int64_t register_words = 0;       // of one thread, for tile values
    int64_t most_register_words = 0;  // legal
    int other_registers = 52;         // what code keeps in registers beside tile values, about

    bool fits(const Capability &machine) const {
        return shared_bytes <= machine.shared_bytes_per_block && register_words <= most_register_words;
    }
};

SimtFootprint simt_footprint(const TileProgram &program);

/** Whether two blocks fit a multiprocessor. */
bool two_blocks_fit(const SimtFootprint &footprint, const Capability &machine);

/** The same kind of package that lower_cuda makes, with PTX for \p architecture
 * (such as "sm_90a" or "sm_80"), and a plan for each candidate. Throws UserError if the tiles do not fit
 * \p shared_limit bytes of shared memory. */
KernelPackage lower_simt(const std::vector<CudaCandidate> &candidates, const std::string &architecture,
                         int shared_limit);

/** The same blocks as a serial program for a CPU: for tests. It refers to the
 * caller's buffers as lower_cpu's result does. \p descending: the last thread of a
 * block first. */
Halide::Internal::Stmt lower_simt_serially(const TileProgram &program, bool descending);

}  // namespace strobe

#endif
