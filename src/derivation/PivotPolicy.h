#ifndef STROBE_DERIVATION_PIVOT_POLICY_H
#define STROBE_DERIVATION_PIVOT_POLICY_H

/** \file
 * Rule S1: a constant pivot only where the exponent's range is provably inside
 * what the accumulator holds; otherwise the running maximum. */

#include "Plan.h"

namespace strobe {

/** Sets policy, constant and reason of \p pivot from its exponent and the bounds
 * that the user declared for scalars. \p span: how far below the pivot an
 * exponent may lie (80 keeps exp inside float32 and bfloat16). */
void choose_policy(Pivot &pivot, double span);

/** The span that the operands of the moments leave: half precision holds less. */
double span_of(const std::vector<Moment> &moments, int pivot);

}  // namespace strobe

#endif
