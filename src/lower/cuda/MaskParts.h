#ifndef STROBE_LOWER_CUDA_MASK_PARTS_H
#define STROBE_LOWER_CUDA_MASK_PARTS_H

/** \file
 * The conditions of a mask that a partial tile asks apart. A tile at the edge of a
 * window pays for the window, and one that two documents share for the documents:
 * a part that holds for all of a tile costs nothing there. */

#include "tile/TileProgram.h"

namespace strobe::cuda {

/** At most this many: a note has a bit for each and each warpgroup. */
const int most_mask_parts = 3;

/** What compares positions alone is one part, each condition that reads inputs or divides one of its own. Their
 * conjunction is the pass' mask; one that is always full for a pass without a mask. */
std::vector<MaskPart> mask_parts(const StreamPass &pass);

}  // namespace strobe::cuda

#endif
