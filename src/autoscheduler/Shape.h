#ifndef STROBE_AUTOSCHEDULER_SHAPE_H
#define STROBE_AUTOSCHEDULER_SHAPE_H

/** \file
 * The sizes that a schedule is chosen for. A hint: the code that is generated runs
 * at any length and batch, only its speed was predicted at these. */

#include "schedule/Workload.h"

namespace strobe {

struct Shape {
    AxisSizes sizes;
    std::map<std::string, double> scalars;
};

/** "S=16384 D=64 H=16 window=256". S, Sq, Sk: length of both sides, of the queries,
 * of the keys; D, Dv: head dimension, of the values; H, B: the first and the second
 * batch axis; else the name of an axis or of a scalar input. Throws UserError naming
 * the nearest known one. */
Shape parse_shape(const std::string &text, const ReductionGraph &graph, const Roles &roles);

/** Fills what neither \p shape nor the algorithm says: lengths of 8192, 16 heads, a
 * batch of 2, head dimensions of 64, the defaults of scalars. */
Shape complete_shape(const Shape &shape, const ReductionGraph &graph, const Roles &roles);

/** What a GPU package should be fast at: short, middling and long sequences, as many
 * in a batch as make 16,384 rows a head. Lengths that the algorithm fixes stay; they are
 * shorter where an input has an element for each row and key. */
std::vector<Shape> typical_shapes(const ReductionGraph &graph, const Roles &roles);

/** "S=16384 D=64 H=16", in the algorithm's names. */
std::string to_string(const Shape &shape);

}  // namespace strobe

#endif
