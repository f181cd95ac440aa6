#ifndef STROBE_DERIVATION_PRECISION_NOTES_H
#define STROBE_DERIVATION_PRECISION_NOTES_H

/** \file
 * Where a plan may lose digits that the algorithm's own order of operations keeps: a sum
 * over later elements, held in a float, is a total less a running sum (SplitSuffixes.h).
 * One sentence each, with the way round it. Empty for most plans. */

#include "Plan.h"

namespace strobe {

std::vector<std::string> precision_notes(const ReductionGraph &graph, const Plan &plan);

}  // namespace strobe

#endif
