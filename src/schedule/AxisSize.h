#ifndef STROBE_SCHEDULE_AXIS_SIZE_H
#define STROBE_SCHEDULE_AXIS_SIZE_H

/** \file
 * What an algorithm says about the size of an axis. */

#include "algorithm/ReductionGraph.h"

#include <map>
#include <optional>

namespace strobe {

/** The constant that the algorithm fixes: the axis' extent, with what its buffer declares
 * (dim(n).set_bounds or set_extent), or the same of an input that the axis indexes.
 * With \p estimates also what these are estimated to be. */
std::optional<int64_t> declared_size(const ReductionGraph &graph, const std::string &axis, bool estimates);

/** Of an axis that has to fit in one tile whole (a head dimension): in \p sizes, else
 * declared, else estimated. Throws UserError that says what to declare if it is none. */
int axis_size(const ReductionGraph &graph, const std::string &axis, const std::map<std::string, int> &sizes);

}  // namespace strobe

#endif
