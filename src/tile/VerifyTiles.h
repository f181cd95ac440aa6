#ifndef STROBE_TILE_VERIFY_TILES_H
#define STROBE_TILE_VERIFY_TILES_H

/** \file
 * Checks that a tile program is well formed. Runs after build_tiles and before
 * every lowering, so that a broken program stops where it was made. */

#include "TileProgram.h"

namespace strobe {

/** Throws InternalError that prints the op and says what is wrong:
 *  - names, types and shapes: values are declared once, with known axes, sizes that
 *    match the tiles, and a place that fits their shape; ops write declared values
 *    with Exprs of the right type over axes that the destination has;
 *  - order: every value is defined before it is used, on the way through a pass
 *    that visits no tile as well as one that visits some; what a step computes for
 *    one tile is not read after the walk, nor by the next tile before it is set anew;
 *  - contractions: operands share exactly the contracted axis and the destination has
 *    the other two;
 *  - Partial ops only mask: they are Maps in a step with a mask, dst = select(guard, dst, constant);
 *  - stores: only in the last epilogue, each output exactly once with its axes. */
void verify_tiles(const TileProgram &program);

}  // namespace strobe

#endif
