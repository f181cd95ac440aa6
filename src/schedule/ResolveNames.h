#ifndef STROBE_SCHEDULE_RESOLVE_NAMES_H
#define STROBE_SCHEDULE_RESOLVE_NAMES_H

/** \file
 * The names of a schedule, matched with those of a graph. Halide makes names
 * unique by appending "$n"; a schedule may leave that out where it is not
 * ambiguous. */

#include "algorithm/ReductionGraph.h"

namespace strobe {

/** "row_max$2" -> "row_max" */
std::string base_name(const std::string &name);

struct Resolved {
    std::string name;   // "" if nothing matches
    std::string error;  // why not, with the nearest known name
};

/** \p kind: what is looked for, "axis" or "input" or "Func". */
Resolved resolve_name(const std::string &name, const std::vector<std::string> &known, const std::string &kind);

}  // namespace strobe

#endif
