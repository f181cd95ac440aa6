#ifndef STROBE_LOWER_SUM_ARRAYS_H
#define STROBE_LOWER_SUM_ARRAYS_H

/** \file
 * The arrays of sums ahead (tile/TileProgram.h) in memory: dense, the elements of one chunk together, then
 * the chunks, then the grid. The same for all backends; how they add up over the chunks is each one's own. */

#include "tile/TileProgram.h"

namespace strobe {

/** Points of the grid: how many runs of chunks there are. */
Expr runs_of(const SumsAhead &ahead, const Output &array, Halide::Type index);

/** Defines what Exprs of both programs say of the arrays' shapes, strides in the type \p stride. */
Halide::Internal::Stmt with_array_shapes(const SumsAhead &ahead, Halide::Type stride, const Halide::Internal::Stmt &body);

/** \p s without the Parameters by which Exprs of programs refer to the arrays: they are nobody's arguments. */
Halide::Internal::Stmt without_parameters(const SumsAhead &ahead, const Halide::Internal::Stmt &s);

}  // namespace strobe

#endif
