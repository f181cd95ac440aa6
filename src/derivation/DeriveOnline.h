#ifndef STROBE_DERIVATION_DERIVE_ONLINE_H
#define STROBE_DERIVATION_DERIVE_ONLINE_H

/** \file
 * Derives the plan of a reduction graph: separates each body into factors that
 * depend on the stream and factors that depend on earlier results (Separate.h),
 * keeps the former as moments under a shared pivot, hoists the latter, and puts a
 * barrier (another pass) only where that fails. Works by rewriting Exprs; knows
 * no softmax. */

#include "Plan.h"

namespace strobe {

/** Throws UserError naming the Func, the expression and the rule that failed when
 * no legal plan exists. */
Plan derive_online(const ReductionGraph &graph);

}  // namespace strobe

#endif
