#ifndef STROBE_ALGORITHM_READ_ALGORITHM_H
#define STROBE_ALGORITHM_READ_ALGORITHM_H

/** \file
 * Reads the user's Halide Funcs into a ReductionGraph. First stage of the
 * pipeline: nothing downstream looks at a Func again.
 *
 * Pure Funcs are inlined. Funcs with one update definition of the form
 * f(x) = f(x) op body (or max/min/select-style equivalents of them) become
 * reductions. Two RDoms that walk the same domain become the same axis unless
 * one is nested inside the other. Calls are told apart by the axes they are
 * called with, not by Func or variable names.
 *
 * Throws UserError naming the Func and the expression when a Func is outside
 * this model (several update definitions, an update of another shape, an extern
 * stage, a reduction called at an index that is not an axis ...).
 */

#include "ReductionGraph.h"

namespace strobe {

ReductionGraph read_algorithm(const std::vector<Halide::Func> &outputs);

}  // namespace strobe

#endif
