#ifndef STROBE_TILE_BUILD_TILES_H
#define STROBE_TILE_BUILD_TILES_H

/** \file
 * Turns a plan and the choices of a schedule into a tile program: which tiles are
 * loaded, contracted and reduced in which order. The last stage that knows the
 * algebra; the lowerings after it only see tiles.
 *
 * Per pass and pivot: the exponent's tile, its running maximum, and the weights
 * exp(exponent - pivot). Per moment: a sum of the weights, or their contraction
 * with a loaded tile; what the plan hoisted is applied in the epilogue.
 */

#include "TileProgram.h"
#include "derivation/Plan.h"
#include "schedule/Schedule.h"

#include <map>

namespace strobe {

/** \p sizes: the sizes of feature and inner axes where the algorithm does not
 * declare them. Throws UserError, naming the Func and the expression, for what
 * has no tile form yet. */
TileProgram build_tiles(const std::string &name, const ReductionGraph &graph, const Plan &plan, const Choices &choices,
                        const std::map<std::string, int> &sizes = {});

}  // namespace strobe

#endif
