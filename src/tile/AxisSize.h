#ifndef STROBE_TILE_AXIS_SIZE_H
#define STROBE_TILE_AXIS_SIZE_H

/** \file
 * The size of an axis that has to fit in one tile whole (a head dimension), which
 * must be known when the kernel is compiled. */

#include "algorithm/ReductionGraph.h"

#include <map>

namespace strobe {

/** Looks, in this order: in \p sizes; at the axis' extent, with what its buffer
 * declares (dim(n).set_bounds or set_extent, then an estimate); and at the
 * declarations of the inputs that the axis indexes. Throws UserError that says
 * what to declare when none gives a constant. */
int axis_size(const ReductionGraph &graph, const std::string &axis, const std::map<std::string, int> &sizes);

}  // namespace strobe

#endif
