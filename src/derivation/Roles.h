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
};

/** The top-level reductions are those no other reduction's axis indexes; the
 * stream is the axis they reduce. A reduction with the stream among its free
 * axes is evaluated inside a tile. Among the outputs' axes: one that occurs in
 * an input load together with the stream, where that load is an operand of a
 * contraction, is a batch axis; one on which the streamed scores depend but such
 * loads do not is the query axis; the rest are features.
 * Throws UserError naming the Func when there is no single stream. */
Roles find_roles(const ReductionGraph &graph);

}  // namespace strobe

#endif
