#ifndef STROBE_DERIVATION_SECOND_SEPARATION_H
#define STROBE_DERIVATION_SECOND_SEPARATION_H

/** \file
 * Rule R8: sums over the stream of what separates a second time, between rows and keys. */

#include "Plan.h"

namespace strobe {

/** Preconditions, for every moment of the plan:
 *  - the plan is one pass without pivots and selections, its moments plain sums of floats;
 *  - its factor is a product in which one factor is a sum evaluated in a tile, over one axis, whose body is
 *    a product of what is free of the stream and what is free of the rows; each other factor is free of one
 *    of the two; features lie on the stream's side, on one axis at most; all moments reduce the same axis;
 *  - conditions of its guard that know rows are true of every element before the block of rows.
 *
 * Proof. Sums are finite, so they may be exchanged; what is free of j leaves the sum over j, what is free of
 * the axis that over the axis. An element before the block is live by the last condition if the guard's
 * other conditions, which know no row, hold of it: these stay inside the sum over j. Sums over disjoint
 * chunks of j add up, in any order; so do what lies before a block and the walk from there on.
 * A row gets 0 times a feature for an element that it does not see only if the guard is false, where 0 is
 * added instead: nothing infinite is multiplied by 0 that was not before.
 *
 * Sets plan.second, or leaves it, and says so in a fact where a score separates. */
void separate_again(const ReductionGraph &graph, Plan &plan);

}  // namespace strobe

#endif
