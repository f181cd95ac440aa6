#ifndef STROBE_ALGORITHM_MERGE_AXES_H
#define STROBE_ALGORITHM_MERGE_AXES_H

/** \file
 * Makes one of two reductions that differ only in the name of an axis.
 *
 * A norm over the features of a result, sum over c of o(c, i)^2, calls o with another
 * variable than the output o(d, i) does. Both are the same numbers: where c and d
 * have the same domain, the norm walks d. */

#include "ReductionGraph.h"

namespace strobe {

void merge_axes(ReductionGraph &graph);

/** e with axis \p from called \p to; reductions over it are replaced by those that are the
 * same along \p to. Undefined if there is none for one of them. */
Expr along_axis(const ReductionGraph &graph, const Expr &e, const std::string &from, const std::string &to);

}  // namespace strobe

#endif
