#ifndef STROBE_DERIVATION_PLAN_H
#define STROBE_DERIVATION_PLAN_H

/** \file
 * The plan: how the reductions over the stream are computed in as few passes as
 * the algebra allows. A pass keeps, per row, pivots and moments:
 *
 *     moment = (op) over live j of  factor(j) * exp(exponent(j) - pivot)
 *
 * times exponent(j) - pivot for a moment of degree 1. When a pivot moves from p to q,
 * M becomes e^(p - q) M, and of degree 1, e^(p - q) (M + (p - q) M0), where M0 is the
 * moment of degree 0 with the same pivot, guard and factor, which is kept too and comes
 * later in the pass.
 *
 * A moment around a mean has the factor (value - c)^degree instead, where c is the mean of
 * value under the same weights so far: of W = sum of the weights and V = sum of weights *
 * value, two more moments of the pass, c = V / W, or 0 while W is 0. When c moves to c', the
 * moment of degree 1, M1, becomes M1 + (c - c') W, and that of degree 2, which comes before
 * it, M2 + 2 (c - c') M1 + (c - c')^2 W.
 *
 * Exponents are natural (base e). After a pass its readouts turn pivots and
 * moments into the values that later passes and the outputs use. The Exprs follow
 * the conventions of ReductionGraph.h; pivots, moments and readouts are Variables
 * with names starting with '%'.
 */

#include "BoundMasks.h"
#include "Roles.h"

#include <optional>

namespace strobe {

/** One thing that was derived, or found impossible, and why. `explain` prints these. */
struct Fact {
    std::string subject;  // the Func
    std::string rule;     // "online", "hoisted", "pivot", "mask", "barrier", "inner", ...
    std::string text;     // one sentence: the derivation or the reason
};

struct Pivot {
    enum class Policy {
        RunningMax,  // the running maximum of the exponent
        Constant
    };                 // `constant`: the exponent's range is provably safe
    std::string name;  // "%p0"
    Expr exponent;     // E over query, stream, batch axes and in-tile reductions
    Expr guard;        // where elements count, the same for all its moments. Undefined: everywhere
    Policy policy = Policy::RunningMax;
    Expr constant;       // Policy::Constant: an upper bound of the exponent, free of query and stream
    std::string reason;  // why this policy
    Expr ref() const;
};

/** What a moment around a mean lies around. */
struct Around {
    Expr value;                    // over axes and in-tile reductions; undefined: the moment is not of this kind
    std::string weight, weighted;  // moments: the sums of the weights, and of weights * value
    std::string first;             // of degree 2: the moment of degree 1
    /** The mean so far. */
    Expr mean(const Expr &weight, const Expr &weighted) const;
};

/** The `count` elements with the greatest (least) keys, in order, of equal ones the first: a key that
 * is the identity does not count. */
struct Selection {
    std::string name;  // "%s0"
    Expr key, guard;
    bool greatest = true;
    int count = 0;
};

struct Moment {
    std::string name;  // "%m0"
    ReduceOp op = ReduceOp::Sum;
    Type type;
    int pivot = -1;                 // index into Pass::pivots; -1: no exponential, nothing to rescale
    Expr guard;                     // Bool over axes: where the element counts. Undefined: everywhere
    Expr factor;                    // beta over axes (and in-tile reductions); undefined: 1
    std::vector<std::string> axes;  // free axes: query and batch, and perhaps one feature axis
    int degree = 0;                 // times (exponent - pivot)^degree: 0 or 1; around a mean 1 or 2
    Around around = {};
    int selection = -1;  // index into Pass::selections: the factor, which is defined, at the element of this rank
    int rank = 0;        // the identity (of the key) or 0 if there are not that many
    Expr ref() const;
};

/** value of a reduction (or part of one) once its pass is complete. */
struct Readout {
    std::string name;  // "%" + name of the reduction
    std::vector<std::string> axes;
    Expr value;  // over pivots, moments, axes and earlier readouts
};

struct Pass {
    std::vector<Pivot> pivots;
    std::vector<Selection> selections;
    std::vector<Moment> moments;
    std::vector<Readout> readouts;  // only those that later passes need
    MaskVerdict mask;               // of a condition that holds wherever any moment's guard does
};

/** A moment whose score separates again, into features of rows and of keys (rule R8):
 *
 *     sum over j of [guard] outside * (sum over axis of rows * columns) * values
 *         = outside * sum over axis of rows * (sum over j of [guard] columns * values)
 *
 * so that the sum over j is one for all rows. */
struct SeparatedSum {
    std::string moment;
    std::string score;  // the reduction evaluated in a tile that is exchanged with the sum
    std::string axis;   // which it reduces
    Expr rows;          // over axis, query, batch
    Expr outside;       // over query, batch; undefined: 1
    Expr columns;       // over axis, stream, batch
    Expr values;        // over stream, batch and at most one feature; undefined: 1
    Expr guard;         // over stream, batch: the part of the moment's that knows no row. Undefined: everywhere
};

/** All moments of a plan of one pass, in their order. */
struct SecondSeparation {
    std::vector<SeparatedSum> sums;
    /** Rows see all elements that the guards let through; else those before a block of rows are all
     * seen by each of its rows, and a walk from there on adds what is left. */
    bool whole = true;
    const SeparatedSum &of(const std::string &moment) const;
};

struct Plan {
    Roles roles;
    std::vector<std::string> inner;  // reductions evaluated inside a tile (contractions), in order
    std::vector<Pass> passes;
    std::vector<Reduction> after;  // of finished results along a feature axis, in order; bodies as outputs' values
    std::vector<Output> outputs;  // value over pivots, moments, readouts, `after` and axes
    std::optional<SecondSeparation> second;  // what the schedule may choose instead of a walk of rows and keys
    std::vector<Fact> facts;
};

std::ostream &operator<<(std::ostream &stream, const Plan &plan);

}  // namespace strobe

#endif
