#ifndef STROBE_LOWER_CUDA_FAR_SCORES_H
#define STROBE_LOWER_CUDA_FAR_SCORES_H

/** \file
 * Scores far below all others, as fills for masked elements are: -1e9, the least float.
 *
 * exp(e - m) is computed as 2^(e log2(e) - m log2(e)), one multiply-add. Where m is beyond
 * 2^29, its product is rounded by more than an exponent is wide, and the least float's
 * overflows. A row of nothing but such scores must be an average all the same. So constants
 * become -2^40: a power of two, whose product is exact, and so large that it swallows what
 * is added to it, as they do. -inf stays. What this loses: fills of different size in a row
 * of nothing else count alike.
 *
 * Scores that are loaded stay as they are: to look at each costs registers that the loop
 * has not (evoformer spilled 200 to 400 bytes). */

#include "tile/TileProgram.h"

namespace strobe::cuda {

/** \p program with constants brought into range, and with running maxima that start at
 * -1e30, so that their own product does not overflow. */
TileProgram without_far_scores(const TileProgram &program);

}  // namespace strobe::cuda

#endif
