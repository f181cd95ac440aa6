#ifndef STROBE_DERIVATION_TILE_TRUTH_H
#define STROBE_DERIVATION_TILE_TRUTH_H

/** \file
 * Interval evaluation of a condition over a tile. */

#include "BoundMasks.h"

namespace strobe {

/** What is known of a condition over all elements of a tile. Both may be false. */
struct Truth {
    Expr all;   // provably true for every element
    Expr none;  // provably false for every element
};

class TileTruth {
    const ReductionGraph &graph;
    const Roles &roles;
    Halide::Internal::Scope<Halide::Internal::Interval> corners;

    std::string tile_axis(const Expr &e, bool *several) const;
    std::string narrow_to_rest(const Expr &disjunct);
    Truth of_disjunction(const Expr &condition);
    Truth of_comparison(const Expr &a, const Expr &b, bool strict);
    Truth of_equality(const Expr &a, const Expr &b);
    Halide::Internal::Interval bounds(const Expr &e);
    Expr with_summaries(const Expr &e);
    bool varies_by_bits(const Expr &e) const;
    std::vector<Expr> values_of_table(const Halide::Internal::Call *load, Expr &known);
    Expr bounded(const Halide::Type &t, const Halide::Internal::Interval &range);

public:
    /** Values that vary inside the tile, by their least and greatest. */
    std::vector<Summary> summaries;

    TileTruth(const ReductionGraph &graph, const Roles &roles);
    Truth of(const Expr &condition);
    /** The summary of an integer value that varies along one axis of the tile; else undefined. */
    Expr summary(const Expr &value);
    /** The value of a load of integers whose indices take at most two values each in the tile; undefined for others. */
    Expr table(const Halide::Internal::Call *load);
};

/** "<axis>.lo" and "<axis>.hi". */
Expr low_corner(const std::string &axis);
Expr high_corner(const std::string &axis);

}  // namespace strobe

#endif
