#ifndef STROBE_TILE_PREFIX_SUM_H
#define STROBE_TILE_PREFIX_SUM_H

/** \file
 * Rule R6 for sums: a reduction over all elements of the stream up to the current one,
 *
 *     r(j) = sum over k of select(k <= j, g(k), 0),       or k < j,
 *
 * with k over the stream's domain, is a scan: what the tiles before added up to, and a
 * scan inside the tile. It needs the tiles in order, all of them, and forbids splitting
 * the stream. */

#include "TileBuilder.h"

namespace strobe {

/** What a prefix sum adds up, over the stream's own coordinate. */
struct PrefixSum {
    Expr body;
    bool inclusive = true;
};

/** r as a prefix sum along the builder's stream, if it is one. */
std::optional<PrefixSum> as_prefix_sum(const TileBuilder &builder, const Reduction &r);

/** Throws UserError if r walks all of the stream for each of its elements in another way. */
void refuse_walk_of_stream(const TileBuilder &builder, const Reduction &r);

/** Computes r in the walk's step. */
void build_prefix_sum(TileBuilder &builder, const Reduction &r, const PrefixSum &prefix);

}  // namespace strobe

#endif
