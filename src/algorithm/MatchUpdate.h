#ifndef STROBE_ALGORITHM_MATCH_UPDATE_H
#define STROBE_ALGORITHM_MATCH_UPDATE_H

/** \file
 * Recognises an update definition as a reduction step. */

#include "ReductionGraph.h"

namespace strobe {

/** f = f (op) body; or with a rank, a selection's step (ReductionGraph.h). */
struct UpdateStep {
    ReduceOp op = ReduceOp::Sum;
    Expr body;
    int rank = -1;
};

/** Matches the value of element \p element of \p f's first update definition, as
 * the user wrote it. Understands any nesting of one associative operator around
 * the call to f itself, f - x, and select(f < x, x, f) and its mirror images;
 * select(c, f op x, f) becomes a body that is the identity where c is false.
 * Elements of a Tuple that are moved by comparisons are tried as a selection (MatchSelection.h).
 * Throws UserError otherwise. */
UpdateStep match_update(const Halide::Internal::Function &f, int element);

}  // namespace strobe

#endif
