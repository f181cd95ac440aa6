#ifndef STROBE_LOWER_CUDA_CHAINS_H
#define STROBE_LOWER_CUDA_CHAINS_H

/** \file
 * A step of a pass may consist of several chains that share no computed value, such
 * as two softmaxes that weigh the same values: then warpgroups that share 64 rows can
 * compute one each, and only what they have found at the end comes together. */

#include "tile/TileProgram.h"

#include <set>

namespace strobe::cuda {

/** The values of each chain: what the step computes and the state it goes on. Operands
 * in shared memory are no part of any. Chains without an accumulating contraction are
 * part of the first. */
std::vector<std::set<std::string>> chains_of(const TileProgram &program, const StreamPass &pass);

/** The same program, in whose epilogue nothing but a Map of a fragment reads a fragment
 * of a chain other than the first. */
TileProgram with_chains_apart(const TileProgram &program);

}  // namespace strobe::cuda

#endif
