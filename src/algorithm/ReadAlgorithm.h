#ifndef STROBE_ALGORITHM_READ_ALGORITHM_H
#define STROBE_ALGORITHM_READ_ALGORITHM_H

/** \file
 * Reads the user's Halide Funcs into a ReductionGraph. First stage of the
 * pipeline: nothing downstream looks at a Func again.
 *
 * Pure Funcs are inlined. Funcs with one update definition of the form
 * f(x) = f(x) op body (MatchUpdate.h) become reductions, one for each place they
 * are called with other axes or indices; RDom::where becomes select(condition,
 * body, identity). Calls are told apart by what they are called with, not by names.
 *
 * Two RDoms become the same axis if they walk the same bounds (after what the user
 * declared about buffers has been put in) and are not nested. Bounds that are
 * compile-time constants can be equal by accident, so there the RDoms must also
 * index the same argument of some Func or input (AxisUsage.h). Lengths of two
 * inputs that index the same argument become one axis under a requirement that they
 * are equal. Dimensions of several outputs are the same axis if they index the same
 * argument of the same reduction.
 *
 * Throws UserError naming the Func and the expression when a Func is outside this
 * model: several update definitions, an update of another shape, a scatter, an
 * extern stage.
 */

#include "ReductionGraph.h"

namespace strobe {

ReductionGraph read_algorithm(const std::vector<Halide::Func> &outputs);

}  // namespace strobe

#endif
