#ifndef STROBE_DERIVATION_ROLES_H
#define STROBE_DERIVATION_ROLES_H

/** \file
 * What each axis is for, found by how the algorithm uses it and never by its
 * name: see find_roles. */

#include "algorithm/ReductionGraph.h"

namespace strobe {

struct Roles {
    std::string stream;                 // reduced by the outputs' reductions, walked tile by tile ("key")
    std::string query;                  // rows: meets the stream only through contractions or elementwise
    std::vector<std::string> batch;     // grid axes: index both sides of a contraction (head, batch)
    std::vector<std::string> features;  // columns of the results, absent from scores (value's feature axis)
    std::vector<std::string> inner;     // contracted inside a tile (the head dimension of query and key)
    std::vector<std::string> after;     // reductions of finished results along features, such as a norm of the output
};

/** The stream is the reduced axis, of those whose length is not a constant if there are any,
 * with the longest chain of reductions that build on each other and along which others
 * (scores) are evaluated; one that is not itself walked for each element of another. A reduction with the
 * stream among its free axes is evaluated inside a tile. Of the outputs' axes, the
 * query axis is the one on which streamed scores depend and the fewest operands
 * that are loaded along the stream; other axes of scores are batch axes; axes that
 * only such operands have are features.
 * Axes that are reduced after the stream are features too.
 * Throws UserError naming the Func when there is no single stream, no row axis, an
 * output without rows, or something walked along the stream that needs a reduction
 * of finished results. */
Roles find_roles(const ReductionGraph &graph);

}  // namespace strobe

#endif
