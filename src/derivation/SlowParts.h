#ifndef STROBE_DERIVATION_SLOW_PARTS_H
#define STROBE_DERIVATION_SLOW_PARTS_H

/** \file
 * What makes a legal plan slower than attention needs to be: several walks over the
 * stream, work that no matrix unit can do, masks that skip nothing. One sentence each,
 * with the reason and, where there is one, the way round it. Empty for most plans. */

#include "Plan.h"

namespace strobe {

/** \p shared: an axis whose points share a block, so that what each row has for itself, but not for each of them, is
 * read by products of matrices. */
std::vector<std::string> slow_parts(const ReductionGraph &graph, const Plan &plan, const std::string &shared = "");

}  // namespace strobe

#endif
