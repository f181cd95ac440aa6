#ifndef STROBE_LOWER_CUDA_MASK_PARTS_H
#define STROBE_LOWER_CUDA_MASK_PARTS_H

/** \file
 * The conditions of a mask that a partial tile asks apart. A tile at the edge of a
 * window pays for the window, and one that two documents share for the documents:
 * a part that holds for all of a tile costs nothing there. */

#include "tile/TileProgram.h"

namespace strobe::cuda {

/** Each condition is one of its own, as far as notes have room: a bit for each part and each warpgroup of rows. Those
 * that read inputs or divide come first, then those that compare positions. Their conjunction is the pass' mask; one
 * part that is always full for a pass without a mask. */
std::vector<MaskPart> mask_parts(const StreamPass &pass, int row_groups);

}  // namespace strobe::cuda

#endif
