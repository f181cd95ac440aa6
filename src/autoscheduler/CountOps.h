#ifndef STROBE_AUTOSCHEDULER_COUNT_OPS_H
#define STROBE_AUTOSCHEDULER_COUNT_OPS_H

/** \file
 * The elementwise work of a plan, counted on its Exprs. */

#include "derivation/Plan.h"

namespace strobe {

/** For one element over query x stream. */
struct OpCounts {
    double issue = 0;    // instructions started
    double special = 0;  // of these, on the special-function unit
    double bytes = 0;    // loaded from global memory: inputs indexed by both axes
    OpCounts &operator+=(const OpCounts &o);
};

/** What each visited element costs in a pass: exponents, maxima, weights, sums. An
 * Expr that occurs twice is computed once, and one that is free of the query or the
 * stream axis once a row or column, which is not counted. */
OpCounts count_ops(const ReductionGraph &graph, const Plan &plan, const Pass &pass);

/** The mask itself, paid in partial tiles only. */
OpCounts count_mask_ops(const ReductionGraph &graph, const Plan &plan, const Pass &pass);

}  // namespace strobe

#endif
