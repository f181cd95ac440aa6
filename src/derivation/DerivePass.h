#ifndef STROBE_DERIVATION_DERIVE_PASS_H
#define STROBE_DERIVATION_DERIVE_PASS_H

/** \file
 * One step of the plan procedure: a reduction over the stream becomes moments of a
 * pass, by the rule of its operator. */

#include "Plan.h"
#include "Separate.h"

namespace strobe {

/** What one reduction over the stream became. */
struct Derived {
    int pass = 0;
    Terms value;      // over moments and pivots
    Terms explained;  // a sum's body, separated, over references to earlier results
    Notes notes;
    std::vector<Fact> facts;  // instead of what the terms above say
};

/** A plan in the making: moments and pivots of all passes, used or not. */
struct Draft {
    const ReductionGraph &graph;
    Plan plan;
    std::map<std::string, Derived> derived;
    Nonnegative nonnegative;
    int names = 0;  // of moments and pivots so far

    explicit Draft(const ReductionGraph &graph);
    Pass &pass(int index);
    /** The Variable of a moment of this pass, a new one if there is none like it. */
    Expr moment(int pass, ReduceOp op, Type type, const std::vector<Expr> &guard, const Expr &factor, int pivot = -1,
                int degree = 0, const Around &around = Around());
    Expr moment(int pass, Moment like);
    /** Index of the selection by this key, for one of its ranks. */
    int selection(int pass, const Expr &key, const std::vector<Expr> &guard, bool greatest, int rank);
    /** The pivot of an exponential whose elements count under this guard. */
    int pivot(int pass, const Expr &exponent, const std::vector<Expr> &guard);
};

/** Adds \p r to the pass. Throws Blocked, with the draft as it was, if an earlier
 * result of the same pass is in the way.
 *
 *  sum:           a term whose factor is the exponent of its own pivot is centred (R3):
 *                 sum E e^E = e^p (sum u e^u + p sum e^u) with u = E - p. Else one moment a term;
 *                 what is free of the stream multiplies it later (R1, R2)
 *                 weight * (value - rho)^2 is kept around the mean of value (SumOfSquares.h)
 *  max, min:      max(pure x + pure rho) = rho + max(x); of a positive exponential,
 *                 through its exponent; through any other monotone function (R4, Monotone.h)
 *  and, or:       through monotone conditions, such as x > rho
 *  selection:     by what its key rises or falls with strictly (R4, DeriveSelection.h)
 *  product:       of one term a(rho) b(x): a^count times the product of b (R5) */
void derive_reduction(Draft &draft, const Reduction &r, const Knowledge &known, int pass);

}  // namespace strobe

#endif
