#ifndef STROBE_TILE_SHARE_POINTS_H
#define STROBE_TILE_SHARE_POINTS_H

/** \file
 * Blocks that have several points of a grid axis (heads, say), each with threads of
 * its own. What does not depend on the axis is there once for all of them, and sums
 * over the stream of weights times elements that a row has for itself (pair features)
 * become products of matrices in which the points are the rows:
 *
 *     d[i, f] = sum(j: w[i, j] * x[f, j, i])      %x[i, j, f] = load x[f, j, i]
 *     m[i, f] = m[i, f] * r[i] + d[i, f]     ->   m[i, f] = m[i, f] * r[i]
 *                                                 m[i, f] += contract(j: w[i, j], %x[i, j, f])
 *
 * Such a Contract's second operand has the rows of the first: one row and one matrix
 * a product. With the points p of the axis it is m[p, f] += w[p, j] * x[j, f] for each
 * row i, and x does not depend on p.
 */

#include "TileProgram.h"

namespace strobe {

/** Each row of its first operand has a matrix of its own. */
bool has_matrix_for_each_row(const TileProgram &program, const TileOp &op);

/** Values that differ between the points of a grid axis. */
std::set<std::string> values_of_points(const TileProgram &program, const std::string &axis);

/** Values that such products sum up, and all that is computed from them: elements
 * that lie across the points. */
std::set<std::string> values_across_points(const TileProgram &program);

/** \p program for blocks of that many points. An ordinary program still, which means the
 * same. Throws UserError where the mask differs between points. */
TileProgram share_points(const TileProgram &program, const std::string &axis, int points);

/** A grid axis for which that makes products of matrices; "" if there is none. */
std::string axis_to_share(const TileProgram &program);

}  // namespace strobe

#endif
