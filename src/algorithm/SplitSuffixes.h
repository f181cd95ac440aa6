#ifndef STROBE_ALGORITHM_SPLIT_SUFFIXES_H
#define STROBE_ALGORITHM_SPLIT_SUFFIXES_H

/** \file
 * A sum over all later elements is the sum over all less that over the elements up to
 * the current one:
 *
 *     sum over k of select(k > j, g(k), 0)  =  sum over j of g(j) - sum over k of select(k <= j, g(k), 0)
 *
 * which turns a suffix sum along an axis that others walk into a total, free of j, and
 * a prefix sum, which one walk in order can carry along. */

#include "ReductionGraph.h"

namespace strobe {

void split_suffixes(ReductionGraph &graph);

}  // namespace strobe

#endif
